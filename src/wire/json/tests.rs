use proptest::prelude::*;

use super::*;

fn check(text: &str, expected: Result<&str, JsonFault>) {
    let read = parse_json(text.as_bytes(), 8).map(|value| value.to_string());
    assert_eq!(read, expected.map(str::to_owned), "{text}");
}

#[test]
fn a_text_with_one_reading() {
    check(
        " {\"a\": [1, -2, 0.5, true, null]}\r\n",
        Ok(r#"{"a":[1,-2,0.5,true,null]}"#),
    );
    for broken in ["", "{", "{}{}", "{'a':1}", "{\"a\":1,}", "\u{feff}{}"] {
        check(broken, Err(JsonFault::Syntax));
    }
    check(r#"{"a":"\ud800"}"#, Err(JsonFault::Syntax));
    assert_eq!(parse_json(b"{\"a\":\"\xff\"}", 8), Err(JsonFault::Syntax));
}

#[test]
fn a_name_stands_once_at_every_depth_and_in_every_spelling() {
    check(r#"{"a":1,"a":1}"#, Err(JsonFault::Duplicate));
    check(r#"{"b":[{"c":{"a":1,"a":2}}]}"#, Err(JsonFault::Duplicate));
    check(r#"{"a":1,"\u0061":2}"#, Err(JsonFault::Duplicate));
    check(r#"{"a":1,"A":2}"#, Ok(r#"{"a":1,"A":2}"#));
}

#[test]
fn so_deep_and_no_deeper() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    check(&nested(8), Ok(&nested(8)));
    check(&nested(9), Err(JsonFault::Depth));
    check(&nested(5000), Err(JsonFault::Depth));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_json(&bytes, 8);
    }
}
