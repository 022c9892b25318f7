use super::*;

#[track_caller]
fn check(url: &str, expected: Option<&str>) {
    assert_eq!((url, normal_url(url).as_deref()), (url, expected));
}

#[test]
fn one_url_has_one_spelling() {
    let plain = Some("https://gate.example/orders/1");
    check("https://gate.example/orders/1", plain);
    check("HTTPS://Gate.Example:443/orders/1", plain);
    check("https://gate.example:/orders/1", plain);
    check("https://gate.example/%6frders/1?a=b#c", plain);
    check("https://gate.example/orders/1#?", plain);
    check(
        "http://gate.example:443/a",
        Some("http://gate.example:443/a"),
    );
    check("http://[::1]:8443", Some("http://[::1]:8443/"));
    check("https://gate.example", Some("https://gate.example/"));
    check("https://gate.example/a/", Some("https://gate.example/a/"));
    check(
        "https://gate.example/%c3%a9",
        Some("https://gate.example/%C3%A9"),
    );
}

#[test]
fn what_has_no_one_reading_is_no_url() {
    for url in [
        "",
        "/orders",
        "gate.example",
        "ftp://gate.example/a",
        "https://user@gate.example/a",
        "https://gate.example:99999/a",
        "https://gate.example:+443/a",
        "https://gate.example/a/../b",
        "https://gate.example/a%2fb",
        "https://gate.example/a%",
        "https://gate.example/a b",
        "https:///a",
    ] {
        check(url, None);
    }
}
