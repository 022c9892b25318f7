use proptest::prelude::*;
use proptest::sample::select;

use crate::pdp::testing::{Asked, House, random, shown};
use crate::pdp::{Decision, Policies, Problem};

/// The rules that are doubted, as `line: message`.
fn doubts(text: &str) -> Vec<String> {
    let house = House::new();
    let (_, problems) = house
        .compile(&[text])
        .unwrap_or_else(|found| panic!("{text}\n{found:#?}"));
    let of_this = problems.iter().filter(|one| is_of_lint(one));
    of_this
        .map(|one| {
            let span = one.span.clone().unwrap();
            let line = text.get(..span.start).unwrap().matches('\n').count() + 1;
            format!("{line}: {}", one.message)
        })
        .collect()
}

/// Whether it says that a rule makes no difference: what is doubted of one by itself is told elsewhere.
fn is_of_lint(problem: &Problem) -> bool {
    let others = [
        "has no `@id`",
        "lets every agent ask",
        "`@on_change` does nothing",
        "this rule counts what",
    ];
    !others.iter().any(|other| problem.message.contains(other))
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(doubts(text), expected, "{text}");
}

const OPEN: &str = "permit (principal, action, resource)";

#[test]
fn a_rule_that_another_covers_changes_nothing() {
    for wider in [
        "permit (principal in AgentGroup::\"billing\", action == Action::\"orders.refund\", resource)",
        "permit (principal == Agent::\"billing-bot\", action in Action::\"write\", resource)",
        "permit (principal == Agent::\"billing-bot\", action in Action::\"orders\", resource)",
        "permit (principal == Agent::\"billing-bot\", action, resource == Service::\"orders\")",
        "permit (principal, action in [Action::\"call\"], resource is Service)",
        OPEN,
    ] {
        for clause in ["", " when { context.risk.score < 5 }"] {
            let narrow = "permit (principal == Agent::\"billing-bot\", action == Action::\"orders.refund\", resource)\
                          \n when { context.risk.score < 5 };";
            let wide = format!("@id(\"wide\") {wider}{clause};");
            let said = "this rule changes nothing: `wide` in line 1 permits all that it does";
            check(
                &format!("{wide}\n@id(\"narrow\") {narrow}"),
                &[&format!("2: {said}")],
            );
            let said = said.replace("line 1", "line 3");
            check(
                &format!("@id(\"narrow\") {narrow}\n{wide}"),
                &[&format!("1: {said}")],
            );
        }
    }
}

#[test]
fn of_two_alike_the_later_one_is_told() {
    let text = "@id(\"a\") forbid (principal, action, resource) when { context.risk.score > 5 };\n\
                @id(\"b\") forbid (principal is Agent, action, resource) when {context.risk.score>5};";
    let said = ["2: this rule changes nothing: `a` in line 1 forbids all that it does"];
    check(text, &said);
    let text = "@id(\"a\") forbid (principal, action, resource) when { context.risk.score > 70 };\n\
                @id(\"b\") forbid (principal, action, resource) unless { context.risk.score < 71 };";
    check(text, &said);
}

#[test]
fn rules_cover_a_wider_one_together() {
    let text = "@id(\"a\") permit (principal, action == Action::\"orders.refund\", resource);\n\
                @id(\"b\") permit (principal, action in Action::\"read\", resource);\n\
                @id(\"c\") permit (principal, action in [Action::\"orders.refund\", Action::\"deploys.list\"], resource);";
    check(
        text,
        &[
            "3: this rule changes nothing: each part of it: `a` in line 1, `b` in line 2; permits all that it does",
        ],
    );
}

#[test]
fn a_number_within_anothers_changes_nothing() {
    let all = "principal, action, resource";
    for (narrow, wide) in [
        (
            "when { context.risk.score > 90 }",
            "when { context.risk.score > 70 }",
        ),
        (
            "when { context.risk.score >= 72 }",
            "when { context.risk.score > 70 }",
        ),
        (
            "when { 90 < context.risk.score }",
            "unless { context.risk.score <= 70 }",
        ),
        (
            "when { context.risk.score <= 5 }",
            "when { context.risk.score < 10 }",
        ),
        (
            "when { context.risk.score == 5 }",
            "when { context.risk.score < 10 }",
        ),
        (
            "when { context.local.hour >= 20 && context.local.hour < 22 }",
            "when { context.local.hour >= 18 }",
        ),
        (
            "when { context.risk.score > 90 && context.risk.known }",
            "when { context.risk.known && context.risk.score > 70 }",
        ),
    ] {
        for (effect, verb) in [("forbid", "forbids"), ("permit", "permits")] {
            let said =
                format!("this rule changes nothing: `wide` in line 1 {verb} all that it does");
            let wide = format!("@id(\"wide\") {effect} ({all}) {wide};");
            for scope in [
                all,
                "principal in AgentGroup::\"billing\", action in Action::\"write\", resource",
            ] {
                let narrow = format!("@id(\"narrow\") {effect} ({scope}) {narrow};");
                check(&format!("{wide}\n{narrow}"), &[&format!("2: {said}")]);
                let said = said.replace("line 1", "line 2");
                check(&format!("{narrow}\n{wide}"), &[&format!("1: {said}")]);
            }
        }
    }
}

#[test]
fn a_number_that_makes_a_difference_is_not_doubted() {
    let scope = "(principal, action, resource)";
    let limit = |before: &str, clause: &str| format!("{before} {scope} {clause};");
    for (one, other) in [
        // Each is for numbers that the other is not for.
        (limit("@id(\"a\") forbid", "when { context.risk.score > 70 }"), limit("@id(\"b\") forbid", "when { context.risk.score < 10 }")),
        (limit("@id(\"a\") forbid", "when { context.risk.score == 70 }"), limit("@id(\"b\") forbid", "when { context.risk.score == 71 }")),
        // It says or does something else.
        (limit("@id(\"a\") @message(\"far too risky\") forbid", "when { context.risk.score > 90 }"), limit("@id(\"b\") @message(\"risky\") forbid", "when { context.risk.score > 70 }")),
        (limit("@id(\"a\") @on_change(\"end\") forbid", "when { context.risk.score > 90 }"), limit("@id(\"b\") @on_change(\"suspend\") forbid", "when { context.risk.score > 70 }")),
        (limit("@id(\"a\") @require(\"mfa\") permit", "when { context.risk.score < 50 }"), limit("@id(\"b\") @require(\"proof:dpop\") permit", "when { context.risk.score < 70 }")),
        (limit("@id(\"a\") permit", "when { context.risk.score < 50 }"), limit("@id(\"b\") @require(\"mfa\") permit", "when { context.risk.score < 70 }")),
        (limit("@id(\"a\") permit", "when { context.risk.score < 50 }"), limit("@id(\"b\") forbid", "when { context.risk.score < 70 }")),
        // The other wants more, or another number.
        (limit("@id(\"a\") forbid", "when { context.risk.score > 90 }"), limit("@id(\"b\") forbid", "when { context.risk.known && context.risk.score > 70 }")),
        (limit("@id(\"a\") forbid", "when { context.risk.score > 90 }"), limit("@id(\"b\") forbid", "when { context.auth.factors > 1 }")),
        // The other is for others.
        (limit("@id(\"a\") forbid", "when { context.risk.score > 90 }"), "@id(\"b\") forbid (principal in AgentGroup::\"ops\", action, resource) when { context.risk.score > 70 };".into()),
        // One that fails refuses.
        (limit("@id(\"a\") permit", "when { context.risk.score > 50 && context.risk.score + 1 > 0 }"), limit("@id(\"b\") permit", "when { context.risk.score > 5 && context.risk.score + 1 > 0 }")),
    ] {
        check(&format!("{one}\n{other}"), &[]);
        check(&format!("{other}\n{one}"), &[]);
    }
}

#[test]
fn what_makes_a_difference_is_not_doubted() {
    let scope = "(principal, action, resource)";
    for text in [
        // The other has conditions of its own, wants more, or says something else of grants.
        format!("@id(\"a\") permit {scope} when {{ context.risk.score < 5 }};\n@id(\"b\") permit {scope} when {{ context.auth.factors > 1 }};"),
        format!("@id(\"a\") @require(\"mfa\") permit {scope};\n@id(\"b\") permit {scope} when {{ context.risk.known }};"),
        format!("@id(\"a\") @require(\"mfa\") permit {scope};\n@id(\"b\") @require(\"proof:dpop\") permit {scope};"),
        format!("@id(\"a\") @on_change(\"suspend\") forbid {scope} when {{ context.risk.known }};\n@id(\"b\") @on_change(\"end\") forbid {scope} when {{ context.risk.known }};"),
        // A permit that fails refuses.
        format!("@id(\"a\") permit {scope};\n@id(\"b\") permit {scope} when {{ context.risk.score + 1 > 0 }};"),
        // Others, or not all.
        "@id(\"a\") permit (principal == Agent::\"loner\", action, resource);\n@id(\"b\") permit (principal == Agent::\"billing-bot\", action, resource);".into(),
        "@id(\"a\") permit (principal in AgentGroup::\"ops\", action, resource);\n@id(\"b\") permit (principal in AgentGroup::\"night\", action, resource);".into(),
        "@id(\"a\") permit (principal, action in Action::\"write\", resource);\n@id(\"b\") permit (principal, action in Action::\"orders\", resource);".into(),
        "@id(\"a\") permit (principal, action in Action::\"call\", resource);\n@id(\"b\") permit (principal, action == Action::\"request\", resource);".into(),
        "@id(\"a\") permit (principal, action, resource == Entitlement::\"refunds\");\n@id(\"b\") permit (principal, action, resource == Entitlement::\"reading\");".into(),
        "@id(\"a\") permit (principal, action in Action::\"write\", resource == Service::\"orders\");\n@id(\"b\") permit (principal, action in Action::\"write\", resource == Service::\"deploys\");".into(),
        // A forbid with a condition does not always forbid.
        format!("@id(\"a\") forbid {scope} when {{ context.risk.known }};\n@id(\"b\") permit {scope};"),
    ] {
        check(&text, &[]);
    }
}

#[test]
fn a_permit_under_a_forbid_permits_nothing() {
    check(
        "@id(\"a\") forbid (principal, action in Action::\"risk:high\", resource);\n\
         @id(\"b\") permit (principal in AgentGroup::\"billing\", action == Action::\"orders.refund\", resource)\n\
         when { context.auth.factors >= 2 };",
        &["2: this rule permits nothing: `a` in line 1 forbids all that it is for"],
    );
}

#[test]
fn a_rule_for_nothing_never_applies() {
    check(
        "@id(\"a\") permit (principal, action == Action::\"orders.refund\", resource == Service::\"deploys\");\n\
         @id(\"b\") forbid (principal, action in Action::\"risk:high\", resource == Service::\"deploys\");",
        &[
            "1: this rule can never apply: nothing that its action names is of its resource",
            "2: this rule can never apply: nothing that its action names is of its resource",
        ],
    );
}

#[test]
fn a_grant_of_another_entitlement_covers_nothing() {
    let with = |scope: &str, clause: &str| {
        format!(
            "@id(\"a\") permit (principal, {scope}, resource) when {{ context has grant && {clause} }};"
        )
    };
    check(
        &with(
            "action == Action::\"deploys.start\"",
            "context.grant.entitlement == \"refunds\"",
        ),
        &["1: this rule can never apply: `refunds` covers nothing that it is for"],
    );
    check(
        &with(
            "action in Action::\"deploys\"",
            "context.grant.entitlement == \"refnds\"",
        ),
        &["1: this rule can never apply: `refnds` covers nothing that it is for"],
    );
    check(
        &with(
            "action in Action::\"write\"",
            "[\"reading\", \"x\"].contains(context.grant.entitlement)",
        ),
        &["1: this rule can never apply: `reading` or `x` covers nothing that it is for"],
    );
    check(
        &with(
            "action in Action::\"write\"",
            "context.grant.entitlement == \"refunds\"",
        ),
        &[],
    );
    check(
        &with(
            "action in Action::\"orders\"",
            "context.grant.entitlement == \"x\"",
        ),
        &[],
    );
}

#[test]
fn a_permit_of_what_nobody_can_reach_permits_nothing() {
    let mut house = House::new();
    house
        .entitlements
        .retain(|one| one.id.as_str() != "releases");
    let text = "@id(\"a\") permit (principal, action == Action::\"deploys.start\", resource);\n\
                @id(\"b\") permit (principal, action in Action::\"write\", resource == Service::\"deploys\");\n\
                @id(\"c\") permit (principal, action in Action::\"risk:high\", resource);\n\
                @id(\"d\") permit (principal, action == Action::\"orders.ping\", resource);";
    let (_, problems) = house.compile(&[text]).unwrap();
    let messages: Vec<_> = problems.iter().map(|one| one.message.as_str()).collect();
    let said = "this rule permits nothing: no entitlement covers what it is for";
    assert_eq!(messages, [said, said]);
}

#[test]
fn a_rule_counts_nothing_of_a_group_that_no_operation_is_in() {
    let mut house = House::new();
    house
        .operations
        .retain(|one| one.id.as_str() != "orders.ping" && one.service.as_str() != "deploys");
    house
        .entitlements
        .retain(|one| one.id.as_str() == "refunds");
    let said = |groups: &str| {
        vec![format!(
            "this rule counts what the task has called of {groups}, and no operation is in there: that is nothing"
        )]
    };
    let rule = |clause: &str| {
        format!(
            "@id(\"a\") permit (principal, action == Action::\"orders.refund\", resource) when {{ {clause} }};"
        )
    };
    for (clause, expected) in [
        (
            "context.history[\"baseline\"].calls < 3",
            said("`baseline`"),
        ),
        ("context.history.deploys.succeeded < 3", said("`deploys`")),
        (
            "context.history[\"risk:medium\"].calls + context.history[\"deploys\"].calls < 3",
            said("`deploys` and of `risk:medium`"),
        ),
        // Of another something is called.
        (
            "context.history[\"write\"].calls < context.history[\"baseline\"].calls",
            said("`baseline`"),
        ),
        ("context.history[\"write\"].calls < 3", Vec::new()),
        ("context.history[\"risk:high\"].sum.amount < 3", Vec::new()),
        ("context.history[\"orders.list\"].calls < 3", Vec::new()),
        ("context has history", Vec::new()),
        ("context.history == context.history", Vec::new()),
    ] {
        let text = rule(clause);
        let (_, problems) = house
            .compile(&[&text])
            .unwrap_or_else(|found| panic!("{text}\n{found:#?}"));
        let messages: Vec<_> = problems.into_iter().map(|one| one.message).collect();
        assert_eq!(messages, expected, "{text}");
    }
    // What never applies counts nothing either, and that is said of it.
    let text = rule("context.risk.score > 100 && context.history[\"baseline\"].calls < 3");
    let (_, problems) = house.compile(&[&text]).unwrap();
    assert_eq!(problems.len(), 1, "{problems:#?}");
}

#[test]
fn an_entitlement_that_everybody_is_forbidden_is_closed() {
    let house = House::new();
    let open = "@id(\"open\") permit (principal, action, resource);\n";
    for (forbid, closed) in [
        (
            "principal, action == Action::\"request\", resource == Entitlement::\"refunds\"",
            ["refunds"].as_slice(),
        ),
        (
            "principal, action, resource is Entitlement",
            &["reading", "refunds", "releases"],
        ),
        (
            "principal == Agent::\"loner\", action, resource is Entitlement",
            &[],
        ),
        ("principal, action in Action::\"call\", resource", &[]),
    ] {
        let policies = house.policies(&format!("{open}@id(\"shut\") forbid ({forbid});"));
        let names = ["reading", "refunds", "releases"].into_iter();
        let found: Vec<_> = names.filter(|one| policies.closes(one).is_some()).collect();
        assert_eq!(found, closed, "{forbid}");
    }
}

/// What an answer is to whom it is given.
fn verdict(policies: &Policies, asked: &Asked) -> String {
    asked.ask(|question| match policies.decide(question) {
        Decision::Allow(_) => "allow".to_owned(),
        Decision::Deny(denial) if denial.rules.is_empty() => shown(&Decision::Deny(denial)),
        Decision::Deny(denial) => denial.reason.to_string(),
    })
}

fn statement() -> impl Strategy<Value = String> {
    let clause = select(vec![
        "",
        "",
        "when { true }",
        "when { context.risk.known && context.risk.score < 50 }",
        "when { context.risk.known && context.risk.score < 30 }",
        "when { context.risk.score > 20 }",
        "unless { context.risk.score <= 60 }",
        "when { context.risk.score > 60 && context.risk.score < 80 }",
        "unless { context.risk.known && context.risk.score < 50 }",
        "when { context has grant && context.grant.entitlement == \"refunds\" }",
        "when { context has grant && [\"reading\", \"releases\"].contains(context.grant.entitlement) }",
        "when { context.risk.score + 9223372036854775800 > 0 }",
        "when { context.auth.factors >= 2 }",
    ]);
    let before = select(vec![
        "permit",
        "permit",
        "@require(\"mfa\") permit",
        "@require(\"approval:leads\") permit",
        "forbid",
        "@on_change(\"end\") forbid",
        "@on_change(\"suspend\") forbid",
    ]);
    (before, random::scope(), clause)
        .prop_map(|(before, scope, clause)| format!("{before} ({scope}) {clause};"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is doubted can be taken away, alone or with all the others, and nobody gets another
    /// answer.
    #[test]
    fn doubted_rules_make_no_difference(
        statements in prop::collection::vec(statement(), 2..9),
        questions in prop::collection::vec(random::asked(), 16),
        with_releases in any::<bool>(),
    ) {
        let mut house = House::new();
        if !with_releases {
            house.entitlements.retain(|one| one.id.as_str() != "releases");
        }
        let texts = |numbers: &[usize]| {
            let texts = numbers.iter().map(|number| format!("@id(\"r{number}\") {}", statements[*number]));
            texts.collect::<Vec<_>>().join("\n")
        };
        let all: Vec<usize> = (0..statements.len()).collect();
        let text = texts(&all);
        let Ok((policies, problems)) = house.compile(&[&text]) else {
            return Ok(());
        };
        let doubted = problems.iter().filter(|one| is_of_lint(one));
        let doubted = doubted.filter_map(|one| one.span.clone());
        let doubted: Vec<usize> = doubted
            .map(|span| text.get(..span.start).unwrap().matches('\n').count())
            .collect();
        let mut without: Vec<Vec<usize>> = doubted.iter().map(|one| vec![*one]).collect();
        without.push(doubted.clone());
        for gone in without {
            let kept: Vec<usize> = all.iter().copied().filter(|one| !gone.contains(one)).collect();
            let fewer = house.policies(&texts(&kept));
            for asked in &questions {
                let (before, after) = (verdict(&policies, asked), verdict(&fewer, asked));
                prop_assert_eq!(before, after, "without {:?} of\n{}\n{:?}\n{:?}", gone, text, asked, problems);
                // Only grants that cover an operation are asked about what has turned.
                let covers = house.entitlements.iter().any(|one| {
                    one.id == asked.entitlement && asked.operation.as_ref().is_none_or(|it| one.operations.contains(it))
                });
                let turned = |policies: &Policies| asked.ask(|one| policies.turned(one).rule.map(|rule| rule.on_change));
                prop_assert!(!covers || turned(&policies) == turned(&fewer), "without {:?} of\n{}", gone, text);
            }
        }
    }
}
