use super::*;
use crate::model::{InputKind, Risk};
use crate::pdp::testing::{House, operation};
use crate::pdp::{Effect, OnChange, Requirement, Rule};

/// Problems in lines: the file, the text that is meant, and what is said of it.
fn shown(texts: &[&str], problems: &[Problem]) -> Vec<String> {
    problems
        .iter()
        .map(|one| {
            let file = "abcdefgh".find(one.file.split('.').next().unwrap_or("?"));
            let text = file.and_then(|at| texts.get(at));
            let meant = text
                .zip(one.span.clone())
                .map(|(text, span)| text.get(span).unwrap());
            let severity = match one.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let hint = one.hint.as_deref().unwrap_or("-");
            format!(
                "{} `{}` {severity}: {} [{hint}]",
                one.file,
                meant.unwrap_or("-"),
                one.message
            )
        })
        .collect()
}

fn check(texts: &[&str], expected: &[&str]) {
    let mut problems = match House::new().compile(texts) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    // Most of these rules are for all, which is told of each.
    problems.retain(|one| !one.message.contains("lets every agent ask"));
    assert_eq!(shown(texts, &problems), expected, "{texts:#?}");
}

/// The same for texts with errors; what is doubtful about their rules beside them comes last, and is left out.
fn check_errors(texts: &[&str], expected: &[&str]) {
    let mut problems = House::new().compile(texts).unwrap_err();
    problems.retain(|one| !one.message.contains("lets every agent ask"));
    let (told, doubts) = problems.split_at(expected.len());
    assert_eq!(shown(texts, told), expected, "{texts:#?}");
    let is_doubt = |one: &Problem| one.severity == Severity::Warning;
    assert!(doubts.iter().all(is_doubt), "{doubts:#?}");
}

#[test]
fn what_is_doubtful_is_told_beside_what_is_wrong() {
    let texts = [
        "@id(\"all\") permit(principal, action, resource);",
        "@id(\"again\") permit(principal, action, resource) when { context.local.hour == 7 };\n\
         @id(\"wrong\") @require(\"nothing\") permit(principal, action, resource);\n\
         @id(\"asks\") @require(\"approval:leads\") permit(principal, action, resource);",
    ];
    let house = House::new();
    let sources = [("a.cedar", texts[0]), ("b.cedar", texts[1])].map(|(file, text)| Source {
        file: Arc::from(file),
        text: Arc::from(text),
    });
    let refused = Policies::compile(&house.catalogue(), &sources, &mut Memory::default());
    let Refused {
        problems,
        approvals,
    } = refused.unwrap_err();
    let told = |part: &str| problems.iter().any(|one| one.message.contains(part));
    assert!(told("`@require` can't be `nothing`"), "{problems:#?}");
    assert!(
        told("`all` (a.cedar:1) permits all that it does"),
        "{problems:#?}"
    );
    let [(file, head, group)] = &approvals[..] else {
        panic!("{approvals:?}");
    };
    assert_eq!((&**file, group.as_str()), ("b.cedar", "leads"));
    assert!(texts[1].get(head.clone()).unwrap().starts_with("permit("));
}

#[test]
fn sound_rules_have_no_problems() {
    check(
        &[r#"
            // Who may ask.
            @id("ask")
            permit(principal in AgentGroup::"billing", action == Action::"request", resource == Entitlement::"refunds");
            @id("refund")
            @message("refunds above 500 need a person")
            @require("approval:support-leads")
            permit(principal, action == Action::"orders.refund", resource)
            when { context.input.amount <= 500 && context.local.hour >= 9 };
            @id("cap") @on_change("suspend")
            forbid(principal, action in [Action::"risk:high", Action::"write"], resource == Service::"orders")
            unless { context.risk.known && context.risk.score < 50 };
            @id("sum")
            forbid(principal, action in Action::"call", resource)
            when { context.history["orders.refund"].sum.amount > 500 };
        "#],
        &[],
    );
}

#[test]
fn every_problem_of_every_file_is_reported_at_once() {
    check(
        &[
            "@id(\"1\") permit(principal, action, resource) when { context.nope };\n@id(\"2\") permit(principal, action resource);",
            "@id(\"3\") permit(principal, action == Action::\"orders.refnud\", resource);",
            "@id(\"4\") permit(principal == Agent::\"biling-bot\", action, resource) when { true ",
        ],
        &[
            r#"a.cedar `context.nope` error: attribute `nope` in context for Action::"deploys.list" not found (and 5 more like it in this place) [did you mean `now`?]"#,
            r#"a.cedar `resource` error: unexpected token `resource`, expected `!=`, `)`, `,`, `:`, `<`, `<=`, `==`, `>`, `>=`, `in`, or `is` [-]"#,
            r#"b.cedar `Action::"orders.refnud"` error: there is no operation, group or service `orders.refnud` [did you mean `orders.refund`?]"#,
            r#"c.cedar `Agent::"biling-bot"` error: there is no agent `biling-bot` [did you mean `billing-bot`?]"#,
            r#"c.cedar `` error: unexpected end of input, expected `!=`, `&&`, `(`, `*`, `+`, `-`, `.`, `::`, `<`, `<=`, `==`, `>`, `>=`, `[`, `||`, `}`, `has`, `in`, `is`, or `like` [-]"#,
        ],
    );
}

#[test]
fn unknown_names_are_found_wherever_they_stand() {
    check(
        &[r#"
            @id("1") permit(principal == Agent::"billing-bt", action == Action::"orders.lst", resource == Service::"order");
            @id("2") permit(principal in AgentGroup::"biling", action == Action::"request", resource == Entitlement::"refund");
            @id("3") permit(principal, action, resource) when { principal == Agent::"stranger" };
            @id("4") permit(principal == User::"ana", action, resource);
            @id("5") permit(principal in AgentGroup::"nobody-yet", action == Action::"orders.list", resource);
        "#],
        &[
            r#"a.cedar `Agent::"billing-bt"` error: there is no agent `billing-bt` [did you mean `billing-bot`?]"#,
            r#"a.cedar `Action::"orders.lst"` error: there is no operation, group or service `orders.lst` [did you mean `orders.list`?]"#,
            r#"a.cedar `Service::"order"` error: there is no service `order` [did you mean `orders`?]"#,
            r#"a.cedar `AgentGroup::"biling"` error: there is no group of agents `biling` [did you mean `billing`?]"#,
            r#"a.cedar `Entitlement::"refund"` error: there is no entitlement `refund` [did you mean `refunds`?]"#,
            r#"a.cedar `Agent::"stranger"` error: there is no agent `stranger` [-]"#,
            r#"a.cedar `User` error: unrecognized entity type `User` [did you mean `Agent`?]"#,
            r#"a.cedar `AgentGroup::"nobody-yet"` warning: no agent is in the group `nobody-yet`, so this rule applies to none [-]"#,
        ],
    );
}

#[test]
fn types_are_strict() {
    check(
        &[r#"
            @id("1") permit(principal, action == Action::"orders.refund", resource) when { context.input.amount < "5" };
            @id("2") permit(principal, action == Action::"orders.list", resource) when { context.input.amount < 5 };
            @id("3") permit(principal, action in Action::"call", resource) when { context.grant.age_seconds < 5 };
            @id("4") permit(principal, action == Action::"request", resource) when { context.http.method == "GET" };
            @id("5") permit(principal, action, resource) when { context.risk.scor < 5 };
            @id("6") permit(principal, action in Action::"write", resource) when { context.input.amount < 5 };
            @id("7") permit(principal, action == Action::"orders.list", resource) when { context.source.ip.isInRange(ip("10.0.0.0/99")) };
        "#],
        &[
            r#"a.cedar `"5"` error: unexpected type: expected Long but saw String [-]"#,
            r#"a.cedar `context.input.amount` error: attribute `input.amount` in context for Action::"orders.list" not found [-]"#,
            r#"a.cedar `context.grant.age_seconds` error: unable to guarantee safety of access to optional attribute `grant` in context for Action::"deploys.list" (and 4 more like it in this place) [try testing for the attribute's presence with `context has grant && ..`]"#,
            r#"a.cedar `context.http.method` error: attribute `http` in context for Action::"request" not found [did you mean `auth`?]"#,
            r#"a.cedar `context.risk.scor` error: attribute `risk.scor` in context for Action::"deploys.list" not found (and 5 more like it in this place) [did you mean `score`?]"#,
            r#"a.cedar `context.input.amount` error: attribute `input.amount` in context for Action::"deploys.start" not found [not every operation in the scope has it: narrow the scope, or test for it first with `context.input has amount && …`]"#,
            r#"a.cedar `ip("10.0.0.0/99")` error: error during extension function argument validation: failed to parse as IP address: `"10.0.0.0/99"` [valid IP strings are IPv4/IPv6 addresses or CIDR ranges like `127.0.0.1`, `127.0.0.1/24`, or `ffee::/64`]"#,
        ],
    );
}

#[test]
fn what_history_has_no_counters_of_is_named() {
    check(
        &[r#"
            @id("1") permit(principal, action == Action::"orders.list", resource) when { context.history["wrte"].calls < 3 };
            @id("2") permit(principal, action == Action::"orders.list", resource) when { context.history["orders.lst"].calls < 3 };
            @id("3") permit(principal, action == Action::"orders.list", resource) when { context.history.write.sum.amont < 3 };
            @id("4") permit(principal, action == Action::"orders.list", resource) when { context.history.read.sum.amount < 3 };
            @id("5") permit(principal, action in Action::"call", resource) when { context.history["risk:hgh"].calls < 3 };
        "#],
        &[
            r#"a.cedar `context.history["wrte"].calls` error: attribute `history.wrte` in context for Action::"orders.list" not found [did you mean `write`?]"#,
            r#"a.cedar `context.history["orders.lst"].calls` error: attribute `history["orders.lst"]` in context for Action::"orders.list" not found [did you mean `orders.list`?]"#,
            r#"a.cedar `context.history.write.sum.amont` error: attribute `history.write.sum.amont` in context for Action::"orders.list" not found [did you mean `amount`?]"#,
            r#"a.cedar `context.history.read.sum.amount` error: attribute `history.read.sum.amount` in context for Action::"orders.list" not found [only inputs that the operation, or one of the group's, declares as `Long` are summed]"#,
            r#"a.cedar `context.history["risk:hgh"].calls` error: attribute `history["risk:hgh"]` in context for Action::"deploys.list" not found (and 4 more like it in this place) [did you mean `risk:high`?]"#,
        ],
    );
}

#[test]
fn rules_that_can_never_apply_are_warned_of() {
    check(
        &[r#"
            @id("1") permit(principal, action == Action::"orders.list", resource == Entitlement::"refunds");
            @id("2") permit(principal, action == Action::"request", resource) when { context has grant };
            @id("3") permit(principal == AgentGroup::"billing", action == Action::"request", resource);
        "#],
        &[
            r#"a.cedar `@id("1") permit(principal, action == Action::"orders.list", resource == Entitlement::"refunds");` warning: this rule can never apply: no action fits its scope [-]"#,
            r#"a.cedar `@id("2") permit(principal, action == Action::"request", resource) when { context has grant };` warning: this rule can never apply [its scope and its conditions exclude each other]"#,
            r#"a.cedar `@id("3") permit(principal == AgentGroup::"billing", action == Action::"request", resource);` warning: this rule can never apply: no action fits its scope [try replacing `==` with `in` in the principal clause]"#,
        ],
    );
}

#[test]
fn ids_are_given_once() {
    check_errors(
        &[
            "@id(\"x\") permit(principal, action, resource);\n\n@id(\"x\") permit(principal, action, resource);",
            "permit(principal, action, resource);\npermit(principal, action, resource);\n@id(\"x\") permit(principal, action, resource);",
        ],
        &[
            r#"a.cedar `@id("x")` error: line 1 of a.cedar has a rule `x` already [ids name rules in records and refusals: give each its own]"#,
            r#"b.cedar `permit(principal, action, resource);` warning: this rule has no `@id`: it is called `b.1` until the file changes [write `@id("…")` before it]"#,
            r#"b.cedar `permit(principal, action, resource);` warning: this rule has no `@id`: it is called `b.2` until the file changes [write `@id("…")` before it]"#,
            r#"b.cedar `@id("x")` error: line 1 of a.cedar has a rule `x` already [ids name rules in records and refusals: give each its own]"#,
        ],
    );
}

#[test]
fn annotations_are_read_strictly() {
    check_errors(
        &[r#"
            @id("1") @require("aproval:leads") permit(principal, action, resource);
            @id("2") @on_change("stop") forbid(principal, action, resource);
            @id("3") @mesage("x") permit(principal, action, resource);
            @id("4") @id("5") permit(principal, action, resource);
            @id permit(principal, action, resource);
        "#],
        &[
            r#"a.cedar `@require("aproval:leads")` error: `@require` can't be `aproval:leads` [use "approval:<group>", "mfa", "proof:dpop" or "proof:mtls", several with commas between them]"#,
            r#"a.cedar `@on_change("stop")` error: `@on_change` can't be `stop` [use "end" or "suspend"]"#,
            r#"a.cedar `@mesage("x")` warning: `@mesage` means nothing here [did you mean `message`?]"#,
            r#"a.cedar `@id("5")` error: duplicate annotation: @id [-]"#,
            r#"a.cedar `@id` error: `@id` is empty [write `@id("…")`]"#,
        ],
    );
}

#[test]
fn templates_are_refused() {
    check(
        &["@id(\"1\") permit(principal == ?principal, action, resource);"],
        &[
            r#"a.cedar `?principal` error: expected a static policy, got a template containing the slot ?principal [try removing the template slot(s) from this policy]"#,
        ],
    );
}

#[test]
fn rules_say_where_they_stand_and_what_they_ask_for() {
    let text = "// head\n\n@id(\"first\")\npermit(principal, action, resource);\n\n// note\n\
                @message(\"stop\") @on_change(\"end\") forbid(principal, action, resource);\n\
                @id(\"third\") @require(\"mfa, approval:leads\") permit(principal, action, resource);";
    let (policies, warnings) = House::new().compile(&["", text]).unwrap();
    let unnamed = warnings.iter().filter(|one| one.message.contains("`@id`"));
    assert_eq!(unnamed.count(), 1);
    let rule = |id: &str, line, effect| Rule {
        id: Arc::from(id),
        file: Arc::from("b.cedar"),
        line,
        message: None,
        requires: Vec::new(),
        on_change: None,
        effect,
    };
    let approval = Requirement::Approval("leads".parse().unwrap());
    let expected = [
        rule("first", 3, Effect::Permit),
        Rule {
            message: Some(Arc::from("stop")),
            on_change: Some(OnChange::End),
            ..rule("b.2", 7, Effect::Forbid)
        },
        Rule {
            requires: vec![Requirement::Mfa, approval],
            ..rule("third", 8, Effect::Permit)
        },
    ];
    assert_eq!(policies.rules(), expected);
}

#[test]
fn files_are_taken_in_the_order_of_their_names() {
    let house = House::new();
    let source = |file: &str| Source {
        file: Arc::from(file),
        text: Arc::from("permit(principal, action, resource);"),
    };
    let (one, two) = (source("policies/a.cedar"), source("policies/b/a2.cedar"));
    let ids = |sources: &[Source]| -> Vec<Arc<str>> {
        let compiled = Policies::compile(&house.catalogue(), sources, &mut Memory::default());
        let (policies, _) = compiled.unwrap();
        policies
            .rules()
            .iter()
            .map(|rule| Arc::clone(&rule.id))
            .collect()
    };
    let expected = [Arc::from("a.1"), Arc::from("a2.1")];
    assert_eq!(ids(&[one.clone(), two.clone()]), expected);
    assert_eq!(ids(&[two, one]), expected);
}

#[test]
fn where_names_collide_the_form_of_rules_is_still_looked_at() {
    let mut house = House::new();
    house
        .operations
        .push(operation("orders", &[], Risk::Low, &[]));
    let texts = ["@id(\"1\") permit(principal, action, resource) when { context.nope };\nfoo"];
    let problems = house.compile(&texts).unwrap_err();
    assert_eq!(
        shown(&texts, &problems),
        [
            " `-` error: an operation can't be called `orders`: that is the name of a service [rules tell operations, their groups and services apart by name alone]",
            "a.cedar `` error: unexpected end of input, expected `(` [-]",
        ]
    );
}

#[test]
fn what_is_remembered_is_found_again_and_only_under_the_same_schema() {
    let texts = [
        "@id(\"1\") permit(principal, action == Action::\"orders.list\", resource) when { context.input.page < 9 };",
        "@id(\"2\") permit(principal, action == Action::\"orders.refund\", resource);",
    ];
    let (before, mut after) = (House::new(), House::new());
    after.operations[0] = operation(
        "orders.list",
        &["read"],
        Risk::Low,
        &[("page", InputKind::Long)],
    );
    let mut memory = Memory::default();
    for _ in 0..2 {
        let problems = before.compile_with(&texts, &mut memory).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let (policies, warnings) = after.compile_with(&texts, &mut memory).unwrap();
        assert_eq!((policies.rules().len(), warnings), (2, Vec::new()));
        assert_eq!(format!("{memory:?}"), "Memory of 4 statements");
    }
    // The names of agents and entitlements are no part of the schema: they are looked at each time.
    let text = ["@id(\"3\") permit(principal == Agent::\"loner\", action, resource);"];
    assert!(after.compile_with(&text, &mut memory).is_ok());
    after.agents.pop();
    assert!(after.compile_with(&text, &mut memory).is_err());
}
