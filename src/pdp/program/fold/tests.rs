use cedar_policy::Policy;

use super::*;
use crate::pdp::history::Groups;
use crate::pdp::testing::{Asked as Put, House};

/// What is left of a condition on a refund of `amount`, which is declared first of three inputs.
fn left(condition: &str, task: bool) -> String {
    let text = format!("permit(principal, action, resource) when {{ {condition} }};");
    let groups = Groups::of(&House::new().catalogue());
    let conditions = Conditions::of(&Policy::parse(None, text).unwrap(), &groups).unwrap();
    let policies = House::new().policies("");
    let directory = &policies.directory;
    Put::refund().ask(|question| {
        let agent = directory.agent(question.agent).unwrap();
        let operation = directory.operation(&"orders.refund".parse().unwrap());
        let operation = operation.unwrap();
        let asked = Asked::new(question, agent, &operation.target);
        let inputs = &operation.inputs;
        let left = conditions.fold(&Fixed { inputs, task }, &asked);
        left.map_or_else(|| "never".to_owned(), |node| format!("{node:?}"))
    })
}

#[test]
fn what_is_known_before_the_call_is_worked_out() {
    for (condition, task, expected) in [
        (
            "principal in AgentGroup::\"billing\"",
            true,
            "Constant(Bool(true))",
        ),
        ("principal in AgentGroup::\"ops\"", true, "never"),
        (
            "action == Action::\"orders.refund\" && resource is Service",
            true,
            "Constant(Bool(true))",
        ),
        (
            "context has grant && context.grant.entitlement == \"refunds\"",
            true,
            "Constant(Bool(true))",
        ),
        (
            "context has task && context.task.kind == \"support\"",
            true,
            "Constant(Bool(true))",
        ),
        (
            "context has task && context.task.kind == \"other\"",
            true,
            "never",
        ),
        ("context has task && context.task.depth > 3", true, "never"),
        (
            "!(context has task) || context.risk.known",
            true,
            "Fact(RiskKnown)",
        ),
        ("context.risk.known && 1 < 2", true, "Fact(RiskKnown)"),
        (
            "if 1 < 2 then context.risk.known else context.usual.hour",
            true,
            "Fact(RiskKnown)",
        ),
        ("context.input has amount", true, "Constant(Bool(true))"),
        ("context.input has other", true, "never"),
        // The task is another each time.
        (
            "context has task && context.task.kind == \"support\"",
            false,
            "And([Present(Task), TextIs(TaskKind, \"support\")])",
        ),
        // What stumbles is asked, and stumbles then.
        (
            "1 + 9223372036854775807 > 0",
            true,
            "Compare(Greater, [Arithmetic(Add, [Constant(Long(1)), \
          Constant(Long(9223372036854775807))]), Constant(Long(0))])",
        ),
    ] {
        assert_eq!(left(condition, task), expected, "{condition}");
    }
}

#[test]
fn what_is_left_is_put_as_ranges_and_places() {
    for (condition, expected) in [
        (
            "context.input.amount > 5",
            "Between(InputAt(0), 6, 9223372036854775807)",
        ),
        (
            "5 > context.input.amount",
            "Between(InputAt(0), -9223372036854775808, 4)",
        ),
        ("context.input.amount == 5", "Between(InputAt(0), 5, 5)"),
        (
            "context.input.currency == \"EUR\"",
            "TextIs(InputAt(1), \"EUR\")",
        ),
        (
            "context.local.hour >= 8 && context.local.hour < 18",
            "Between(LocalHour, 8, 17)",
        ),
        (
            "context.local.hour >= 8 && context.local.minute < 18",
            "And([Between(LocalHour, 8, \
          9223372036854775807), Between(LocalMinute, -9223372036854775808, 17)])",
        ),
        (
            "context.risk.score > 9223372036854775807",
            "Between(RiskScore, 9223372036854775807, \
          -9223372036854775808)",
        ),
        (
            "context.now >= datetime(\"1970-01-01T00:00:01Z\")",
            "NowBetween(1000, 9223372036854775807)",
        ),
        (
            "context.source.ip.isInRange(ip(\"10.0.0.0/8\"))",
            "From(V4 { mask: 4278190080, network: \
          167772160 })",
        ),
    ] {
        assert_eq!(left(condition, true), expected, "{condition}");
    }
}
