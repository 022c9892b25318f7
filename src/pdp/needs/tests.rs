use cedar_policy::Policy;
use serde_json::{Value, json};

use super::{to_lift, to_meet};

fn seen() -> serde_json::Map<String, Value> {
    let seen = json!({
        "risk": { "score": 85, "known": true },
        "local": { "hour": 19 },
        "task": { "kind": "support" },
        "usual": { "network": false },
        "source": { "ip": "192.0.2.1", "known": false },
        "auth": { "methods": ["private_key_jwt"], "factors": 1 },
        "http": { "path": "/orders/7" },
        "input": { "amount": 200, "currency": "USD" },
        "history": { "orders.refund": { "sum": { "amount": 900 } } },
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
    let told = told.map(|all| all.join("; "));
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
fn of_all_that_would_lift_a_forbid_the_least_is_told() {
    // Both have to go, or the one that they are both under.
    lifts(
        "when { context.risk.score > 70 || context.local.hour >= 18 }",
        Some("context.risk.score <= 70 (is 85); context.local.hour < 18 (is 19)"),
    );
    lifts(
        "when { context.input.amount > 50 && (context.risk.score > 70 || context.local.hour >= 18) }",
        Some("context.input.amount <= 50 (is 200)"),
    );
    // One that does not hold has nothing to change.
    lifts(
        "when { context.risk.score > 90 || context.local.hour >= 18 }",
        Some("context.local.hour < 18 (is 19)"),
    );
    // That nothing is known of the risk is nothing to wish for.
    lifts(
        "when { context.risk.known && (context.risk.score > 70 || context.local.hour >= 18) }",
        Some("context.risk.score <= 70 (is 85); context.local.hour < 18 (is 19)"),
    );
    lifts(
        "unless { context.local.hour >= 8 && context.local.hour < 18 }",
        Some("context.local.hour < 18 (is 19)"),
    );
    // What can't be told does not keep the rest from being told.
    lifts(
        "when { principal in AgentGroup::\"x\" && context.risk.score > 70 }",
        Some("context.risk.score <= 70 (is 85)"),
    );
}

#[test]
fn sums_memberships_ranges_and_what_is_missing_are_told() {
    let clauses = [
        (
            "context.history[\"orders.refund\"].sum.amount + context.input.amount <= 1000",
            "context.history[\"orders.refund\"].sum.amount + context.input.amount <= 1000 (is 1100)",
        ),
        (
            "1000 >= (context.input.amount - 1) * 10",
            "(context.input.amount - 1) * 10 <= 1000 (is 1990)",
        ),
        (
            "context.source.ip.isInRange(ip(\"10.0.0.0/8\"))",
            "context.source.ip.isInRange(ip(\"10.0.0.0/8\")) (is \"192.0.2.1\")",
        ),
        (
            "context.source.ip.isLoopback()",
            "context.source.ip.isLoopback() (is \"192.0.2.1\")",
        ),
        (
            "!context.source.ip.isIpv4()",
            "!context.source.ip.isIpv4() (is \"192.0.2.1\")",
        ),
        (
            "context.auth.methods.contains(\"mfa\")",
            "context.auth.methods.contains(\"mfa\") (is [\"private_key_jwt\"])",
        ),
        (
            "[\"EUR\", \"CHF\"].contains(context.input.currency)",
            "[\"EUR\", \"CHF\"].contains(context.input.currency) (is \"USD\")",
        ),
        (
            "!([\"USD\"].contains(context.input.currency))",
            "![\"USD\"].contains(context.input.currency) (is \"USD\")",
        ),
        (
            "context.auth.methods.containsAny([\"otp\", \"mfa\"])",
            "context.auth.methods.containsAny([\"otp\", \"mfa\"]) (is [\"private_key_jwt\"])",
        ),
        (
            "context.http.path like \"/items/*\"",
            "context.http.path like \"/items/*\" (is \"/orders/7\")",
        ),
        ("context has grant", "context has grant"),
        ("!(context has task)", "!(context has task)"),
        (
            "context.source has country && context.source.country == \"DE\"",
            "context.source.country == \"DE\" (is missing)",
        ),
    ];
    for (clause, told) in clauses {
        meets(&format!("when {{ {clause} }}"), Some(&[told]));
        meets(&format!("unless {{ !({clause}) }}"), Some(&[told]));
        lifts(&format!("unless {{ {clause} }}"), Some(told));
        // Where it holds, there is nothing to meet.
        meets(&format!("when {{ !({clause}) }}"), None);
    }
    // Which is not there can be anything, and a number may be too large.
    meets("when { context.source.country == \"DE\" }", None);
    meets(
        "when { context.input.amount * 9223372036854775807 < 1 }",
        None,
    );
}

#[test]
fn of_ways_to_apply_the_one_that_lacks_least_is_told() {
    meets(
        "when { (context.risk.score < 50 && context.local.hour < 18) || context.usual.network }",
        Some(&["context.usual.network == true (is false)"]),
    );
    meets(
        "when { (context.risk.score < 50 && context.local.hour >= 18) || context.usual.network }",
        Some(&["context.risk.score < 50 (is 85)"]),
    );
    meets(
        "when { context.risk.score > 50 || principal in AgentGroup::\"x\" }",
        None,
    );
}

#[test]
fn what_compares_no_signal_with_a_constant_is_not_told() {
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
