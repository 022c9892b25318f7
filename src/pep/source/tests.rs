use super::*;

fn check(peer: &str, forwarded: &[&str], expected: &str) {
    let mut headers = HeaderMap::new();
    for line in forwarded {
        headers.append("x-forwarded-for", line.parse().unwrap());
    }
    let is_trusted = |address: IpAddr| address.to_string().starts_with("10.");
    let found = find(is_trusted, peer.parse().unwrap(), &headers);
    assert_eq!(found.to_string(), expected, "{peer} {forwarded:?}");
}

#[test]
fn only_trusted_proxies_speak_for_a_client() {
    check("192.0.2.1", &["203.0.113.9"], "192.0.2.1");
    check("10.0.0.1", &["203.0.113.9"], "203.0.113.9");
    check("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9");
    check("10.0.0.1", &[], "10.0.0.1");
}

#[test]
fn what_stands_before_the_last_stranger_is_not_believed() {
    check(
        "10.0.0.1",
        &["127.0.0.1, 203.0.113.9, 10.0.0.2"],
        "203.0.113.9",
    );
    check("10.0.0.1", &["127.0.0.1", "203.0.113.9"], "203.0.113.9");
    check("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1");
}
