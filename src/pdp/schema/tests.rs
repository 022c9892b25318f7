use cedar_policy::Schema;

use super::*;
use crate::model::{Entitlement, InputKind};
use crate::pdp::testing::{House, operation, service};

#[test]
fn the_schema_speaks_of_every_name() {
    let house = House::new();
    let text = schema(&house.catalogue(), &District::Whole);
    let generated: Vec<&str> = text.lines().skip(FIXED.lines().count()).collect();
    let request = r#""auth": Auth, "local": Local, "now": datetime, "risk": Risk, "source": Source, "task"?: Task, "usual": Usual"#;
    let call = |input: &str| {
        format!(
            r#"appliesTo {{principal: [Agent], resource: [Service], context: {{"auth": Auth, "grant"?: Grant, "history": History, "http": Http, "input": {{{input}}}, "local": Local, "now": datetime, "risk": Risk, "source": Source, "task"?: Task, "usual": Usual}}}};"#
        )
    };
    let counters = r#""calls": Long, "succeeded": Long, "last_age_seconds"?: Long"#;
    let (none, replicas) = (call(""), call(r#""replicas": Long"#));
    let refund = call(r#""amount": Long, "currency": String, "urgent": Bool"#);
    let expected = [
        "type History = {".to_owned(),
        format!(r#"  "orders.list": {{{counters}, "sum": {{}}}},"#),
        format!(r#"  "orders.refund": {{{counters}, "sum": {{"amount": Long}}}},"#),
        format!(r#"  "orders.ping": {{{counters}, "sum": {{}}}},"#),
        format!(r#"  "deploys.list": {{{counters}, "sum": {{}}}},"#),
        format!(r#"  "deploys.start": {{{counters}, "sum": {{"replicas": Long}}}},"#),
        format!(r#"  "baseline": {{{counters}, "sum": {{}}}},"#),
        format!(r#"  "call": {{{counters}, "sum": {{"amount": Long, "replicas": Long}}}},"#),
        format!(r#"  "deploys": {{{counters}, "sum": {{"replicas": Long}}}},"#),
        format!(r#"  "orders": {{{counters}, "sum": {{"amount": Long}}}},"#),
        format!(r#"  "read": {{{counters}, "sum": {{}}}},"#),
        format!(r#"  "risk:high": {{{counters}, "sum": {{"amount": Long}}}},"#),
        format!(r#"  "risk:low": {{{counters}, "sum": {{}}}},"#),
        format!(r#"  "risk:medium": {{{counters}, "sum": {{"replicas": Long}}}},"#),
        format!(r#"  "write": {{{counters}, "sum": {{"amount": Long, "replicas": Long}}}}}};"#),
        r#"action "baseline";"#.to_owned(),
        r#"action "call";"#.to_owned(),
        r#"action "deploys";"#.to_owned(),
        r#"action "orders";"#.to_owned(),
        r#"action "read";"#.to_owned(),
        r#"action "risk:high";"#.to_owned(),
        r#"action "risk:low";"#.to_owned(),
        r#"action "risk:medium";"#.to_owned(),
        r#"action "write";"#.to_owned(),
        format!(
            r#"action "request" appliesTo {{principal: [Agent], resource: [Entitlement], context: {{{request}}}}};"#
        ),
        format!(r#"action "orders.list" in ["call", "orders", "risk:low", "read"] {none}"#),
        format!(r#"action "orders.refund" in ["call", "orders", "risk:high", "write"] {refund}"#),
        format!(r#"action "orders.ping" in ["call", "orders", "risk:low", "baseline"] {none}"#),
        format!(r#"action "deploys.list" in ["call", "deploys", "risk:low", "read"] {none}"#),
        format!(
            r#"action "deploys.start" in ["call", "deploys", "risk:medium", "write"] {replicas}"#
        ),
    ];
    assert_eq!(generated, expected);
}

#[test]
fn every_district_is_a_schema() {
    let mut house = House::new();
    let odd = r#"quote " and \ and é"#;
    house.operations.push(operation(
        "orders.odd",
        &[],
        Risk::Low,
        &[(odd, InputKind::Long)],
    ));
    for district in [
        District::Requests,
        District::Service("orders".parse().unwrap()),
        District::Whole,
    ] {
        let text = schema(&house.catalogue(), &district);
        let read = Schema::from_cedarschema_str(&text);
        assert!(read.is_ok(), "{text}");
    }
    let empty = Catalogue {
        agents: &[],
        services: &[],
        operations: &[],
        entitlements: &[] as &[Entitlement],
    };
    assert!(Schema::from_cedarschema_str(&schema(&empty, &District::Whole)).is_ok());
}

/// Operations named in `names`, beside the services `orders` and `deploys`.
fn check(names: &[(&str, &[&str])], expected: &[&str]) {
    let mut house = House::new();
    house.operations = names
        .iter()
        .map(|(id, groups)| {
            let mut operation = operation("orders.x", groups, Risk::Low, &[]);
            operation.id = id.parse().unwrap();
            operation
        })
        .collect();
    let problems = problems_of_names(&house.catalogue());
    let messages: Vec<&str> = problems.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, expected, "{names:?}");
    assert!(
        problems
            .iter()
            .all(|one| one.file.is_empty() && one.hint.is_some())
    );
}

#[test]
fn names_that_would_be_one_action_are_problems() {
    check(&[("orders.x", &["write"]), ("orders.y", &["write"])], &[]);
    check(
        &[("orders.x", &["orders"])],
        &["a group of operations can't be called `orders`: that is the name of a service"],
    );
    check(
        &[("write", &["write"])],
        &["an operation can't be called `write`: that is the name of a group of operations"],
    );
    check(
        &[("deploys", &[])],
        &["an operation can't be called `deploys`: that is the name of a service"],
    );
    check(
        &[("x", &[]), ("x", &[])],
        &["an operation can't be called `x`: that is the name of an operation"],
    );
    check(
        &[("call", &["request", "risk:high", "baseline"])],
        &[
            "a group of operations can't be called `baseline`: that is the name of the built-in group of operations that need no grant",
            "a group of operations can't be called `request`: that is the name of the built-in action of asking for an entitlement",
            "a group of operations can't be called `risk:high`: that is the name of a built-in group by risk",
            "an operation can't be called `call`: that is the name of the built-in group of all operations",
        ],
    );
    let mut house = House::new();
    house.services.push(service("orders"));
    assert_eq!(problems_of_names(&house.catalogue()).len(), 1);
}
