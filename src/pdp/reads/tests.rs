use super::*;

/// The facts and histories that a condition reads; `*` for everything.
fn check(condition: &str, expected: &str) {
    let reads = Reads::of(&format!(
        "@message(\"context is no {{context}}\") permit(principal, action, resource) when {{ {condition} }};"
    ));
    let mut found: Vec<String> = Fact::ALL
        .into_iter()
        .filter(|fact| reads.contains(*fact))
        .map(|fact| fact.name().to_owned())
        .collect();
    match reads.histories() {
        None => found.push("history[*]".to_owned()),
        Some(some) => found.extend(some.iter().map(|one| format!("history[{one}]"))),
    }
    let found = if reads == Reads::everything() {
        "*".to_owned()
    } else {
        found.join(" ")
    };
    assert_eq!(found, expected, "{condition}");
}

#[test]
fn plain_attributes_are_read_one_by_one() {
    check("true", "");
    check("principal in AgentGroup::\"context\"", "");
    check("context.local.hour < 9 && context.risk.known", "local risk");
    check("context[\"now\"] < datetime(\"2026-01-01\")", "now");
    check(
        "context has grant && context.grant.age_seconds < 5",
        "grant",
    );
    check("context has \"task\"", "task");
    check("context has task.kind", "task");
    check("context // why\n .auth.factors > 1", "auth");
}

#[test]
fn histories_are_read_by_operation() {
    check(
        "context.history[\"orders.read\"].calls > 1",
        "history history[orders.read]",
    );
    check("context.history.ping.calls > 1", "history history[ping]");
    check(
        "context.history[\"a\"].calls > context.history[\"b\"].calls",
        "history history[a] history[b]",
    );
    check("context.history == context.history", "history history[*]");
}

#[test]
fn anything_else_reads_everything() {
    check("context == context", "*");
    check("(context).now < (context).now", "*");
    check("context[\"n\\u{6f}w\"] < datetime(\"2026-01-01\")", "*");
    check("[context].contains(context)", "*");
    check("(if true then context else context).risk.known", "*");
    check("context.unheard_of", "*");
}

#[test]
fn reads_are_joined() {
    let mut reads = Reads::of("context.now context.history.a");
    reads.join(&Reads::of("context.risk context.history.b"));
    assert!(reads.contains(Fact::Now) && reads.contains(Fact::Risk));
    assert_eq!(
        reads.histories().map(|some| some.len()),
        Some(2),
        "{reads:?}"
    );
    reads.join(&Reads::of("context.history == 1"));
    assert_eq!(reads.histories(), None);
}
