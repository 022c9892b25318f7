use http::header::{ACCEPT, COOKIE, HOST};

use super::*;

fn values<'a>(fields: &'a Fields, name: &'a HeaderName) -> Vec<&'a str> {
    let values = fields.get_all(name);
    values.map(|value| str::from_utf8(value).unwrap()).collect()
}

#[test]
fn fields_keep_their_order_and_a_set_one_stands_alone() {
    let mut fields = Fields::with_capacity(4, 64);
    for (name, value) in [(COOKIE, "a=1"), (ACCEPT, "*/*"), (COOKIE, "b=2")] {
        fields.push(&name, &HeaderValue::from_static(value));
    }
    assert_eq!(values(&fields, &COOKIE), ["a=1", "b=2"]);
    assert!(fields.contains(&ACCEPT) && !fields.contains(&HOST));
    let headers = fields.clone().into_headers().unwrap();
    assert_eq!(headers.get_all(COOKIE).iter().count(), 2);
    assert_eq!(headers.len(), 3);
    fields.set(&COOKIE, &HeaderValue::from_static("c=3"));
    assert_eq!(values(&fields, &COOKIE), ["c=3"]);
    let lines: Vec<_> = fields.iter().map(|field| field.line).collect();
    assert_eq!(lines, [&b"accept: */*\r\n"[..], b"cookie: c=3\r\n"]);
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
    assert_eq!(outbound.target, "/a?b");
    assert_eq!(values(&outbound.fields, &HOST), ["h.example"]);
    assert_eq!(values(&outbound.fields, &ACCEPT), ["a/b", "c/d"]);
    assert!(!format!("{outbound:?}").contains("hidden"));
}

#[test]
fn a_value_that_would_end_its_line_is_not_said() {
    let mut fields = Fields::default();
    for odd in ["a\r\nb: c", "a\nb", "\0", "\x7f", "\x1f"] {
        assert_eq!(fields.say(&ACCEPT, odd.as_bytes()), Err(Unspeakable));
        assert!(HeaderValue::from_bytes(odd.as_bytes()).is_err(), "{odd:?}");
    }
    assert!(!fields.contains(&ACCEPT));
    fields.say(&ACCEPT, b"a\t\xe4 b").unwrap();
    let headers = fields.into_headers().unwrap();
    assert_eq!(headers[ACCEPT].as_bytes(), b"a\t\xe4 b");
}

#[test]
fn what_no_table_may_keep_is_marked_in_the_table_of_headers_too() {
    let mut secret = HeaderValue::from_static("hidden");
    secret.set_sensitive(true);
    let mut fields = Fields::default();
    fields.push(&ACCEPT, &HeaderValue::from_static("*/*"));
    fields.set(&COOKIE, &secret);
    let headers = fields.into_headers().unwrap();
    assert!(headers[COOKIE].is_sensitive() && !headers[ACCEPT].is_sensitive());
}
