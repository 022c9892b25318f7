//! Random rules and questions over the small house.

use proptest::prelude::*;
use proptest::sample::select;

use super::Asked;
use crate::model::{InputValue, Inputs, OperationHistory, Proof, RiskFacts};

/// Conditions that are sound under every scope: what calls alone have is tested for first.
pub(in crate::pdp) const ATOMS: &[&str] = &[
    "true",
    "context.risk.known && context.risk.score < 50",
    "context.risk.score + 9223372036854775800 > 0",
    "context.local.hour >= 9 && context.local.hour < 17",
    "context.local.weekday <= 5",
    "(context).local.hour >= 9",
    "context.local.date == \"2026-11-18\"",
    "context.now < datetime(\"2026-11-18T12:00:00Z\")",
    "context.source.ip.isInRange(ip(\"10.0.0.0/8\"))",
    "context.source has country && context.source.country == \"CH\"",
    "context.source.known",
    "context has task && context.task.kind == \"support\"",
    "context has task.opened_by && context.task.opened_by like \"ana*\"",
    "context.auth.factors >= 2",
    "context[\"auth\"].methods.contains(\"mtls\")",
    "context.auth.proof == \"dpop\"",
    "context.usual.network || context.usual.hour",
    "context has grant && context.grant.age_seconds < 600",
    "context has grant && context.grant has calls_left && context.grant.calls_left - 1 > 0",
    "context has http && context.http.method == \"POST\"",
    "context has http && context.http has content_length && context.http.content_length < 100",
    "context has input && context.input has amount && context.input.amount <= 500",
    "context has input && context.input has urgent && context.input.urgent",
    "context has history && context.history[\"orders.refund\"].calls < 3",
    "context has history && context.history[\"orders.refund\"].sum.amount * 9223372036854775807 > 0",
    "context has history && context.history[\"deploys.list\"] has last_age_seconds",
    "context has history && context.history[\"write\"].calls < 6",
    "context has history && context.history[\"risk:high\"].sum.amount + 9223372036854775806 > 0",
    "context has history && context.history.call has last_age_seconds && context.history.call.last_age_seconds < 3",
    "context has history && context.history == context.history",
    "context == context",
    "principal in AgentGroup::\"billing\"",
    "principal == Agent::\"loner\"",
    "action in Action::\"write\"",
    "action == Action::\"request\"",
    "resource is Service && resource == Service::\"orders\"",
];

/// Conditions that strict validation refuses, under some scopes or all.
const UNSOUND: &[&str] = &[
    "context.grant.age_seconds < 600",
    "context.input.amount < 5",
    "context.http.method == \"GET\"",
    "context.risk.scor < 5",
    "context.input.urgent < 5",
    "context.history[\"orders.list\"].sum.amount > 5",
    "context.history[\"read\"].sum.amount > 5",
    "context.history[\"wrte\"].calls > 5",
];

const PRINCIPALS: &[&str] = &[
    "principal",
    "principal is Agent",
    "principal == Agent::\"billing-bot\"",
    "principal in Agent::\"deploy-bot\"",
    "principal in AgentGroup::\"billing\"",
    "principal is Agent in AgentGroup::\"night\"",
    "principal == AgentGroup::\"ops\"",
];

const ACTIONS: &[&str] = &[
    "action",
    "action == Action::\"request\"",
    "action == Action::\"orders.refund\"",
    "action == Action::\"write\"",
    "action in Action::\"orders.list\"",
    "action in Action::\"call\"",
    "action in Action::\"orders\"",
    "action in Action::\"risk:low\"",
    "action in Action::\"baseline\"",
    "action in [Action::\"deploys.start\", Action::\"write\", Action::\"request\"]",
];

const RESOURCES: &[&str] = &[
    "resource",
    "resource is Service",
    "resource is Entitlement",
    "resource == Service::\"orders\"",
    "resource in Service::\"deploys\"",
    "resource == Entitlement::\"refunds\"",
    "resource is Entitlement in Entitlement::\"reading\"",
];

/// What a rule applies to.
pub(in crate::pdp) fn scope() -> impl Strategy<Value = String> {
    let scope = (select(PRINCIPALS), select(ACTIONS), select(RESOURCES));
    scope.prop_map(|(principal, action, resource)| format!("{principal}, {action}, {resource}"))
}

fn condition(atoms: Vec<&'static str>) -> impl Strategy<Value = String> {
    let atom = select(atoms).prop_map(str::to_owned);
    atom.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("if {a} then {b} else {c}")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn statement_of(atoms: Vec<&'static str>) -> impl Strategy<Value = String> {
    let requires = select(vec![
        "",
        "",
        "mfa",
        "proof:dpop",
        "approval:leads",
        "mfa, approval:leads",
    ]);
    let scope = (select(PRINCIPALS), select(ACTIONS), select(RESOURCES));
    let when = prop::option::weighted(0.8, condition(atoms));
    let word = select(vec!["when", "unless"]);
    (any::<bool>(), scope, when, word, requires).prop_map(
        |(permit, (principal, action, resource), condition, word, requires)| {
            let clause = condition.map_or(String::new(), |it| format!(" {word} {{ {it} }}"));
            let scope = format!("({principal}, {action}, {resource}){clause};");
            match (permit, requires) {
                (false, _) => format!("forbid{scope}"),
                (true, "") => format!("permit{scope}"),
                (true, _) => format!("@require(\"{requires}\") permit{scope}"),
            }
        },
    )
}

/// A statement that strict validation takes.
pub(in crate::pdp) fn statement() -> impl Strategy<Value = String> {
    statement_of(ATOMS.to_vec())
}

/// A statement that strict validation may refuse.
pub(in crate::pdp) fn doubtful_statement() -> impl Strategy<Value = String> {
    statement_of([ATOMS, UNSOUND].concat())
}

/// A question about anything that the house knows.
pub(in crate::pdp) fn asked() -> impl Strategy<Value = Asked> {
    let who = select(vec!["billing-bot", "deploy-bot", "loner"]);
    let what = select(vec![
        "",
        "orders.list",
        "orders.refund",
        "orders.ping",
        "deploys.list",
        "deploys.start",
    ]);
    let entitlement = select(vec!["reading", "refunds", "releases"]);
    let grant = (
        prop::bool::weighted(0.8),
        select(vec![0, 700]),
        prop::option::of(select(vec![i64::MIN, 0, 5])),
        prop::option::of(select(vec![0_i64, 1000])),
        any::<bool>(),
    );
    let amount = select(vec![-1_i64, 100, 501]);
    let history = prop::option::of((0_i64..5, select(vec![0_i64, 1, 2]), any::<bool>()));
    let now = select(vec![
        "2026-11-18T08:30:00Z",
        "2026-11-18T14:30:00Z",
        "2026-11-22T23:59:59Z",
    ]);
    let source = (
        select(vec!["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"]),
        any::<bool>(),
    );
    let risk = select(vec![(0, true), (20, true), (80, true), (100, false)]);
    let auth = (1_i64..3, select(vec![Proof::Bearer, Proof::Dpop]));
    let task = prop::option::of(select(vec!["support", ""]));
    let about = (who, what, entitlement, grant, amount, history);
    let around = (now, source, risk, auth, task, any::<[bool; 3]>());
    (about, around).prop_map(|(about, around)| build(about, around))
}

type About = (
    &'static str,
    &'static str,
    &'static str,
    (bool, i64, Option<i64>, Option<i64>, bool),
    i64,
    Option<(i64, i64, bool)>,
);

type Around = (
    &'static str,
    (&'static str, bool),
    (i64, bool),
    (i64, Proof),
    Option<&'static str>,
    [bool; 3],
);

fn build(about: About, around: Around) -> Asked {
    let (who, what, entitlement, grant, amount, history) = about;
    let (now, (ip, known), (score, scored), (factors, proof), kind, usual) = around;
    let mut asked = Asked::list();
    asked.agent = who.parse().unwrap();
    asked.operation = (!what.is_empty()).then(|| what.parse().unwrap());
    asked.entitlement = entitlement.parse().unwrap();
    (
        asked.granted,
        asked.grant_age,
        asked.calls_left,
        asked.content_length,
    ) = (grant.0, grant.1, grant.2, grant.3);
    if grant.4 {
        asked.approved_by.push("leads".parse().unwrap());
    }
    asked.input = inputs(what, amount, known);
    if let Some((calls, sum, seen)) = history {
        let of_refunds = OperationHistory {
            calls,
            succeeded: calls,
            last_age_seconds: seen.then_some(3),
            sum: [("amount".into(), sum)].into(),
        };
        asked
            .history
            .insert("orders.refund".parse().unwrap(), of_refunds.clone());
        asked
            .history
            .insert("deploys.list".parse().unwrap(), of_refunds);
        let of_starts = OperationHistory {
            calls: 2,
            succeeded: sum,
            last_age_seconds: Some(calls),
            sum: [("replicas".into(), calls)].into(),
        };
        asked
            .history
            .insert("deploys.start".parse().unwrap(), of_starts);
    }
    asked.now = now.parse().unwrap();
    asked.source.ip = ip.parse().unwrap();
    asked.source.known = known;
    asked.source.country = scored.then(|| "CH".into());
    asked.risk = RiskFacts {
        score,
        age_seconds: 0,
        known: scored,
    };
    (asked.auth.factors, asked.auth.proof) = (factors, proof);
    match kind {
        None => asked.task = None,
        Some(kind) => asked
            .task
            .iter_mut()
            .for_each(|task| task.1 = kind.to_owned()),
    }
    (asked.usual.network, asked.usual.hour, asked.usual.operation) = (usual[0], usual[1], usual[2]);
    asked
}

fn inputs(operation: &str, amount: i64, urgent: bool) -> Inputs {
    match operation {
        "orders.refund" => [
            ("amount".into(), InputValue::Long(amount)),
            ("currency".into(), InputValue::String("EUR".into())),
            ("urgent".into(), InputValue::Bool(urgent)),
        ]
        .into(),
        "deploys.start" => [("replicas".into(), InputValue::Long(amount))].into(),
        _ => Inputs::new(),
    }
}
