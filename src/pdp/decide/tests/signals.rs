//! What conditions see.

use jiff::tz::TimeZone;

use super::*;
use crate::model::{OperationHistory, Proof, RiskFacts};

/// A permit under a condition, asked with the condition true and false.
#[expect(
    clippy::needless_pass_by_value,
    reason = "tables read better without borrows"
)]
fn check_signal(condition: &str, yes: Asked, no: Asked) {
    let rule = format!("@id(\"r\") permit(principal, action, resource) when {{ {condition} }};");
    let policies = House::new().policies(&rule);
    assert_eq!(
        shown(&decide(&policies, &yes)),
        "allow r",
        "{condition}\n{yes:#?}"
    );
    assert_eq!(
        shown(&decide(&policies, &no)),
        "condition_denied",
        "{condition}\n{no:#?}"
    );
}

fn at(now: &str, zone: &str) -> Asked {
    let zone = TimeZone::get(zone).unwrap();
    Asked::refund().with(|it| (it.now, it.time_zone) = (now.parse().unwrap(), zone))
}

#[test]
fn conditions_see_time() {
    let hours = "context.local.hour >= 9 && context.local.hour < 17";
    check_signal(
        hours,
        at("2026-11-18T08:00:00Z", "Europe/Zurich"),
        at("2026-11-18T07:59:59Z", "Europe/Zurich"),
    );
    // The same instant of the day, an hour later on the clock in summer.
    check_signal(
        hours,
        at("2026-07-15T07:30:00Z", "Europe/Zurich"),
        at("2026-12-15T07:30:00Z", "Europe/Zurich"),
    );
    // The hour that does not exist on the day the clocks go forward, and the one that exists twice.
    let two = "context.local.hour == 2";
    check_signal(
        two,
        at("2026-03-28T01:30:00Z", "Europe/Zurich"),
        at("2026-03-29T01:30:00Z", "Europe/Zurich"),
    );
    check_signal(
        two,
        at("2026-10-25T00:30:00Z", "Europe/Zurich"),
        at("2026-10-25T02:30:00Z", "Europe/Zurich"),
    );
    check_signal(
        two,
        at("2026-10-25T01:30:00Z", "Europe/Zurich"),
        at("2026-10-24T23:30:00Z", "Europe/Zurich"),
    );
    let minute = "context.local.minute == 45";
    check_signal(
        minute,
        at("2026-11-18T00:00:00Z", "Asia/Kathmandu"),
        at("2026-11-18T00:00:00Z", "UTC"),
    );
    let monday = "context.local.weekday == 1 && context.local.date == \"2026-11-16\"";
    check_signal(
        monday,
        at("2026-11-15T15:00:00Z", "Asia/Tokyo"),
        at("2026-11-15T14:59:59Z", "Asia/Tokyo"),
    );
    let sunday = "context.local.weekday == 7";
    check_signal(
        sunday,
        at("2026-11-22T23:59:59Z", "UTC"),
        at("2026-11-23T00:00:00Z", "UTC"),
    );
    let until = "context.now < datetime(\"2026-11-18T12:00:00.500Z\")";
    check_signal(
        until,
        at("2026-11-18T12:00:00.499999Z", "UTC"),
        at("2026-11-18T12:00:00.5Z", "UTC"),
    );
}

#[test]
fn conditions_see_the_source() {
    let from = |ip: &str| Asked::refund().with(|it| it.source.ip = ip.parse().unwrap());
    let inside = "context.source.ip.isInRange(ip(\"10.0.0.0/8\"))";
    check_signal(inside, from("10.255.0.1"), from("11.0.0.1"));
    check_signal(inside, from("::ffff:10.0.0.1"), from("::ffff:11.0.0.1"));
    check_signal(
        "context.source.ip.isInRange(ip(\"2001:db8::/32\"))",
        from("2001:db8::1"),
        from("10.0.0.1"),
    );
    let known = |known| Asked::refund().with(|it| it.source.known = known);
    check_signal("context.source.known", known(true), known(false));
    let country = |name: &str| Asked::refund().with(|it| it.source.country = Some(name.into()));
    let swiss = "context.source has country && context.source.country == \"CH\"";
    check_signal(swiss, country("CH"), country("FR"));
    check_signal(swiss, country("CH"), Asked::refund());
}

#[test]
fn conditions_see_the_task() {
    let of = |kind: &str, by: &str| {
        let task = ("t-9".parse().unwrap(), kind.to_owned(), by.to_owned());
        Asked::refund().with(|it| it.task = Some(task))
    };
    let none = || Asked::refund().with(|it| it.task = None);
    let support = "context has task && context.task.kind == \"support\"";
    check_signal(support, of("support", "x"), of("sales", "x"));
    check_signal(support, of("support", "x"), none());
    check_signal(
        "context has task.opened_by && context.task.opened_by == \"ana\"",
        of("", "ana"),
        of("", "eve"),
    );
    check_signal(
        "context has task && context.task.id == \"t-9\" && context.task.depth == 0 && context.task.age_seconds < 121",
        of("", ""),
        none(),
    );
    check_signal("!(context has task)", none(), of("", ""));
}

#[test]
fn conditions_see_risk_proof_and_habit() {
    let risk = |risk| Asked::refund().with(|it| it.risk = risk);
    let scored = |score, age_seconds| {
        risk(RiskFacts {
            score,
            age_seconds,
            known: true,
        })
    };
    check_signal("context.risk.score < 50", scored(49, 0), scored(50, 0));
    check_signal(
        "context.risk.score < 50",
        scored(49, 0),
        risk(RiskFacts::UNKNOWN),
    );
    check_signal(
        "context.risk.known && context.risk.age_seconds <= 60",
        scored(99, 60),
        scored(0, 61),
    );
    check_signal(
        "!context.risk.known && context.risk.score == 100",
        risk(RiskFacts::UNKNOWN),
        scored(100, 0),
    );
    let auth = |factors, proof, methods: &'static [&'static str]| {
        Asked::refund().with(|it| {
            (it.auth.factors, it.auth.proof, it.auth.methods) = (factors, proof, methods);
        })
    };
    let bearer = || auth(1, Proof::Bearer, &["private_key_jwt"]);
    check_signal(
        "context.auth.proof == \"dpop\"",
        auth(1, Proof::Dpop, &[]),
        bearer(),
    );
    check_signal(
        "context.auth.factors > 1",
        auth(2, Proof::Bearer, &[]),
        bearer(),
    );
    check_signal(
        "context.auth.methods.containsAll([\"a\", \"b\"])",
        auth(1, Proof::Bearer, &["b", "a"]),
        auth(1, Proof::Bearer, &["b"]),
    );
    let usual = |network, hour, operation| {
        Asked::refund().with(|it| {
            (it.usual.network, it.usual.hour, it.usual.operation) = (network, hour, operation);
        })
    };
    check_signal(
        "context.usual.network",
        usual(true, false, false),
        usual(false, true, true),
    );
    check_signal(
        "context.usual.hour",
        usual(false, true, false),
        usual(true, false, true),
    );
    check_signal(
        "context.usual.operation",
        usual(false, false, true),
        usual(true, true, false),
    );
}

#[test]
fn conditions_see_the_call() {
    let amount = |amount| {
        Asked::refund().with(|it| drop(it.input.insert("amount".into(), InputValue::Long(amount))))
    };
    let cap = "context has input && context.input has amount && context.input.amount <= 500";
    check_signal(cap, amount(500), amount(501));
    check_signal(
        "context has input && context.input has currency && context.input.currency == \"EUR\"",
        amount(1),
        Asked::list(),
    );
    let aged = |age| Asked::refund().with(|it| it.grant_age = age);
    let young = "context has grant && context.grant.age_seconds < 300 && context.grant.entitlement == \"refunds\" && context.grant.id == \"g-1\"";
    check_signal(young, aged(299), aged(300));
    check_signal(young, aged(0), Asked::request());
    let left = |left| Asked::refund().with(|it| it.calls_left = left);
    check_signal(
        "context has grant && context.grant has calls_left && context.grant.calls_left > 1",
        left(Some(2)),
        left(Some(1)),
    );
    check_signal(
        "context has grant && !(context.grant has calls_left)",
        left(None),
        left(Some(1)),
    );
    let long = |length| Asked::refund().with(|it| it.content_length = length);
    let small =
        "context has http && context.http has content_length && context.http.content_length < 1000";
    check_signal(small, long(Some(999)), long(None));
    check_signal(
        "context has http && context.http.method == \"POST\" && context.http.host == \"orders.internal\" && context.http.path like \"/orders/*/refund\"",
        Asked::refund(),
        Asked::request(),
    );
}

#[test]
fn conditions_see_the_history_of_the_task() {
    let past = |calls, succeeded, amount, last| {
        let of_refunds = OperationHistory {
            calls,
            succeeded,
            last_age_seconds: last,
            sum: [("amount".into(), amount)].into(),
        };
        Asked::refund().with(|it| {
            drop(
                it.history
                    .insert("orders.refund".parse().unwrap(), of_refunds),
            )
        })
    };
    let first = || Asked::refund();
    let refunds =
        |rest: &str| format!("context has history && context.history[\"orders.refund\"]{rest}");
    check_signal(&refunds(".calls < 3"), first(), past(3, 3, 0, None));
    check_signal(
        &refunds(".succeeded >= 1"),
        past(1, 1, 0, None),
        past(1, 0, 0, None),
    );
    check_signal(&refunds(".succeeded >= 1"), past(1, 1, 0, None), first());
    check_signal(
        &refunds(".sum.amount + 100 <= 500"),
        past(1, 1, 400, None),
        past(1, 1, 401, None),
    );
    check_signal(&refunds(".sum.amount == 0"), first(), past(1, 1, 1, None));
    let rested = &refunds(
        " has last_age_seconds && context.history[\"orders.refund\"].last_age_seconds > 10",
    );
    check_signal(rested, past(1, 1, 0, Some(11)), past(1, 1, 0, Some(10)));
    check_signal(rested, past(1, 1, 0, Some(11)), first());
}

/// Two operations of one group, and one that is in none of its.
#[test]
fn conditions_see_the_history_of_a_group() {
    let past = |called: &[(&str, i64, i64, i64)]| {
        Asked::refund().with(|it| {
            for (id, calls, last, sum) in called {
                let of = OperationHistory {
                    calls: *calls,
                    succeeded: *calls,
                    last_age_seconds: Some(*last),
                    sum: [("amount".into(), *sum), ("replicas".into(), *sum)].into(),
                };
                it.history.insert(id.parse().unwrap(), of);
            }
        })
    };
    let writes = |rest: &str| format!("context has history && context.history[\"write\"]{rest}");
    let two = |refunds, starts| {
        past(&[
            ("orders.refund", refunds, 20, 0),
            ("deploys.start", starts, 30, 0),
            ("orders.list", 9, 1, 0),
        ])
    };
    check_signal(&writes(".calls < 3"), two(1, 1), two(2, 1));
    check_signal(&writes(".calls < 3"), Asked::refund(), two(0, 3));
    check_signal(&writes(".succeeded >= 1"), two(0, 1), Asked::refund());
    let rested = " has last_age_seconds && context.history[\"write\"].last_age_seconds > 20";
    let last = |refund, start| {
        past(&[
            ("orders.refund", 1, refund, 0),
            ("deploys.start", 1, start, 0),
        ])
    };
    check_signal(&writes(rested), last(21, 40), last(40, 20));
    check_signal(&writes(rested), last(40, 21), Asked::refund());
    // What a member does not declare is not summed.
    let sums = |refund, start| {
        past(&[
            ("orders.refund", 1, 9, refund),
            ("deploys.start", 1, 9, start),
        ])
    };
    check_signal(
        &writes(".sum.amount + 100 <= 500"),
        sums(400, 900),
        sums(401, 0),
    );
    check_signal(
        "context has history && context.history[\"call\"].sum.replicas == 3 && context.history[\"deploys\"].sum.replicas == 3",
        sums(9, 3),
        sums(3, 9),
    );
    check_signal(
        "context has history && context.history[\"risk:high\"].calls == 1 && context.history[\"baseline\"].calls == 0",
        two(1, 5),
        two(2, 5),
    );
}

#[test]
fn a_history_is_read_where_one_of_its_groups_is() {
    let house = House::new();
    for (name, read, not) in [
        ("orders.refund", "orders.refund", "deploys.start"),
        ("write", "deploys.start", "orders.list"),
        ("orders", "orders.ping", "deploys.list"),
        ("risk:high", "orders.refund", "deploys.start"),
        ("baseline", "orders.ping", "orders.refund"),
    ] {
        let rule = format!(
            "@id(\"1\") forbid(principal, action == Action::\"orders.list\", resource) \
             when {{ context.history[\"{name}\"].calls > 3 }};"
        );
        let policies = house.policies(&rule);
        let reads = |operation: &str| policies.reads_history_of(&operation.parse().unwrap());
        assert!(reads(read) && !reads(not), "{name}");
    }
    let policies = house.policies("@id(\"1\") permit(principal, action, resource);");
    assert!(!policies.reads_history_of(&"orders.refund".parse().unwrap()));
    assert!(policies.has_group("risk:low") && policies.has_group("write"));
    assert!(!policies.has_group("orders.refund") && !policies.has_group("billing"));
}
