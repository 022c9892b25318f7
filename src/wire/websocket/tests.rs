use super::*;

#[test]
fn the_standards_own_example() {
    // RFC 6455 §1.3.
    let accept = websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn a_key_is_sixteen_bytes() {
    let key = websocket_key();
    assert!(is_websocket_key(key.as_bytes()), "{key}");
    assert_ne!(key, websocket_key());
    for none in [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "c2hvcnQ=",
    ] {
        assert!(!is_websocket_key(none.as_bytes()), "{none}");
    }
}
