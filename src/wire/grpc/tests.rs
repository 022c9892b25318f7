use super::*;

fn call(method: &Method, version: Version, kind: &str) -> Option<GrpcCall> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
    GrpcCall::of(method, version, &headers)
}

#[test]
fn a_call_is_known_by_its_media_type() {
    let check = |kind: &str, http2: Option<GrpcCall>, http1: Option<GrpcCall>| {
        let post = |version| call(&Method::POST, version, kind);
        assert_eq!(post(Version::HTTP_2), http2, "{kind}");
        assert_eq!(post(Version::HTTP_11), http1, "{kind}");
        assert_eq!(call(&Method::GET, Version::HTTP_2, kind), None, "{kind}");
    };
    let (head, trailers) = (Some(GrpcCall::Head), Some(GrpcCall::Trailers));
    check("application/grpc", trailers, head);
    check("Application/gRPC", trailers, head);
    check("application/grpc+proto", trailers, head);
    check("application/grpc+json", trailers, head);
    check("application/grpc;charset=utf-8", trailers, head);
    check("application/grpc ; charset=utf-8", trailers, head);
    check("application/grpc-web", head, head);
    check("application/grpc-web+proto", head, head);
    check("application/grpc-web-text", head, head);
    check("application/grpcx", None, None);
    check("application/grp", None, None);
    check("application/json", None, None);
    check("", None, None);
    assert_eq!(
        GrpcCall::of(&Method::POST, Version::HTTP_2, &HeaderMap::new()),
        None
    );
}

#[test]
fn a_message_is_written_in_printable_ascii() {
    let check = |message: &str, expected: &str| {
        let [(_, status), (name, written)] = grpc_status(16, message);
        assert_eq!(status, "16");
        assert_eq!(name, "grpc-message");
        assert_eq!(written, expected);
    };
    check("", "");
    check(
        "plain: `words`, \"quoted\" ~",
        "plain: `words`, \"quoted\" ~",
    );
    check("100 %", "100 %25");
    check("%41", "%2541");
    check("two\r\nlines\t\0\u{7f}", "two%0D%0Alines%09%00%7F");
    check("Größe ≤ 5 🦀", "Gr%C3%B6%C3%9Fe %E2%89%A4 5 %F0%9F%A6%80");
    check("  around  ", "around");
}

#[test]
fn a_message_is_bounded_and_ends_behind_a_whole_character() {
    let check = |message: String, expected: String| {
        let written = percent_encoded(&message);
        assert!(written.len() <= LONGEST_MESSAGE, "{}", written.len());
        assert_eq!(written, expected);
    };
    let a = |count| "a".repeat(count);
    check(a(LONGEST_MESSAGE), a(LONGEST_MESSAGE));
    check(
        a(LONGEST_MESSAGE + 1),
        format!("{}...", a(LONGEST_MESSAGE - 3)),
    );
    check(a(1_000_000), format!("{}...", a(LONGEST_MESSAGE - 3)));
    // Six bytes each; 170 of them leave four, where the rest's mark still fits.
    check("ö".repeat(170), "%C3%B6".repeat(170));
    check("ö".repeat(171), format!("{}...", "%C3%B6".repeat(170)));
    check(
        format!("{}{}", a(2), "ö".repeat(171)),
        format!("aa{}...", "%C3%B6".repeat(169)),
    );
}
