use std::collections::{BTreeMap, BTreeSet};

use http::Request;

use super::*;
use crate::model::{Protocol, Risk};

fn operation(source: InputSource, kind: InputKind) -> Operation {
    Operation {
        id: "orders.refund".parse().unwrap(),
        service: "orders".parse().unwrap(),
        groups: BTreeSet::new(),
        risk: Risk::High,
        baseline: false,
        protocol: Protocol::Http,
        inputs: BTreeMap::from([("it".into(), Input { source, kind })]),
    }
}

fn canonical(query: &str, headers: &[(&str, &str)]) -> Canonical {
    let mut request = Request::get(format!("/x?{query}")).header("host", "h");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Canonical::read(request.body(()).unwrap().into_parts().0, 8192).unwrap()
}

fn check_query(query: &str, kind: InputKind, expected: impl Into<Option<InputValue>>) {
    let operation = operation(InputSource::Query("q".into()), kind);
    let read = inputs(&operation, &canonical(query, &[]), &[], None);
    assert_eq!(
        read.ok().map(|inputs| inputs.get("it").cloned().unwrap()),
        expected.into(),
        "{query}"
    );
}

fn check_body(
    content_type: &str,
    body: &str,
    kind: InputKind,
    expected: impl Into<Option<InputValue>>,
) {
    let operation = operation(InputSource::Body("/refund/amount".into()), kind);
    let canonical = canonical("", &[("content-type", content_type)]);
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let read = inputs(&operation, &canonical, &[], Some(&bytes));
    assert_eq!(
        read.ok().map(|inputs| inputs.get("it").cloned().unwrap()),
        expected.into(),
        "{body}"
    );
}

const JSON: &str = "application/json";

#[test]
fn a_query_parameter_has_one_value_in_one_spelling() {
    use InputKind::{Bool, Long, String};
    check_query("q=40", Long, Some(InputValue::Long(40)));
    check_query("a=1&q=-7", Long, Some(InputValue::Long(-7)));
    check_query("q=a+b%21", String, Some(InputValue::String("a b!".into())));
    check_query("%71=x", String, Some(InputValue::String("x".into())));
    check_query("q=true", Bool, Some(InputValue::Bool(true)));
    for odd in [
        "q=+40",
        "q=%2B40",
        "q=040",
        "q=4e1",
        "q=",
        "q=9223372036854775808",
    ] {
        check_query(odd, Long, None);
    }
    for odd in [
        "",
        "Q=1",
        "q=1&q=2",
        "q=1&Q=2",
        "q=1;q=2",
        "q=1&%71=2",
        "q=%ff",
    ] {
        check_query(odd, String, None);
    }
    check_query("q=1", Bool, None);
}

#[test]
fn a_body_member_has_one_value_of_its_type() {
    use InputKind::{Long, String};
    check_body(
        JSON,
        r#"{"refund":{"amount":40}}"#,
        Long,
        Some(InputValue::Long(40)),
    );
    let named = "application/merge-patch+json; charset=UTF-8";
    check_body(
        named,
        r#"{"refund":{"amount":40}}"#,
        Long,
        Some(InputValue::Long(40)),
    );
    for odd in [
        "",
        "[]",
        "{}",
        r#"{"refund":{"amount":"40"}}"#,
        r#"{"refund":{"amount":40.0}}"#,
        r#"{"refund":{"amount":1e400}}"#,
        r#"{"refund":{"amount":9223372036854775808}}"#,
        r#"{"refund":{"amount":40,"amount":4000}}"#,
        r#"{"refund":{"amount":40,"Amount":4000}}"#,
        r#"{"refund":{"amount":40},"REFUND":{"amount":4000}}"#,
        r#"{"refund":{"amount":40}}{"refund":{"amount":4000}}"#,
    ] {
        check_body(JSON, odd, Long, None);
    }
    check_body(JSON, r#"{"refund":{"amount":40}}"#, String, None);
    for content_type in [
        "text/plain",
        "application/json; charset=utf-16",
        "application/jsonx",
    ] {
        check_body(content_type, r#"{"refund":{"amount":40}}"#, Long, None);
    }
}

#[test]
fn a_compressed_body_is_not_looked_into() {
    let operation = operation(InputSource::Body("/a".into()), InputKind::Long);
    let headers = [("content-type", JSON), ("content-encoding", "identity")];
    let bytes = Bytes::from_static(b"{\"a\":1}");
    let read = inputs(&operation, &canonical("", &headers), &[], Some(&bytes));
    assert_eq!(read.unwrap_err().reason(), DenyReason::InputInvalid);
}

#[test]
fn headers_and_path_parameters() {
    let from_header = operation(InputSource::Header("x-region".into()), InputKind::String);
    let one = canonical("", &[("x-region", "eu")]);
    let read = inputs(&from_header, &one, &[], None).unwrap();
    assert_eq!(read.get("it"), Some(&InputValue::String("eu".into())));
    let two = canonical("", &[("x-region", "eu"), ("x-region", "us")]);
    assert!(inputs(&from_header, &two, &[], None).is_err());
    let from_path = operation(InputSource::Path("id".into()), InputKind::Long);
    let params = [("id", "7".into())];
    let read = inputs(&from_path, &one, &params, None).unwrap();
    assert_eq!(read.get("it"), Some(&InputValue::Long(7)));
}

#[tokio::test]
async fn a_body_is_held_up_to_its_limit() {
    assert_eq!(hold(Body::full("12345"), 5).await.unwrap(), "12345");
    let refusal = hold(Body::full("123456"), 5).await.unwrap_err();
    assert_eq!(refusal.reason(), DenyReason::TooLarge);
}

#[test]
fn a_member_of_another_spelling_is_a_second_reading_in_every_script() {
    for (other, refused) in [("ASK", true), ("a\u{17f}k", true), ("asks", false)] {
        let body = serde_json::json!({ "order": { "ask": 1, other: 2 } });
        let read = json::value(Some(&body), "/order/ask");
        assert_eq!(read.is_err(), refused, "{other}");
    }
}
