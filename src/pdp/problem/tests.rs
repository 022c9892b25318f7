use super::*;

fn check(wrong: &str, expected: Option<&str>) {
    let known = ["orders.refund", "orders.read", "deploys.start"];
    let hint = did_you_mean(wrong, known);
    let expected = expected.map(|name| format!("did you mean `{name}`?"));
    assert_eq!(hint, expected, "{wrong}");
}

#[test]
fn a_typing_error_finds_its_name() {
    check("orders.refnud", Some("orders.refund"));
    check("order.read", Some("orders.read"));
    check("deploys.strat", Some("deploys.start"));
    check("payroll.export", None);
    check("", None);
}

#[test]
fn distances() {
    for (a, b, expected) in [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("same", "same", 0),
    ] {
        assert_eq!(distance(a, b), expected, "{a} {b}");
    }
}
