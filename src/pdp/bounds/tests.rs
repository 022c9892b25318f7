use super::*;
use crate::pdp::testing::House;

fn rule(condition: &str) -> String {
    format!("@id(\"r\") permit(principal, action, resource) when {{ {condition} }};")
}

fn check(condition: &str, expected: Option<&str>) {
    let found = exceeded(&rule(condition)).map(|finding| finding.message);
    let expected = expected.map(str::to_owned);
    assert_eq!(
        found,
        expected,
        "{}",
        condition.get(..40).unwrap_or(condition)
    );
}

const DEEP: Option<&str> = Some("this is nested more than 32 brackets deep");
const LONG: Option<&str> = Some("a rule has at most 200 operators");

#[test]
fn ordinary_rules_are_within_bounds() {
    check("true", None);
    let networks = vec!["ip(\"10.0.0.0/8\")"; 5000].join(", ");
    check(&format!("[{networks}].contains(context.source.ip)"), None);
    check(&vec!["context.risk.known"; 100].join(" && "), None);
}

#[test]
fn what_would_exhaust_the_stack_is_refused_before_cedar_sees_it() {
    for (open, close) in [("(", ")"), ("[", "]"), ("ip(", ")"), ("!(", ")")] {
        let nested = format!("{}true{}", open.repeat(100_000), close.repeat(100_000));
        check(&nested, DEEP);
    }
    check(&format!("{}true", "!".repeat(100_000)), LONG);
    check(&format!("{}1 == 1", "-".repeat(100_000)), LONG);
    check(&vec!["true"; 100_000].join(" || "), LONG);
    check(&vec!["1"; 100_000].join(" + "), LONG);
    check(&"if true then true else ".repeat(100_000), LONG);
    let dots = format!("context{}", ".a".repeat(301));
    check(&dots, Some("a rule looks up at most 300 attributes"));
}

#[test]
fn a_rule_at_the_bounds_compiles_and_decides() {
    let deep = format!("{}true{}", "(".repeat(31), ")".repeat(31));
    let long = vec!["true"; 199].join(" && ");
    let house = House::new();
    for condition in [deep, long] {
        let text = rule(&condition);
        assert!(
            house.compile(&[&text]).is_ok(),
            "{}",
            text.get(..60).unwrap()
        );
    }
}
