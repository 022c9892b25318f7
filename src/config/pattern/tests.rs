use super::*;

fn check(text: &str, expected: &Result<&str, RouteError>) {
    let shape = RoutePattern::parse(text).map(|route| route.shape());
    assert_eq!(shape.as_deref(), expected.as_ref().copied(), "{text:?}");
}

#[test]
fn routes_are_a_method_and_a_path() {
    check("GET /", &Ok("GET/"));
    check("GET /orders/{order_id}", &Ok("GET/orders/{}"));
    check("ANY /files/{*rest}", &Ok("ANY/files/{*}"));
    check("  POST   /a/ ", &Ok("POST/a/"));
    check("PROPFIND /dav/{*path}", &Ok("PROPFIND/dav/{*}"));
    check("GET /a/%6frders/caf\u{e9}", &Ok("GET/a/orders/caf%C3%A9"));
    check("GET /v1:batch", &Ok("GET/v1:batch"));
}

#[test]
fn what_no_request_can_have_is_refused() {
    let parameter = |text: &str| RouteError::Parameter(text.into());
    check("", &Err(RouteError::Form(String::new())));
    check("/orders", &Err(RouteError::Form("/orders".into())));
    check("GET /a b", &Err(RouteError::Form("GET /a b".into())));
    check("GET orders", &Err(RouteError::Slash("orders".into())));
    check("GET //", &Err(RouteError::EmptySegment));
    check("GET //a", &Err(RouteError::EmptySegment));
    check("GET /a//b", &Err(RouteError::EmptySegment));
    check("GET /a/../b", &Err(SegmentError::Dots.into()));
    check("GET /a/%2e", &Err(SegmentError::Dots.into()));
    check("GET /a./b", &Err(SegmentError::Ending.into()));
    check(
        "GET /a%2Fb",
        &Err(SegmentError::Encoded("%2F".into()).into()),
    );
    check("GET /a;b", &Err(SegmentError::Character(';').into()));
    check("GET /a?b=1", &Err(RouteError::Query));
    check("GET /a#b", &Err(RouteError::Query));
    check("GET /{}", &Err(parameter("{}")));
    check("GET /{a}.json", &Err(parameter("{a}.json")));
    check("GET /{a}{b}", &Err(parameter("{a}{b}")));
    check("GET /{a-b}", &Err(parameter("{a-b}")));
    check("GET /{a", &Err(parameter("{a")));
    check("GET /{1}", &Err(parameter("{1}")));
    check("GET /{*}", &Err(parameter("{*}")));
    check("GET /{a}/{a}", &Err(RouteError::ParameterTwice("a".into())));
    check("GET /{*a}/b", &Err(RouteError::AfterRest("{*a}".into())));
    check("GET /{*a}/", &Err(RouteError::AfterRest("{*a}".into())));
    check(&format!("GET {}", "/a".repeat(65)), &Err(RouteError::Deep));
}

#[test]
fn methods_that_agents_can_not_send_are_refused() {
    for (method, meant) in [
        ("get", Some("GET")),
        ("GTE", Some("GET")),
        ("CONNECT", None),
        ("TRACE", None),
        ("ANYTHING", None),
        ("*", None),
    ] {
        let method = method.to_owned();
        let text = format!("{method} /");
        check(&text, &Err(RouteError::Method { method, meant }));
    }
}

#[test]
fn a_prefix_is_literal() {
    let check = |text: &str, expected: Option<&str>| {
        let joined = prefix(text).ok().map(|literals| literals.join("/"));
        assert_eq!(joined.as_deref(), expected, "{text}");
    };
    check("/", Some(""));
    check("/orders", Some("orders"));
    check("/api/v1", Some("api/v1"));
    check("/orders/", None);
    check("orders", None);
    check("/{x}", None);
    check("//", None);
    check("", None);
}
