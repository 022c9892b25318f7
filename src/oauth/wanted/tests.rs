use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::*;

fn wants(body: &str) -> Result<Wanted, &'static str> {
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form);
    let form = Form::read(&headers, &Bytes::copy_from_slice(body.as_bytes())).unwrap();
    Wanted::read(&form).map_err(|error| error.code)
}

#[test]
fn scope_and_details_ask_for_entitlements() {
    let both = wants(
        r#"scope=a+b+a&authorization_details=[{"type":"portcullis_grant","task":"t","entitlement":"c","duration_seconds":60}]"#,
    )
    .unwrap();
    let names: Vec<_> = both
        .asks
        .iter()
        .map(|ask| ask.entitlement.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(both.task.as_deref(), Some("t"));
    assert_eq!(wants("").unwrap().asks.len(), 0);
}

/// Whatever else is wrong with details of another type, that is what is wrong with them (RFC 9396 §5).
#[test]
fn another_type_is_named_whatever_it_has_beside() {
    for entry in [
        r#"{"type":"other"}"#,
        r#"{"type":"other","amount":7}"#,
        r#"{"type":"other","entitlement":7}"#,
    ] {
        let ours = r#"{"type":"portcullis_grant","entitlement":"c"}"#;
        for text in [format!("[{entry}]"), format!("[{ours},{entry}]")] {
            let error = details(&text).unwrap_err();
            assert_eq!(error.code, "invalid_authorization_details");
            let said = &error.description;
            assert!(said.contains("type `other` is not known"), "{said}");
        }
    }
}

#[test]
fn details_that_are_not_ours_are_refused() {
    let invalid = Err("invalid_authorization_details");
    let check = |body: &str, expected: Result<(), &str>| {
        assert_eq!(wants(body).map(|_| ()), expected, "{body}");
    };
    check(
        r#"authorization_details=[{"type":"payment","entitlement":"c"}]"#,
        invalid,
    );
    check(
        r#"authorization_details={"type":"portcullis_grant"}"#,
        invalid,
    );
    check(
        r#"authorization_details=[{"type":"portcullis_grant"}]"#,
        invalid,
    );
    check(
        r#"authorization_details=[{"type":"portcullis_grant","entitlement":"c","x":1}]"#,
        invalid,
    );
    check(
        r#"authorization_details=[{"type":"portcullis_grant","type":"x","entitlement":"c"}]"#,
        invalid,
    );
    check(
        r#"task=t&authorization_details=[{"type":"portcullis_grant","task":"u","entitlement":"c"}]"#,
        Err("invalid_request"),
    );
    let many: Vec<String> = (0..17).map(|number| number.to_string()).collect();
    check(&format!("scope={}", many.join("+")), Err("invalid_request"));
}
