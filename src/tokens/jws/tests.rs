use proptest::prelude::*;

use super::*;
use crate::tokens::JsonFault;
use crate::wire;

fn check(token: &str, expected: &Invalid) {
    let refused = Jws::parse(token, Origin::Own).map(|jws| jws.kid);
    assert_eq!(refused.as_ref(), Err(expected), "{token}");
}

fn with_header(header: &str) -> String {
    format!("{}.e30.AAAA", encode(header.as_bytes()))
}

#[test]
fn three_parts_of_canonical_base64url() {
    for token in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "e30..AA",
        ".e30.AA",
        "e30.e30.",
        "e30.e30.AA.",
    ] {
        check(token, &Invalid::Parts);
    }
    // Padding, the other alphabet, blanks, and bits that decode to nothing.
    for odd in ["e30=", "e30 ", "\ne30", "e3+w", "e3_", "e31", "é"] {
        check(&format!("{odd}.e30.AAAA"), &Invalid::Base64("header"));
        let good = encode(br#"{"alg":"ES256"}"#);
        check(&format!("{good}.{odd}.AAAA"), &Invalid::Base64("claims"));
        check(&format!("{good}.e30.{odd}"), &Invalid::Base64("signature"));
    }
    check(
        &format!("e30.e30.{}", "A".repeat(LARGEST_TOKEN)),
        &Invalid::Size,
    );
}

#[test]
fn the_header_says_only_what_a_header_may_say() {
    let more = |more: &str| with_header(&format!(r#"{{"alg":"ES256","kid":"k",{more}}}"#));
    for (member, name) in [
        (r#""jwk":{"kty":"EC"}"#, "jwk"),
        (r#""jku":"https://evil.example""#, "jku"),
        (r#""x5u":"https://evil.example""#, "x5u"),
        (r#""x5c":["MIIC"]"#, "x5c"),
        (r#""crit":["b64"]"#, "crit"),
        (r#""b64":false"#, "b64"),
        (r#""zip":"DEF""#, "zip"),
        (r#""enc":"A128GCM""#, "enc"),
        (r#""cty":"JWT""#, "cty"),
        (r#""Alg":"none""#, "Alg"),
        (r#""x5t":"abc""#, "x5t"),
        (r#""a\nb":1"#, r"a\nb"),
    ] {
        check(&more(member), &Invalid::HeaderMember(name.to_owned()));
    }
    let twice = Invalid::Json {
        part: "header",
        source: JsonFault::Text(wire::JsonFault::Duplicate),
    };
    check(&more(r#""alg":"ES256""#), &twice);
    for algorithm in [
        "none", "None", "", "HS256", "HS512", "ES384", "RS512", "es256", "ES256K",
    ] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let expected = match algorithm {
            "" => Invalid::HeaderType("alg"),
            _ => Invalid::Algorithm,
        };
        check(&with_header(&header), &expected);
    }
    check(&with_header("{}"), &Invalid::Algorithm);
    check(
        &with_header(r#"{"alg":["ES256"]}"#),
        &Invalid::HeaderType("alg"),
    );
    check(&with_header(r#"{"alg":null}"#), &Invalid::HeaderType("alg"));
    check(
        &with_header(r#"{"alg":"ES256","kid":7}"#),
        &Invalid::HeaderType("kid"),
    );
    check(
        &with_header(r#"{"alg":"ES256","typ":1}"#),
        &Invalid::HeaderType("typ"),
    );
}

#[test]
fn certificate_thumbprints_may_stand_in_an_outside_header() {
    let token = with_header(r#"{"alg":"ES256","x5t":"a","x5t#S256":"b"}"#);
    Jws::parse(&token, Origin::Outside).unwrap();
    let wrong = with_header(r#"{"alg":"ES256","x5t":1}"#);
    assert!(Jws::parse(&wrong, Origin::Outside).is_err());
}

#[test]
fn types_are_compared_as_media_types() {
    let allowed = |typ: &str| {
        let token = with_header(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#));
        let jws = Jws::parse(&token, Origin::Own).unwrap();
        jws.check_type(&[Some("at+jwt")]).is_ok()
    };
    for same in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/AT+jwt",
    ] {
        assert!(allowed(same), "{same}");
    }
    for other in [
        "JWT",
        "at+jwt ",
        "application/",
        "text/at+jwt",
        "application/application/at+jwt",
    ] {
        assert!(!allowed(other), "{other}");
    }
    let untyped = with_header(r#"{"alg":"ES256"}"#);
    let jws = Jws::parse(&untyped, Origin::Own).unwrap();
    assert_eq!(jws.check_type(&[Some("at+jwt")]), Err(Invalid::Type));
    assert_eq!(jws.check_type(&[None]), Ok(()));
}

#[test]
fn the_issuer_is_found_without_being_believed() {
    let token = |claims: &str| {
        let header = encode(br#"{"alg":"RS256"}"#);
        format!("{header}.{}.AAAA", encode(claims.as_bytes()))
    };
    let found = unverified_issuer(&token(r#"{"iss":"https://idp.example"}"#));
    assert_eq!(found.as_deref(), Some("https://idp.example"));
    for odd in [r#"{"iss":["a"]}"#, "{}", r#"{"iss":"a","iss":"b"}"#, "[]"] {
        assert_eq!(unverified_issuer(&token(odd)), None, "{odd}");
    }
    assert_eq!(unverified_issuer("garbage"), None);
}

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,300}", dotted in "[A-Za-z0-9_.-]{0,300}") {
        let _ = Jws::parse(&text, Origin::Outside);
        let _ = Jws::parse(&dotted, Origin::Outside);
    }
}
