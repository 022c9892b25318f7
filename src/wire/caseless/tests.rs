use super::*;

#[test]
fn case_is_all_that_may_differ() {
    for (one, other) in [
        ("amount", "Amount"),
        ("service", "\u{17f}ervice"),
        ("key", "\u{212a}ey"),
        ("stra\u{df}e", "STRASSE"),
        ("\u{e9}tat", "\u{c9}TAT"),
        ("\u{3c2}", "\u{3a3}"),
    ] {
        assert!(is_caseless_match(one, other), "{one} {other}");
        assert!(is_caseless_match(other, one), "{other} {one}");
    }
    for (one, other) in [("amount", "amounts"), ("amount", "am\u{f6}unt"), ("", "a")] {
        assert!(!is_caseless_match(one, other), "{one} {other}");
    }
}
