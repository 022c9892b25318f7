use http::header::{ACCEPT, COOKIE, HOST};

use super::*;

fn values<'a>(fields: &'a Fields, name: &'a HeaderName) -> Vec<&'a str> {
    let values = fields.get_all(name);
    values.map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn fields_keep_their_order_and_a_set_one_stands_alone() {
    let mut fields = Fields::with_capacity(4);
    for (name, value) in [(COOKIE, "a=1"), (ACCEPT, "*/*"), (COOKIE, "b=2")] {
        fields.push(name, HeaderValue::from_static(value));
    }
    assert_eq!(values(&fields, &COOKIE), ["a=1", "b=2"]);
    assert!(fields.contains(&ACCEPT) && !fields.contains(&HOST));
    let headers = fields.clone().into_headers();
    assert_eq!(headers.get_all(COOKIE).iter().count(), 2);
    assert_eq!(headers.len(), 3);
    fields.set(COOKIE, HeaderValue::from_static("c=3"));
    assert_eq!(values(&fields, &COOKIE), ["c=3"]);
    let names: Vec<_> = fields.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, [ACCEPT, COOKIE]);
    fields.remove(&COOKIE);
    assert!(values(&fields, &COOKIE).is_empty());
}

#[test]
fn a_request_keeps_all_that_it_says_and_shows_no_values() {
    let request = Request::post("http://h.example/a?b")
        .header("x-key", "hidden")
        .header("accept", "a/b")
        .header("accept", "c/d")
        .body(7)
        .unwrap();
    let outbound = Outbound::from(request).map(|body| body + 1);
    assert_eq!((outbound.method.as_str(), outbound.body), ("POST", 8));
    assert_eq!(outbound.target, "http://h.example/a?b");
    assert_eq!(values(&outbound.fields, &ACCEPT), ["a/b", "c/d"]);
    assert!(!format!("{outbound:?}").contains("hidden"));
}
