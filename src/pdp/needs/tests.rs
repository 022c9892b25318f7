use cedar_policy::Policy;
use serde_json::{Value, json};

use super::{to_lift, to_meet};

fn seen() -> serde_json::Map<String, Value> {
    let seen = json!({
        "risk": { "score": 85, "known": true },
        "local": { "hour": 19 },
        "task": { "kind": "support" },
        "usual": { "network": false },
    });
    seen.as_object().unwrap().clone()
}

fn rule(effect: &str, conditions: &str) -> Policy {
    format!("{effect} (principal, action, resource) {conditions};")
        .parse()
        .unwrap()
}

#[track_caller]
fn lifts(conditions: &str, expected: Option<&str>) {
    let told = to_lift(&rule("forbid", conditions), &seen());
    assert_eq!(told.as_deref(), expected, "{conditions}");
}

#[track_caller]
fn meets(conditions: &str, expected: Option<&[&str]>) {
    let told = to_meet(&rule("permit", conditions), &seen());
    let told: Option<Vec<_>> = told
        .as_ref()
        .map(|all| all.iter().map(AsRef::as_ref).collect());
    assert_eq!(told.as_deref(), expected, "{conditions}");
}

#[test]
fn one_clause_that_fails_lifts_a_forbid() {
    let low = Some("context.risk.score <= 70 (is 85)");
    lifts("when { context.risk.score > 70 }", low);
    lifts(
        "when { context.risk.known && context.risk.score > 70 }",
        low,
    );
    lifts("when { 70 < context.risk.score }", low);
    lifts("unless { context.risk.score <= 70 }", low);
    lifts("when { !(context.risk.score <= 70) }", low);
    let network = Some("context.usual.network == true (is false)");
    lifts("unless { context.usual.network }", network);
    let kind = Some("context.task.kind != \"support\" (is \"support\")");
    lifts("when { context.task.kind == \"support\" }", kind);
}

#[test]
fn what_is_no_comparison_with_a_constant_is_not_told() {
    lifts("", None);
    lifts("when { context.risk.score > context.local.hour }", None);
    lifts("when { principal in Group::\"x\" }", None);
    lifts("when { context.risk.other > 1 }", None);
}

#[test]
fn all_clauses_that_fail_are_what_a_permit_lacks() {
    meets(
        "when { context.local.hour < 18 && context.risk.score <= 70 && context.risk.known }",
        Some(&[
            "context.local.hour < 18 (is 19)",
            "context.risk.score <= 70 (is 85)",
        ]),
    );
    meets(
        "when { context.local.hour >= 8 } unless { context.risk.score > 70 }",
        Some(&["context.risk.score <= 70 (is 85)"]),
    );
    // It holds, or it can't be told.
    meets("when { context.local.hour >= 8 }", None);
    meets(
        "when { context.local.hour < 18 && principal in Group::\"x\" }",
        None,
    );
}
