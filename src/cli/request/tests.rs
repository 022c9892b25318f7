use super::*;

#[test]
fn inputs_are_text_unless_they_say_that_they_are_json() {
    for (text, expected) in [
        ("order_id=1003", Some(("order_id", json!("1003")))),
        ("amount:=120", Some(("amount", json!(120)))),
        ("urgent:=true", Some(("urgent", json!(true)))),
        ("note=a=b", Some(("note", json!("a=b")))),
        ("note=", Some(("note", json!("")))),
        ("amount:=12x", None),
        ("=x", None),
        (":=1", None),
        ("order_id", None),
    ] {
        let arg = text.parse::<InputArg>().ok();
        let expected = expected.map(|(name, value)| InputArg {
            name: name.to_owned(),
            value,
        });
        assert_eq!(arg, expected, "{text}");
    }
}

#[test]
fn the_state_of_a_request_is_the_exit_code() {
    for (state, expected) in [
        ("active", 0),
        ("pending", 3),
        ("declined", 1),
        ("expired", 1),
        ("withdrawn", 1),
        ("ended", 1),
    ] {
        assert_eq!(exit_code(&json!({ "state": state })), expected, "{state}");
    }
}
