use super::*;

fn check(peer: &str, forwarded: &[&str], expected: &str) {
    let mut headers = HeaderMap::new();
    for line in forwarded {
        headers.append("x-forwarded-for", line.parse().unwrap());
    }
    let is_trusted = |address: IpAddr| address.to_string().starts_with("10.");
    let found = match find(is_trusted, peer.parse().unwrap(), &headers) {
        Ok(address) => address.to_string(),
        Err(Unreadable { by }) => format!("unreadable, by {by}"),
    };
    assert_eq!(found, expected, "{peer} {forwarded:?}");
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
    check("10.0.0.1", &["unknown, 203.0.113.9"], "203.0.113.9");
}

#[test]
fn a_proxy_that_names_no_address_is_not_taken_for_the_client() {
    for odd in [
        "unknown",
        "203.0.113.9, unknown",
        "_hidden",
        "203.0.113.9:port",
        "[203.0.113.9]",
        "203.0.113.09",
        "\u{e9}",
    ] {
        check("10.0.0.1", &[odd], "unreadable, by 10.0.0.1");
    }
    check(
        "10.0.0.1",
        &["garbage, 10.0.0.2"],
        "unreadable, by 10.0.0.2",
    );
    check("192.0.2.1", &["unknown"], "192.0.2.1");
    // Nothing is said.
    check("10.0.0.1", &["", " , "], "10.0.0.1");
}

#[test]
fn addresses_are_read_with_and_without_ports() {
    for (said, address) in [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711,", "203.0.113.9"),
    ] {
        check("10.0.0.1", &[said], address);
    }
}
