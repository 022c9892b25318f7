use http::Request;

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A handshake as it should be, with one header in the place of another.
fn asks(changes: &[(&str, Option<&str>)]) -> http::request::Builder {
    let mut headers = vec![
        ("host", "h"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
    ];
    for (name, value) in changes {
        match value {
            Some(value) => headers.push((name, value)),
            None => headers.retain(|(own, _)| own != name),
        }
    }
    headers
        .iter()
        .fold(Request::get("/x"), |request, (n, v)| request.header(*n, *v))
}

fn read(request: http::request::Builder, protocol: Protocol) -> Result<Option<Handshake>, ()> {
    let parts = request.body(()).unwrap().into_parts().0;
    let canonical = Canonical::read(parts, 8192).unwrap();
    let read = Handshake::read(&canonical, protocol);
    read.map_err(|refusal| assert_eq!(refusal.reason(), DenyReason::RequestMalformed))
}

fn check(request: http::request::Builder, expected: &Result<Option<Handshake>, ()>) {
    let shown = format!("{request:?}");
    assert_eq!(&read(request, Protocol::Websocket), expected, "{shown}");
}

#[test]
fn a_handshake_in_order() {
    let accept = HeaderValue::from_static(ACCEPT);
    check(asks(&[]), &Ok(Some(Handshake::Http1(accept.clone()))));
    check(
        asks(&[("content-length", Some("0"))]),
        &Ok(Some(Handshake::Http1(accept))),
    );
}

#[test]
fn none_where_none_is_meant() {
    check(asks(&[("upgrade", None)]), &Ok(None));
    check(asks(&[]).version(Version::HTTP_10), &Ok(None));
    for protocol in [Protocol::Grpc, Protocol::Http, Protocol::Sse] {
        assert_eq!(read(asks(&[]), protocol), Ok(None), "{protocol:?}");
    }
}

#[test]
fn one_that_is_not_in_order() {
    for changes in [
        vec![("upgrade", None), ("upgrade", Some("h2c"))],
        vec![("upgrade", None), ("upgrade", Some("websocket, h2c"))],
        vec![("upgrade", Some("websocket"))],
        vec![("connection", None)],
        vec![("connection", None), ("connection", Some("keep-alive"))],
        vec![("sec-websocket-version", None)],
        vec![("sec-websocket-version", Some("13"))],
        vec![
            ("sec-websocket-version", None),
            ("sec-websocket-version", Some("8")),
        ],
        vec![("sec-websocket-key", None)],
        vec![("sec-websocket-key", Some(KEY))],
        vec![
            ("sec-websocket-key", None),
            ("sec-websocket-key", Some("c2hvcnQ=")),
        ],
        vec![("content-length", Some("5"))],
        vec![("transfer-encoding", Some("chunked"))],
    ] {
        check(asks(&changes), &Err(()));
    }
    check(asks(&[]).method("HEAD"), &Err(()));
}

#[test]
fn an_extended_connect() {
    let connect = |version: &str| {
        Request::builder()
            .method("CONNECT")
            .version(Version::HTTP_2)
            .uri("https://h/x")
            .header("sec-websocket-version", version)
            .extension(hyper::ext::Protocol::from_static("websocket"))
    };
    check(connect("13"), &Ok(Some(Handshake::Http2)));
    check(connect("8"), &Err(()));
    assert_eq!(read(connect("13"), Protocol::Http), Err(()));
}
