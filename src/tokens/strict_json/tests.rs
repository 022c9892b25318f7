use proptest::prelude::*;

use super::*;

fn check(text: &str, expected: Result<&str, JsonFault>) {
    let read = parse_object(text.as_bytes()).map(|object| Value::Object(object).to_string());
    assert_eq!(read, expected.map(str::to_owned), "{text}");
}

#[test]
fn one_object_with_one_reading() {
    check(
        " {\"a\": [1, -2, 0.5, true, null]}\r\n",
        Ok(r#"{"a":[1,-2,0.5,true,null]}"#),
    );
    check(r#"{"a":{"a":1}}"#, Ok(r#"{"a":{"a":1}}"#));
    for not_object in ["[]", "1", "\"a\"", "null"] {
        check(not_object, Err(JsonFault::NotAnObject));
    }
    for broken in [
        "",
        "{",
        "{}{}",
        "{} x",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"a\":NaN}",
        "\u{feff}{}",
    ] {
        check(broken, Err(JsonFault::Text(wire::JsonFault::Syntax)));
    }
    check(
        r#"{"a":"\ud800"}"#,
        Err(JsonFault::Text(wire::JsonFault::Syntax)),
    );
    assert_eq!(
        parse_object(b"{\"a\":\"\xff\"}"),
        Err(JsonFault::Text(wire::JsonFault::Syntax))
    );
}

#[test]
fn a_name_stands_once_at_every_depth_and_in_every_spelling() {
    check(
        r#"{"a":1,"a":1}"#,
        Err(JsonFault::Text(wire::JsonFault::Duplicate)),
    );
    check(
        r#"{"b":[{"c":{"a":1,"a":2}}]}"#,
        Err(JsonFault::Text(wire::JsonFault::Duplicate)),
    );
    check(
        r#"{"a":1,"\u0061":2}"#,
        Err(JsonFault::Text(wire::JsonFault::Duplicate)),
    );
    check(r#"{"a":1,"A":2}"#, Ok(r#"{"a":1,"A":2}"#));
}

#[test]
fn a_marker_of_the_json_library_is_a_name_like_any_other() {
    let text = r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#;
    check(text, Ok(text));
}

#[test]
fn eight_levels_and_no_more() {
    let nested = |levels: usize| {
        let arrays = levels - 1;
        format!("{{\"a\":{}{}}}", "[".repeat(arrays), "]".repeat(arrays))
    };
    check(&nested(8), Ok(&nested(8)));
    check(&nested(9), Err(JsonFault::Text(wire::JsonFault::Depth)));
    check(&nested(5000), Err(JsonFault::Text(wire::JsonFault::Depth)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_object(&bytes);
    }
}
