use cedar_policy::Policy;
use serde_json::Value;

use super::Limit;

fn limit(conditions: &str) -> Option<Limit> {
    let policy = format!("forbid (principal, action, resource) {conditions};");
    let policy: Policy = policy.parse().unwrap();
    let json = policy.to_json().unwrap();
    Limit::of(json["conditions"].as_array().map(Vec::as_slice).unwrap())
}

#[track_caller]
fn check(conditions: &str, low: Option<i64>, high: Option<i64>) {
    let limit = limit(conditions).expect(conditions).numbers;
    let low = low.unwrap_or(i64::MIN).into();
    let high = high.unwrap_or(i64::MAX).into();
    assert_eq!((limit.low, limit.high), (low, high), "{conditions}");
}

#[test]
fn the_numbers_are_those_that_all_comparisons_let_it_be() {
    check("when { context.risk.score > 70 }", Some(71), None);
    check("when { 70 <= context.risk.score }", Some(70), None);
    check("unless { context.risk.score <= 70 }", Some(71), None);
    check("unless { context.risk.score >= -3 }", None, Some(-4));
    check(
        "when { context.local.hour >= 8 && context.local.hour < 18 }",
        Some(8),
        Some(17),
    );
    check(
        "when { context.local.hour >= 8 } unless { context.local.hour >= 18 }",
        Some(8),
        Some(17),
    );
}

#[test]
fn what_else_is_wanted_tells_limits_apart_and_its_order_does_not() {
    let of = |conditions| limit(conditions).expect(conditions).of;
    let one = of("when { context.risk.known && context.risk.score > 70 }");
    for same in [
        "when { context.risk.score > 5 && context.risk.known }",
        "when { context.risk.known } when { context.risk.score <= 5 }",
        "when { context.risk.known } unless { context.risk.score <= 5 }",
    ] {
        assert_eq!(of(same), one, "{same}");
    }
    for other in [
        "when { context.risk.score > 70 }",
        "when { context.risk.known && context.local.hour > 7 }",
        "unless { context.risk.known } when { context.risk.score > 70 }",
        "when { context.risk.known } unless { context.risk.score == 70 } when { context.risk.score > 1 }",
    ] {
        assert_ne!(of(other), one, "{other}");
    }
}

#[test]
fn several_limits_and_none_are_none() {
    for conditions in [
        "",
        "when { context.risk.known }",
        "when { context.risk.score > 70 && context.local.hour > 7 }",
        "when { context.risk.score > 70 || context.local.hour > 7 }",
        "when { context.risk.score > context.local.hour }",
        "unless { context.risk.score == 7 }",
    ] {
        assert_eq!(
            limit(conditions).as_ref().map(|one| one.numbers),
            None::<super::Numbers>
        );
    }
    // The type of the tree that is read.
    assert_eq!(Limit::of(&[Value::Null]), None);
}
