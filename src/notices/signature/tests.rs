use super::*;

#[test]
fn the_signature_covers_time_and_body() {
    let secret = Secret::new(b"key".to_vec());
    let at = |second| Timestamp::from_second(second).unwrap();
    let signed = sign(&secret, at(1_800_000_000), b"{}");
    // printf '1800000000.{}' | openssl dgst -sha256 -hmac key
    let expected =
        "t=1800000000,v1=7321475872b03ff21bdc2dfd86ea2d99ec29c479fbe4a77aa6acf4509505493f";
    assert_eq!(signed, expected);
    assert_ne!(signed, sign(&secret, at(1_800_000_001), b"{}"));
    assert_ne!(signed, sign(&secret, at(1_800_000_000), b"{ }"));
    let other = Secret::new(b"kex".to_vec());
    assert_ne!(signed, sign(&other, at(1_800_000_000), b"{}"));
}
