use http::Request;
use proptest::prelude::*;

use super::*;

fn read(request: http::request::Builder) -> Result<Canonical, Refusal> {
    Canonical::read(request.body(()).unwrap().into_parts().0, 8192)
}

fn get(target: &str) -> http::request::Builder {
    Request::get(target).header("host", "gate.example:8443")
}

fn check(request: http::request::Builder, expected: Result<&str, DenyReason>) {
    let shown = format!("{request:?}");
    let read = read(request);
    let seen = read
        .as_ref()
        .map(|canonical| canonical.path())
        .map_err(Refusal::reason);
    assert_eq!(seen, expected, "{shown}");
}

#[test]
fn one_path_or_none() {
    check(get("/"), Ok("/"));
    check(get("/orders/"), Ok("/orders/"));
    check(get("/%6frders/a%20b?x=1"), Ok("/orders/a%20b"));
    for path in [
        "/a//b",
        "//a",
        "/a/./b",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a%2fb",
        "/a%5cb",
        "/a;b",
        "/a%00",
        "/a%zz",
        "/a%25",
        "/a.",
    ] {
        check(get(path), Err(DenyReason::PathAmbiguous));
    }
}

#[test]
fn one_host() {
    let malformed = Err(DenyReason::RequestMalformed);
    check(get("/").header("host", "gate.example:8443"), malformed);
    check(get("http://other.example/"), malformed);
    check(get("http://GATE.example:8443/x"), Ok("/x"));
    check(Request::get("/"), malformed);
    for odd in ["a b", "gate:65536", "gate:-1", "[2001:db8::1]x"] {
        check(Request::get("/").header("host", odd), malformed);
    }
    check(
        Request::get("/").header("host", "me@gate.example"),
        malformed,
    );
    for (authority, host) in [
        ("gate", "gate"),
        ("gate:", "gate"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:8443", "[2001:db8::1]"),
    ] {
        let read = read(Request::get("/").header("host", authority)).unwrap();
        assert_eq!((read.authority(), read.host()), (authority, host));
    }
    let canonical = read(get("/")).unwrap();
    assert_eq!(canonical.host(), "gate.example");
    assert_eq!(canonical.authority(), "gate.example:8443");
}

#[test]
fn one_credential_in_one_place() {
    let canonical = read(get("/").header("authorization", "bearer abcdef.ghijkl.mnopqr")).unwrap();
    assert_eq!(
        *canonical.token().unwrap().text().expose(),
        b"abcdef.ghijkl.mnopqr"
    );
    assert!(!canonical.headers().contains_key("authorization"));
    for none in ["Basic eDp5", "Bearer", "Bearer "] {
        let canonical = read(get("/").header("authorization", none)).unwrap();
        assert!(canonical.token().is_none(), "{none:?}");
    }
    let malformed = Err(DenyReason::RequestMalformed);
    let bearer = || get("/").header("authorization", "Bearer abcdef.ghijkl.mnopqr");
    check(bearer().header("authorization", "Bearer other"), malformed);
    check(
        bearer().header("x-copy", "=abcdef.ghijkl.mnopqr;"),
        malformed,
    );
    let in_query = get("/?access_token=abcdef.ghijkl.mnopqr")
        .header("authorization", "Bearer abcdef.ghijkl.mnopqr");
    check(in_query, malformed);
    let long = format!("Bearer {}", "a".repeat(8193));
    check(
        get("/").header("authorization", long),
        Err(DenyReason::TokenInvalid),
    );
}

#[test]
fn one_length() {
    let malformed = Err(DenyReason::RequestMalformed);
    check(get("/").header("content-length", "5"), Ok("/"));
    for odd in ["+5", "5, 5", "0x5", "", "99999999999999999999"] {
        check(get("/").header("content-length", odd), malformed);
    }
    let twice = get("/")
        .header("content-length", "5")
        .header("content-length", "5");
    check(twice, malformed);
}

#[test]
fn limits_and_methods() {
    check(
        get(&format!("/{}", "a".repeat(8192))),
        Err(DenyReason::TooLarge),
    );
    let trace = Request::builder()
        .method("TRACE")
        .uri("/")
        .header("host", "h");
    check(trace, Err(DenyReason::RequestMalformed));
}

proptest! {
    /// What is taken for canonical at a glance is what spelling it out comes to.
    #[test]
    fn plain_paths_are_canonical(path in "[/a.~%2e]{0,8}|/[a-c/.]{0,6}") {
        match canonical_path(&path) {
            Ok(None) => prop_assert_eq!(spell(&path).ok(), Some(path)),
            // Spelt out again it stays what it is: some of it may have to be encoded.
            Ok(Some(spelt)) => prop_assert_eq!(spell(&spelt).ok(), Some(spelt)),
            Err(_) => prop_assert!(spell(&path).is_err()),
        }
    }
}
