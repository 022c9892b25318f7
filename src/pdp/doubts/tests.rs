use crate::pdp::testing::House;

/// What is doubted of one statement, by the beginning of the messages.
#[track_caller]
fn check(statement: &str, expected: &[&str]) {
    let text = format!("@id(\"r\") {statement}");
    let (_, problems) = House::new()
        .compile(&[&text])
        .unwrap_or_else(|found| panic!("{text}\n{found:#?}"));
    let messages: Vec<_> = problems.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages.len(), expected.len(), "{text}\n{messages:#?}");
    for (message, expected) in messages.iter().zip(expected) {
        assert!(message.starts_with(expected), "{text}\n{message}");
    }
}

#[test]
fn a_permit_for_all_is_doubted() {
    let all = "this rule lets every agent ask for every entitlement";
    check("permit (principal, action, resource);", &[all]);
    check("permit (principal is Agent, action, resource);", &[all]);
    for narrower in [
        "forbid (principal, action, resource) when { context.risk.score > 70 };",
        "permit (principal, action, resource) when { context.risk.known };",
        "permit (principal, action in Action::\"call\", resource);",
        "permit (principal in AgentGroup::\"billing\", action, resource);",
        "@require(\"mfa\") permit (principal, action, resource);",
    ] {
        check(narrower, &[]);
    }
}

#[test]
fn what_no_number_is_can_never_apply() {
    let never = "this rule can never apply: `context.";
    for condition in [
        "context.local.hour > 23",
        "24 <= context.local.hour",
        "context.local.weekday == 0",
        "context.risk.score > 70 && context.risk.score < 60",
        "context.risk.score > 70 && (context.risk.known && 70 >= context.risk.score)",
        "context.risk.score < 0",
        "context.auth.factors < 0",
    ] {
        let statement = format!("forbid (principal, action, resource) when {{ {condition} }};");
        check(&statement, &[never]);
    }
    let apart = "forbid (principal, action, resource)\n\
                 when { context.risk.score > 70 } when { context.risk.score < 60 };";
    check(apart, &[never]);
    for condition in [
        "context.local.hour > 22",
        "context.risk.score > 70 && context.risk.score < 72",
        "context.risk.score > 70 || context.risk.score < 60",
        "!(context.local.hour < 24)",
        // It may fail, and is not without effect then.
        "context.local.hour > 23 && context.risk.score + 1 > 0",
    ] {
        let statement = format!("forbid (principal, action, resource) when {{ {condition} }};");
        check(&statement, &[]);
    }
    check(
        "forbid (principal, action, resource) when { context.risk.known } unless { context.local.hour < 24 };",
        &[],
    );
}

#[test]
fn what_becomes_of_grants_needs_something_that_they_have_at_rest() {
    let nothing = "`@on_change` does nothing here: ";
    check(
        "@on_change(\"suspend\") forbid (principal, action == Action::\"orders.refund\", resource)\n\
         when { context.input.amount > 500 };",
        &[nothing],
    );
    check(
        "@on_change(\"end\") forbid (principal, action == Action::\"request\", resource)\n\
         when { context.risk.score > 70 };",
        &[nothing],
    );
    check(
        "@on_change(\"end\") forbid (principal, action == Action::\"orders.refund\", resource)\n\
         when { context.risk.score > 70 };",
        &[],
    );
}
