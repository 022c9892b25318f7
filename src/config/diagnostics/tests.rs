use super::*;
use crate::config::text::Text;

fn two() -> Diagnostics {
    let text = Text::new("b.toml", "x\n\u{e9} = 1\n");
    let mut problems = Diagnostics::default();
    problems
        .warning(&Place::new(&text, 5..6), "later\nline")
        .hint("do\nthat");
    problems.error(&Place::new(&text, 0..1), "first");
    problems.about_file("a.toml", "this can't be read");
    problems.error(&Place::new(&text, 0..1), "first");
    problems.in_order()
}

#[test]
fn problems_are_in_order_and_told_once() {
    assert_eq!(
        two().to_string(),
        "a.toml: error: this can't be read\n\
         b.toml:1:1: error: first\n\
         b.toml:2:3: warning: later line (do that)\n"
    );
}

#[test]
fn programs_get_the_same() {
    let json = serde_json::to_value(two()).unwrap();
    let expected = serde_json::json!([
        {"file": "a.toml", "line": 1, "column": 1, "message": "this can't be read", "severity": "error"},
        {"file": "b.toml", "line": 1, "column": 1, "message": "first", "severity": "error"},
        {"file": "b.toml", "line": 2, "column": 3, "message": "later\nline", "hint": "do\nthat", "severity": "warning"},
    ]);
    assert_eq!(json, expected);
}

#[test]
fn warnings_do_not_stop_anything() {
    let mut problems = Diagnostics::default();
    problems.warn_file("", "odd");
    assert!(problems.clone().verdict(()).is_ok());
    problems.about_file("", "wrong");
    assert_eq!(problems.verdict(()).unwrap_err().len(), 2);
}
