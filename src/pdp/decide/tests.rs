mod signals;
mod turned;
mod whole;

use cedar_policy::Schema;

use super::*;
use crate::model::{Inputs, Proof};
use crate::pdp::testing::{Asked, House, shown};

/// Asks, and holds the question's whole context against the schema: what is built must be what rules
/// are validated against.
fn decide(policies: &Policies, asked: &Asked) -> Decision {
    asked.ask(|question| {
        if let Ok((agent, target)) = policies.admit(question) {
            let (schema, _) = Schema::from_cedarschema_str(policies.schema()).unwrap();
            let everything = Reads::everything();
            let request = policies
                .request(question, &agent.uid, target, &everything)
                .unwrap();
            let context = request.context().unwrap();
            context.validate(&schema, &target.action).unwrap();
        }
        policies.decide(question)
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "tables read better without borrows"
)]
fn check(rules: &str, asked: Asked, expected: &str) {
    let policies = House::new().policies(rules);
    assert_eq!(
        shown(&decide(&policies, &asked)),
        expected,
        "{rules}\n{asked:#?}"
    );
}

const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

#[test]
fn nothing_is_called_without_a_grant_that_covers_it() {
    let ungranted = |asked: Asked| asked.with(|it| it.granted = false);
    check(ALL, Asked::refund(), "allow all");
    check(ALL, ungranted(Asked::refund()), "grant_required");
    check(ALL, ungranted(Asked::list()), "grant_required");
    let foreign =
        |asked: Asked, name: &str| asked.with(|it| it.entitlement = name.parse().unwrap());
    check(ALL, foreign(Asked::refund(), "reading"), "grant_required");
    check(
        ALL,
        foreign(Asked::refund(), "unheard-of"),
        "grant_required",
    );
    // What no rule could be asked about needs no more than the grant that is missing.
    check(
        ALL,
        ungranted(Asked::refund()).with(|it| it.input.clear()),
        "grant_required",
    );
    let ping = |asked: Asked| asked.with(|it| it.operation = Some("orders.ping".parse().unwrap()));
    check(ALL, ungranted(ping(Asked::list())), "allow all");
    check("", ungranted(ping(Asked::list())), "condition_denied");
    check(
        "@id(\"b\") permit(principal, action in Action::\"baseline\", resource);",
        ungranted(ping(Asked::list())),
        "allow b",
    );
}

#[test]
fn what_is_not_known_is_refused() {
    let unknown = |it: &mut Asked| it.operation = Some("orders.burn".parse().unwrap());
    check(ALL, Asked::list().with(unknown), "operation_unknown");
    let stranger = |it: &mut Asked| it.agent = "stranger".parse().unwrap();
    check(ALL, Asked::list().with(stranger), "condition_denied");
    let nothing = |it: &mut Asked| it.entitlement = "nothing".parse().unwrap();
    check(ALL, Asked::request().with(nothing), "condition_denied");
    let policies = House::new().policies(ALL);
    for asked in [Asked::list().with(stranger), Asked::request().with(nothing)] {
        let Decision::Deny(denial) = decide(&policies, &asked) else {
            panic!("{asked:?}");
        };
        assert!(
            denial
                .error
                .is_some_and(|error| error.starts_with("the policies know no "))
        );
    }
}

#[test]
fn inputs_are_exactly_those_declared() {
    let change = |change: fn(&mut Inputs)| Asked::refund().with(|it| change(&mut it.input));
    check(ALL, change(Inputs::clear), "input_invalid");
    check(ALL, change(|it| drop(it.remove("urgent"))), "input_invalid");
    let extra = |it: &mut Inputs| drop(it.insert("x".into(), InputValue::Bool(true)));
    check(ALL, change(extra), "input_invalid");
    let text = InputValue::String("100".into());
    let mistyped = Asked::refund().with(|it| drop(it.input.insert("amount".into(), text)));
    check(ALL, mistyped, "input_invalid");
}

#[test]
fn forbids_win_and_are_named_in_the_order_of_the_files() {
    let rules = r#"
        @id("yes") permit(principal, action, resource);
        @id("z") @message("first") forbid(principal, action, resource) when { context.risk.score >= 50 };
        @id("a") @message("second") forbid(principal, action in Action::"write", resource) when { context.risk.score >= 40 };
    "#;
    let risk = |score| Asked::refund().with(|it| it.risk.score = score);
    check(rules, risk(39), "allow yes");
    check(rules, risk(40), "condition_denied a \"second\"");
    check(rules, risk(50), "condition_denied z a \"first\"");
    check("", risk(0), "condition_denied");
    let narrow =
        "@id(\"x\") @message(\"no\") permit(principal == Agent::\"loner\", action, resource);";
    check(narrow, risk(0), "condition_denied");
}

#[test]
fn every_permit_that_counts_is_named() {
    let rules = r#"
        @id("b") permit(principal, action, resource);
        @id("a") permit(principal in AgentGroup::"billing", action in Action::"risk:high", resource == Service::"orders");
        @id("mfa") @require("mfa") permit(principal, action, resource);
    "#;
    check(rules, Asked::refund(), "allow b a");
    check(rules, Asked::list(), "allow b");
    check(
        rules,
        Asked::refund().with(|it| it.auth.factors = 2),
        "allow b a mfa",
    );
}

/// An error in any rule that is in scope is a refusal: Cedar alone would skip the forbid and allow.
#[test]
fn a_rule_that_fails_denies() {
    let rules = r#"
        @id("yes") permit(principal, action, resource);
        @id("guard") @message("no") forbid(principal, action == Action::"orders.refund", resource)
        when { context.input.amount + 9223372036854775807 < 0 };
    "#;
    check(rules, Asked::list(), "allow yes");
    check(rules, Asked::refund(), "condition_denied guard");
    check(
        rules,
        Asked::refund().with(|it| drop(it.input.insert("amount".into(), InputValue::Long(0)))),
        "allow yes",
    );
    let policies = House::new().policies(rules);
    let Decision::Deny(denial) = decide(&policies, &Asked::refund()) else {
        panic!("allowed");
    };
    let error = denial.error.unwrap();
    assert!(
        error.starts_with("rule `guard` can't be evaluated: integer overflow"),
        "{error}"
    );
    let failing_permit = "@id(\"p\") permit(principal, action, resource) when { context.risk.score + 9223372036854775807 < 0 };";
    check(
        &format!("{ALL} {failing_permit}"),
        Asked::list(),
        "condition_denied p",
    );
}

#[test]
fn permits_may_require_more() {
    let shown_by = |factors, proof, groups: &[&str]| {
        Asked::refund().with(|it| {
            (it.auth.factors, it.auth.proof) = (factors, proof);
            it.approved_by = groups.iter().map(|group| group.parse().unwrap()).collect();
        })
    };
    let none = || shown_by(1, Proof::Bearer, &[]);
    let requiring = |requires: &str| {
        format!(
            "@id(\"r\") @message(\"more\") @require(\"{requires}\") permit(principal, action, resource);"
        )
    };
    check(&requiring("mfa"), none(), "mfa_required r \"more\"");
    check(
        &requiring("mfa"),
        shown_by(2, Proof::Bearer, &[]),
        "allow r",
    );
    check(
        &requiring("proof:dpop"),
        none(),
        "proof_required r \"more\"",
    );
    check(
        &requiring("proof:dpop"),
        shown_by(1, Proof::Mtls, &[]),
        "proof_required r \"more\"",
    );
    check(
        &requiring("proof:dpop"),
        shown_by(1, Proof::Dpop, &[]),
        "allow r",
    );
    check(
        &requiring("proof:mtls"),
        shown_by(1, Proof::Mtls, &[]),
        "allow r",
    );
    let leads = requiring("approval:leads");
    check(&leads, none(), "approval_required r \"more\"");
    check(
        &leads,
        shown_by(9, Proof::Dpop, &["security"]),
        "approval_required r \"more\"",
    );
    check(
        &leads,
        shown_by(1, Proof::Bearer, &["security", "leads"]),
        "allow r",
    );
    check(&leads, Asked::request(), "approval_required r \"more\"");
    let approved = |it: &mut Asked| it.approved_by.push("leads".parse().unwrap());
    check(&leads, Asked::request().with(approved), "allow r");
    let both = requiring("approval:leads, mfa");
    check(&both, none(), "approval_required r \"more\"");
    check(
        &both,
        shown_by(1, Proof::Bearer, &["leads"]),
        "mfa_required r \"more\"",
    );
    check(
        &both,
        shown_by(2, Proof::Bearer, &[]),
        "approval_required r \"more\"",
    );
    check(&both, shown_by(2, Proof::Bearer, &["leads"]), "allow r");
}

#[test]
fn the_least_that_is_missing_is_asked_for() {
    let rules = r#"
        @id("two") @require("mfa, proof:dpop") permit(principal, action, resource);
        @id("one") @require("approval:leads") permit(principal, action, resource);
        @id("other") @require("mfa") permit(principal, action, resource);
        @id("no") forbid(principal, action, resource) when { context.risk.score > 90 };
    "#;
    check(rules, Asked::refund(), "approval_required one");
    let dpop = Asked::refund().with(|it| it.auth.proof = Proof::Dpop);
    check(rules, dpop, "mfa_required two");
    check(
        rules,
        Asked::refund().with(|it| it.auth.factors = 2),
        "allow other",
    );
    check(
        rules,
        Asked::refund().with(|it| it.risk.score = 91),
        "condition_denied no",
    );
    let policies = House::new().policies(rules);
    let Decision::Deny(denial) = decide(&policies, &Asked::refund()) else {
        panic!("allowed");
    };
    let leads = Requirement::Approval("leads".parse().unwrap());
    assert_eq!(denial.requires, Some(leads));
}

#[test]
fn scopes_take_in_groups() {
    let by = |agent: &str| {
        Asked::list().with(|it| {
            it.agent = agent.parse().unwrap();
            it.entitlement = "reading".parse().unwrap();
        })
    };
    let rule = |scope: &str| format!("@id(\"r\") permit({scope});");
    let scoped = |scope: &str, agent: &str, expected| check(&rule(scope), by(agent), expected);
    scoped(
        "principal in AgentGroup::\"billing\", action, resource",
        "billing-bot",
        "allow r",
    );
    scoped(
        "principal in AgentGroup::\"billing\", action, resource",
        "loner",
        "condition_denied",
    );
    scoped(
        "principal in AgentGroup::\"night\", action, resource",
        "deploy-bot",
        "allow r",
    );
    scoped(
        "principal == Agent::\"loner\", action, resource",
        "loner",
        "allow r",
    );
    for (group, expected) in [
        ("call", "allow r"),
        ("orders", "allow r"),
        ("read", "allow r"),
        ("risk:low", "allow r"),
        ("orders.list", "allow r"),
        ("write", "condition_denied"),
        ("deploys", "condition_denied"),
        ("risk:medium", "condition_denied"),
        ("baseline", "condition_denied"),
        ("request", "condition_denied"),
    ] {
        scoped(
            &format!("principal, action in Action::\"{group}\", resource"),
            "loner",
            expected,
        );
    }
    scoped(
        "principal, action, resource == Service::\"orders\"",
        "loner",
        "allow r",
    );
    scoped(
        "principal, action, resource == Service::\"deploys\"",
        "loner",
        "condition_denied",
    );
    scoped(
        "principal, action, resource is Entitlement",
        "loner",
        "condition_denied",
    );
    let ask = |name: &str| Asked::request().with(|it| it.entitlement = name.parse().unwrap());
    let asking =
        rule("principal, action == Action::\"request\", resource == Entitlement::\"refunds\"");
    check(&asking, ask("refunds"), "allow r");
    check(&asking, ask("reading"), "condition_denied");
    check(&asking, Asked::list(), "condition_denied");
}

#[test]
fn policies_are_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&House::new().policies(ALL));
}
