use super::*;
use crate::pdp::Memory;
use crate::pdp::testing::{House, agent};

const RULES: &str = r#"
    @id("any") permit(principal, action, resource);
    @id("agent") permit(principal == Agent::"billing-bot", action, resource);
    @id("inside") permit(principal is Agent in AgentGroup::"billing", action, resource);
    @id("night") permit(principal in AgentGroup::"night", action, resource);
    @id("refund") permit(principal, action == Action::"orders.refund", resource);
    @id("twice") permit(principal, action in [Action::"orders", Action::"risk:high"], resource);
    @id("ask") permit(principal, action == Action::"request", resource == Entitlement::"refunds");
    @id("deploys") permit(principal, action, resource == Service::"deploys");
    @id("reads") permit(principal, action in Action::"write", resource is Service)
    when { context.risk.known && context.history["orders.list"].calls < 5 };
"#;

fn check(agent: &str, wanted: &str, expected: &str) {
    let policies = House::new().policies(RULES);
    let directory = &policies.directory;
    let agent = directory.agent(&agent.parse().unwrap()).unwrap();
    let target = match wanted.strip_prefix("request ") {
        Some(entitlement) => directory.entitlement(&entitlement.parse().unwrap()),
        None => directory
            .operation(&wanted.parse().unwrap())
            .map(|one| &one.target),
    };
    let slice = policies.index.slice(agent, target.unwrap());
    let numbers = slice
        .policies()
        .policies()
        .map(|one| one.id().to_string().parse::<usize>());
    let ids: Vec<&str> = numbers
        .map(|number| &*policies.rules[number.unwrap()].id)
        .collect();
    assert_eq!(ids.join(" "), expected, "{} {wanted}", agent.uid);
}

#[test]
fn a_slice_holds_what_can_apply() {
    check(
        "billing-bot",
        "orders.refund",
        "any agent inside refund twice reads",
    );
    check("billing-bot", "orders.list", "any agent inside twice");
    check("loner", "orders.refund", "any refund twice reads");
    check("deploy-bot", "deploys.list", "any night deploys");
    check("deploy-bot", "deploys.start", "any night deploys reads");
    check("loner", "request refunds", "any ask");
    check("loner", "request reading", "any");
}

#[test]
fn a_slice_knows_what_its_rules_read() {
    let policies = House::new().policies(RULES);
    let reads = |operation: &str| {
        let agent = policies.directory.agent(&"loner".parse().unwrap()).unwrap();
        let operation = policies
            .directory
            .operation(&operation.parse().unwrap())
            .unwrap();
        policies.index.slice(agent, &operation.target).reads.clone()
    };
    assert_eq!(reads("orders.list"), Reads::default());
    let expected = Reads::of("context.risk.known context.history[\"orders.list\"]");
    assert_eq!(reads("orders.refund"), expected);
}

#[test]
fn agents_that_no_rule_tells_apart_share_slices() {
    let mut house = House::new();
    house
        .agents
        .push(agent("other-bot", &["billing", "unnamed"]));
    house.agents.push(agent("last-bot", &[]));
    let policies = house.policies(RULES);
    let target = &policies
        .directory
        .operation(&"orders.list".parse().unwrap())
        .unwrap()
        .target;
    let slice = |agent: &str| {
        let agent = policies.directory.agent(&agent.parse().unwrap()).unwrap();
        policies.index.slice(agent, target)
    };
    assert!(Arc::ptr_eq(&slice("loner"), &slice("last-bot")));
    assert!(!Arc::ptr_eq(&slice("loner"), &slice("other-bot")));
    // A rule names `billing-bot` itself.
    assert!(!Arc::ptr_eq(&slice("billing-bot"), &slice("other-bot")));
}

#[test]
fn what_is_made_of_rules_that_stay_serves_the_next_policies_too() {
    let house = House::new();
    let mut memory = Memory::default();
    let mut compile = |texts: &[&str]| house.compile_with(texts, &mut memory).unwrap().0;
    let one = "@id(\"one\") forbid(principal, action == Action::\"orders.list\", resource) when { context.risk.score > 1 };";
    let two = "@id(\"two\") permit(principal, action, resource);";
    let other = "@id(\"other\") permit(principal, action, resource) when { context.risk.known };";
    let old = compile(&[one, two]);
    // Another number, in a file of another name, is no other rule; and what it says is compiled once.
    let new = compile(&[other, one]);
    let [old, new] = [(&old, 0), (&new, 1)].map(|(policies, at)| &policies.index.policies[at]);
    assert!(Arc::ptr_eq(old, new));
    let [old, new] = [old, new].map(|rule| rule.conditions().unwrap());
    assert!(Arc::ptr_eq(old, new));
}
