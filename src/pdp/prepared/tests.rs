use allocation_counter::measure;

use super::*;
use crate::pdp::Policies;
use crate::pdp::testing::{Asked as Put, House, shown};

const RULES: &str = r#"
    @id("all") permit(principal, action, resource);
    @id("kind") forbid(principal, action, resource)
    when { context has task && context.task.kind == "night" };
    @id("size") forbid(principal, action == Action::"orders.refund", resource)
    when { context.input.amount > 500 };
"#;

/// Asks what is kept, and holds the answer against that of the rules themselves.
fn check(policies: &Policies, kept: &Kept, put: &Put, expected: &str) {
    put.ask(|question| {
        assert_eq!(shown(&policies.decide_kept(question, kept)), expected);
        assert_eq!(shown(&policies.decide(question)), expected);
    });
}

fn kept_for(kept: &Kept) -> usize {
    kept.shelf()
        .as_ref()
        .map_or(0, |shelf| shelf.prepared.len())
}

type Change = fn(&mut Put);

#[test]
fn what_is_kept_answers_only_what_it_was_made_for() {
    let policies = House::new().policies(RULES);
    let kept = Kept::default();
    check(&policies, &kept, &Put::refund(), "allow all");
    let amount = |it: &mut Put| {
        drop(
            it.input
                .insert("amount".into(), crate::model::InputValue::Long(501)),
        )
    };
    check(
        &policies,
        &kept,
        &Put::refund().with(amount),
        "condition_denied size",
    );
    assert_eq!(kept_for(&kept), 1);
    let changes: [(Change, &str); 6] = [
        (
            |it| {
                it.task
                    .iter_mut()
                    .for_each(|task| task.1 = "night".to_owned())
            },
            "condition_denied kind",
        ),
        (|it| it.task = None, "allow all"),
        (|it| it.granted = false, "grant_required"),
        (
            |it| it.entitlement = "reading".parse().unwrap(),
            "grant_required",
        ),
        (|it| it.input.clear(), "input_invalid"),
        (
            |it| it.agent = "stranger".parse().unwrap(),
            "condition_denied",
        ),
    ];
    for (change, expected) in changes {
        check(&policies, &kept, &Put::refund().with(change), expected);
        check(&policies, &kept, &Put::refund(), "allow all");
    }
    assert_eq!(kept_for(&kept), 1);
    check(&policies, &kept, &Put::list(), "allow all");
    check(&policies, &kept, &Put::refund(), "allow all");
    assert_eq!(kept_for(&kept), 2);
}

#[test]
fn new_rules_replace_what_is_kept() {
    let old = House::new().policies(RULES);
    let new = House::new().policies("@id(\"no\") forbid(principal, action, resource);");
    let kept = Kept::default();
    for _ in 0..2 {
        check(&old, &kept, &Put::refund(), "allow all");
        check(&old, &kept, &Put::list(), "allow all");
        check(&new, &kept, &Put::refund(), "condition_denied no");
        assert_eq!(kept_for(&kept), 1);
    }
}

#[test]
fn grants_that_are_alike_share_what_is_prepared() {
    let policies = House::new().policies(RULES);
    let at_hand = |put: &Put| {
        let kept = Kept::default();
        check(&policies, &kept, put, "allow all");
        let shelf = kept.shelf();
        Arc::clone(&shelf.as_ref().unwrap().prepared[0])
    };
    let (one, other) = (at_hand(&Put::refund()), at_hand(&Put::refund()));
    assert!(Arc::ptr_eq(&one, &other));
    let kind = |it: &mut Put| {
        it.task
            .iter_mut()
            .for_each(|task| task.1 = "day".to_owned())
    };
    assert!(!Arc::ptr_eq(&one, &at_hand(&Put::refund().with(kind))));
    // No rule is left but the one on the amount, and the permit.
    assert_eq!(one.residual.as_ref().unwrap().len(), 2);
}

#[test]
fn requests_are_not_kept() {
    let policies = House::new().policies(RULES);
    let kept = Kept::default();
    check(&policies, &kept, &Put::request(), "allow all");
    assert_eq!(kept_for(&kept), 0);
}

/// What is asked again and again takes nothing from the heap, however many rules there are. The counter is of
/// this thread alone.
#[test]
fn a_warm_decision_allocates_nothing() {
    let many = (0..20).map(|n| {
        let condition = format!("context.risk.score > {} && context.source.known", 80 + n);
        format!("@id(\"risk-{n}\") forbid(principal, action, resource) when {{ {condition} }};\n")
    });
    let others = r#"
        @id("morning") forbid(principal, action, resource) when { context.local.hour < 1 };
        @id("writes") forbid(principal, action in Action::"write", resource)
        when { context.history["write"].calls > 5 || context.history["call"].sum.amount > 500
            || (context.history["risk:high"] has last_age_seconds && context.history["risk:high"].last_age_seconds < 1) };
        @id("inside") forbid(principal, action, resource)
        unless { context.source.ip.isInRange(ip("0.0.0.0/0")) || context.source.ip.isIpv6() };
    "#;
    let policies = House::new().policies(&format!("{RULES}{others}{}", many.collect::<String>()));
    let kept = Kept::default();
    let past = crate::model::OperationHistory {
        calls: 2,
        last_age_seconds: Some(9),
        ..Default::default()
    };
    let called = ["orders.refund", "deploys.start", "orders.list"];
    let called = called.map(|id| (id.parse().unwrap(), past.clone()));
    let put = Put::refund().with(|it| it.history = called.into());
    put.ask(|question| {
        let decide = || policies.decide_kept(question, &kept);
        assert_eq!(shown(&decide()), "allow all");
        let warm = measure(|| drop(decide()));
        assert_eq!(warm.count_total, 0, "{warm:?}");
        // What is not kept is not free, and the counter sees it.
        let cold = measure(|| drop(policies.decide_kept(question, &Kept::default())));
        assert!(cold.count_total > 0, "{cold:?}");
    });
}
