use super::*;

/// What a condition reads: `fact`, `fact.part`, `fact?` for its presence alone, `*` for everything.
fn shown(reads: &Reads) -> String {
    if *reads == Reads::everything() {
        return "*".to_owned();
    }
    let mut words = Vec::new();
    for (fact, parts) in reads.iter() {
        match parts {
            Parts::Every => words.push(fact.name().to_owned()),
            Parts::Of(some) if some.is_empty() => words.push(format!("{}?", fact.name())),
            Parts::Of(some) => {
                words.extend(some.iter().map(|part| format!("{}.{part}", fact.name())));
            }
        }
    }
    words.join(" ")
}

fn check(condition: &str, expected: &str) {
    let reads = Reads::of(&format!(
        "@message(\"context is no {{context}}\") permit(principal, action, resource) when {{ {condition} }};"
    ));
    assert_eq!(shown(&reads), expected, "{condition}");
}

#[test]
fn plain_attributes_are_read_one_by_one() {
    check("true", "");
    check("principal in AgentGroup::\"context\"", "");
    check(
        "context.local.hour < 9 && context.risk.known",
        "local.hour risk.known",
    );
    check("context[\"now\"] < datetime(\"2026-01-01\")", "now");
    check("context[\"auth\"][\"proof\"] == \"dpop\"", "auth.proof");
    check(
        "context // why\n .auth // and\n .factors > 1",
        "auth.factors",
    );
    check(
        "context.source.ip.isInRange(ip(\"10.0.0.0/8\"))",
        "source.ip",
    );
    check("context.auth == context.auth", "auth");
    check("[context.local].contains(context.local)", "local");
    check(
        "context.history[\"a.b\"].calls > context.history.c.calls",
        "history.a.b history.c",
    );
}

#[test]
fn presence_is_read_without_the_rest() {
    check("context has \"task\"", "task?");
    check("context has task", "task?");
    check("context has task.kind", "task.kind");
    check(
        "context has grant && context.grant.age_seconds < 5",
        "grant.age_seconds",
    );
    check("context.source has country", "source.country");
    check("context.source has \"country\"", "source.country");
    check("context has task && context.task == context.task", "task");
}

#[test]
fn anything_else_reads_everything() {
    check("context == context", "*");
    check("(context).now < (context).now", "*");
    check("context[\"n\\u{6f}w\"] < datetime(\"2026-01-01\")", "*");
    check("[context].contains(context)", "*");
    check("(if true then context else context).risk.known", "*");
    check("context.unheard_of", "*");
    check("context[\"auth\"][\"pr\\u{6f}of\"] == \"dpop\"", "auth");
}

#[test]
fn reads_are_joined() {
    let mut reads = Reads::of("context.now < context.now, context.history.a");
    reads.join(&Reads::of("context.risk.known, context.history.b"));
    assert_eq!(shown(&reads), "history.a history.b now risk.known");
    reads.join(&Reads::of("context.history == 1"));
    assert_eq!(shown(&reads), "history now risk.known");
}

#[test]
fn the_history_of_an_operation_is_read_by_name_or_with_all() {
    let check = |condition: &str, expected: bool| {
        let reads = Reads::of(&format!(
            "permit(principal, action, resource) when {{ {condition} }};"
        ));
        assert_eq!(reads.history_of("a.b"), expected, "{condition}");
    };
    check("context.now == context.now", false);
    check("context.history[\"a.b\"].calls > 3", true);
    check("context.history[\"a.c\"].calls > 3", false);
    check("[context.history].isEmpty()", true);
    check("[context].isEmpty()", true);
}

#[test]
fn what_can_change_while_nobody_asks_is_known() {
    let depends = |condition: &str| {
        Reads::of(&format!(
            "permit(principal, action, resource) when {{ {condition} }};"
        ))
        .depends()
    };
    let of = |risk, pace| Depends {
        risk,
        pace,
        ..Depends::default()
    };
    let of_agent = |country, habits, pace| Depends {
        country,
        habits,
        pace,
        ..Depends::default()
    };
    for (condition, expected) in [
        ("context.source.ip.isLoopback()", of(false, None)),
        ("context.source.known", of_agent(false, true, None)),
        ("context.source has country", of_agent(true, false, None)),
        ("context.usual.network", of_agent(false, true, None)),
        (
            "context.usual.hour",
            of_agent(false, true, Some(Pace::Minute)),
        ),
        ("context.history[\"a.b\"].calls < 3", of(false, None)),
        ("context.task.kind == \"x\"", of(false, None)),
        ("context.local.hour < 17", of(false, Some(Pace::Minute))),
        (
            "context.now < datetime(\"2030-01-01\")",
            of(false, Some(Pace::Second)),
        ),
        (
            "context.task.age_seconds < 5",
            of(false, Some(Pace::Second)),
        ),
        (
            "context.grant.age_seconds < 5 && context.local.hour < 3",
            of(false, Some(Pace::Second)),
        ),
        (
            "context.risk.known && context.risk.score < 5",
            of(true, None),
        ),
        ("context.risk.age_seconds < 5", of(true, Some(Pace::Second))),
        (
            "context == context",
            Depends {
                country: true,
                habits: true,
                ..of(true, Some(Pace::Second))
            },
        ),
    ] {
        assert_eq!(depends(condition), expected, "{condition}");
    }
}

#[test]
fn habits_are_read_by_name_or_with_everything() {
    let reads = |condition: &str| {
        Reads::of(&format!(
            "permit(principal, action, resource) when {{ {condition} }};"
        ))
        .habits()
    };
    assert!(reads("context.usual.hour"));
    assert!(reads("context.source.known"));
    assert!(reads("context.source == context.source"));
    assert!(!reads(
        "context.source.ip.isLoopback() && context.risk.known"
    ));
    assert!(Reads::everything().habits());
}

/// What the tree of a condition tells, where its text does not.
fn check_tree(condition: &str, expected: Option<&str>) {
    let statement = format!("permit(principal, action, resource) when {{ {condition} }};");
    assert!(!Reads::of(&statement).are_told(), "{condition}");
    let policy = Policy::parse(None, statement).unwrap();
    let reads = Reads::of_tree(&policy);
    assert_eq!(
        reads.as_ref().map(shown).as_deref(),
        expected,
        "{condition}"
    );
}

#[test]
fn the_tree_tells_what_the_text_does_not() {
    check_tree("(context).risk.score > 5", Some("risk.score"));
    check_tree("((context).task has kind)", Some("task.kind"));
    check_tree("(context) has task", Some("task?"));
    check_tree("(context).history[\"a.b\"].calls > 1", Some("history.a.b"));
    check_tree(
        "context[\"ri\\u{73}k\"].known && [context.local].contains(context.local)",
        Some("local risk.known"),
    );
    check_tree("[context].contains(context)", None);
    check_tree(
        "(if context.risk.known then context else context).risk.known",
        None,
    );
}
