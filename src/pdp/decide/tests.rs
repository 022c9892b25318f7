use cedar_policy::Schema;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::model::{Inputs, OperationHistory, Proof, RiskFacts};
use crate::pdp::Until;
use crate::pdp::testing::{Asked, House, random, shown};

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

/// Whole set, whole context, Cedar's own authorizer: what the index and the lean context must equal.
fn reference(policies: &Policies, asked: &Asked, schema: &Schema) -> Decision {
    let judged = asked.ask(|question| {
        let (agent, target) = policies.admit(question)?;
        let lean = policies.request(question, &agent.uid, target, &Reads::everything())?;
        let request = Request::new(
            agent.uid.clone(),
            target.action.clone(),
            target.resource.clone(),
            lean.context().unwrap().clone(),
            Some(schema),
        );
        let (entities, whole) = (&policies.directory.entities, policies.index.whole());
        let response = Authorizer::new().is_authorized(&request.unwrap(), &whole, entities);
        let depends = policies.index.slice(agent, target).depends;
        policies.weigh_response(&response, question, depends)
    });
    match judged {
        Ok(permit) => Decision::Allow(permit),
        Err(denial) => Decision::Deny(denial),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_slice_decides_as_the_whole_set_does(
        statements in prop::collection::vec(random::statement(), 1..12),
        questions in prop::collection::vec(random::asked(), 12),
    ) {
        let text = statements.join("\n");
        let policies = House::new().policies(&text);
        let (schema, _) = Schema::from_cedarschema_str(policies.schema()).unwrap();
        for asked in &questions {
            let expected = format!("{:?}", reference(&policies, asked, &schema));
            // Twice: the second answer comes from the cached slice.
            for _ in 0..2 {
                let got = format!("{:?}", asked.ask(|question| policies.decide(question)));
                prop_assert_eq!(&got, &expected, "{}\n{:#?}", text, asked);
            }
        }
    }
}

#[test]
fn policies_are_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&House::new().policies(ALL));
}

/// What has turned, and until when.
fn turned(policies: &Policies, asked: &Asked) -> (Option<String>, Until) {
    let turned = asked.ask(|question| policies.turned(question));
    (turned.rule.map(|(_, id)| id.to_string()), turned.until)
}

#[test]
fn what_is_not_compiled_turns_as_what_is() {
    let forbid = |id: &str, condition: &str| {
        format!(
            "@id(\"{id}\") @on_change(\"end\") forbid(principal, action == Action::\"orders.list\", resource) when {{ {condition} }};"
        )
    };
    let risky = |score| {
        Asked::list().with(|asked| {
            asked.risk.score = score;
            // At rest nothing is known of a call.
            asked.content_length = None;
        })
    };
    let minute = Until::at(
        "2026-11-18T14:31:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .as_millisecond(),
    );
    for (condition, until) in [
        ("{ score: context.risk.score }.score > 70", Until::EVER),
        (
            "{ late: context.local.hour > 20 }.late || context.risk.score > 70",
            minute,
        ),
        (
            "{ at: context.now }.at < datetime(\"2026-01-01\") || context.risk.score > 70",
            Until::NOW,
        ),
        (
            "(if context.risk.known then context else context).risk.score > 70",
            Until::NOW,
        ),
    ] {
        let policies = House::new().policies(&forbid("odd", condition));
        assert_eq!(policies.interpreted().count(), 1, "{condition}");
        let watched = policies.watched(&Asked::list().agent, &"orders.list".parse().unwrap());
        assert!(watched.unwrap().depends.risk, "{condition}");
        assert_eq!(turned(&policies, &risky(10)), (None, until), "{condition}");
        let odd = Some("odd".to_owned());
        assert_eq!(turned(&policies, &risky(80)), (odd, until), "{condition}");
    }
    // One that fails has turned where it is plain what it reads; it may be the call that it lacks elsewhere.
    let plain = forbid(
        "odd",
        "{ sum: context.risk.score + 9223372036854775807 }.sum > 0",
    );
    let policies = House::new().policies(&plain);
    assert_eq!(turned(&policies, &risky(10)).0.as_deref(), Some("odd"));
    // What it plainly reads of a call is asked at a call.
    let of_calls = forbid("odd", "{ of: context.http.method }.of == \"GET\"");
    let policies = House::new().policies(&of_calls);
    let operation = "orders.list".parse().unwrap();
    assert_eq!(policies.watched(&Asked::list().agent, &operation), None);
}

#[test]
fn what_is_watched_has_the_same_signature_where_its_rules_and_parties_are_the_same() {
    let rule = |score: i64| {
        format!(
            "@id(\"risky\") @on_change(\"end\") forbid(principal in AgentGroup::\"billing\", action in Action::\"call\", resource) when {{ context.risk.score > {score} }};"
        )
    };
    let other = "@id(\"any\") permit(principal, action, resource);";
    let signature = |house: &House, text: &str, agent: &str, operation: &str| {
        let policies = house.policies(text);
        let watched = policies.watched(&agent.parse().unwrap(), &operation.parse().unwrap());
        watched.map(|watched| watched.signature)
    };
    let of = |text: &str| signature(&House::new(), text, "billing-bot", "orders.list");
    let before = of(&rule(70));
    assert!(before.is_some());
    assert_eq!(of(&format!("{other}\n{}", rule(70))), before);
    assert_ne!(of(&rule(71)), before);
    assert_ne!(
        of(&format!(
            "{}\n{}",
            rule(70),
            rule(60).replace("risky", "more")
        )),
        before
    );
    assert_eq!(of(other), None);
    let mut moved = House::new();
    for agent in &mut moved.agents {
        agent.groups.insert("moved".parse().unwrap());
    }
    assert_ne!(
        signature(&moved, &rule(70), "billing-bot", "orders.list"),
        before
    );
}
