//! Random conditions of every type and operator that strict validation takes under any scope.

use proptest::prelude::*;
use proptest::sample::select;

type Text = BoxedStrategy<String>;

fn literal(words: &'static [&'static str]) -> Text {
    select(words).prop_map(str::to_owned).boxed()
}

fn branch(depth: u32, leaf: fn() -> Text) -> Text {
    let (then, otherwise) = (leaf(), leaf());
    (truth(depth), then, otherwise)
        .prop_map(|(condition, then, otherwise)| {
            format!("(if {condition} then {then} else {otherwise})")
        })
        .boxed()
}

fn infix(left: Text, words: &'static [&'static str], right: Text) -> Text {
    (left, select(words), right)
        .prop_map(|(left, word, right)| format!("({left} {word} {right})"))
        .boxed()
}

fn method(left: Text, words: &'static [&'static str], right: Text) -> Text {
    (left, select(words), right)
        .prop_map(|(left, word, right)| format!("{left}.{word}({right})"))
        .boxed()
}

fn property(of: Text, words: &'static [&'static str]) -> Text {
    (of, select(words))
        .prop_map(|(of, word)| format!("{of}.{word}()"))
        .boxed()
}

fn whole() -> Text {
    literal(&[
        "0",
        "1",
        "50",
        "-1",
        "9223372036854775807",
        "context.risk.score",
        "context.risk.age_seconds",
        "context.local.hour",
        "context.local.minute",
        "context.local.weekday",
        "context.auth.factors",
    ])
}

fn number(depth: u32) -> Text {
    if depth == 0 {
        return whole();
    }
    let less = depth - 1;
    let units = &[
        "toMilliseconds",
        "toSeconds",
        "toMinutes",
        "toHours",
        "toDays",
    ];
    prop_oneof![
        2 => whole(),
        2 => infix(number(less), &["+", "-", "*"], number(less)),
        1 => number(less).prop_map(|inner| format!("(-({inner}))")),
        1 => property(span(less), units),
        1 => branch(less, whole),
    ]
    .boxed()
}

fn words() -> Text {
    literal(&[
        "\"\"",
        "\"bearer\"",
        "\"2026-11-18\"",
        "\"a*b\\u{e9}\"",
        "context.auth.proof",
        "context.local.date",
    ])
}

fn address() -> Text {
    literal(&[
        "context.source.ip",
        "ip(\"10.0.0.0/8\")",
        "ip(\"10.1.2.3\")",
        "ip(\"10.1.2.3/24\")",
        "ip(\"0.0.0.0/0\")",
        "ip(\"127.0.0.1\")",
        "ip(\"127.0.0.0/7\")",
        "ip(\"224.0.0.0/4\")",
        "ip(\"::1\")",
        "ip(\"::/0\")",
        "ip(\"2001:db8::/32\")",
        "ip(\"ff00::/8\")",
    ])
}

fn instant() -> Text {
    literal(&[
        "context.now",
        "datetime(\"2026-11-18\")",
        "datetime(\"2026-11-18T14:30:00Z\")",
        "datetime(\"2026-11-18T15:30:00.001+0100\")",
        "datetime(\"1969-12-31T23:59:59.999Z\")",
        "datetime(\"0001-01-01\")",
    ])
}

fn moment(depth: u32) -> Text {
    if depth == 0 {
        return instant();
    }
    let less = depth - 1;
    prop_oneof![
        2 => instant(),
        1 => method(moment(less), &["offset"], span(less)),
        1 => property(moment(less), &["toDate"]),
        1 => branch(less, instant),
    ]
    .boxed()
}

fn length() -> Text {
    literal(&[
        "duration(\"0s\")",
        "duration(\"1h30m\")",
        "duration(\"-2d3ms\")",
        "duration(\"9223372036854775807ms\")",
    ])
}

fn span(depth: u32) -> Text {
    if depth == 0 {
        return length();
    }
    let less = depth - 1;
    prop_oneof![
        2 => length(),
        1 => method(moment(less), &["durationSince"], moment(less)),
        1 => property(moment(less), &["toTime"]),
    ]
    .boxed()
}

fn set() -> Text {
    literal(&[
        "context.auth.methods",
        "[\"mtls\", \"private_key_jwt\"]",
        "[\"private_key_jwt\"]",
        "[\"private_key_jwt\", \"private_key_jwt\"]",
        "[\"2026-11-18\", \"\"]",
    ])
}

fn atom() -> Text {
    literal(&[
        "true",
        "false",
        "context.source.known",
        "context.usual.network",
        "(context has task)",
        "(context has grant.calls_left)",
        "(context has grant && context.grant has bytes_left)",
        "(context.source has country)",
        "(context has input.amount && context.input.amount * 2 > 500)",
        "(context has http && [\"POST\", \"PUT\"].contains(context.http.method))",
        "(context has history && context.history[\"orders.refund\"].sum.amount + 100 <= 500)",
        "(context has history && context.history[\"deploys.list\"].succeeded >= 1)",
        "(context has history && context.history[\"write\"].sum.replicas + context.history.call.calls > 4)",
        "(context has history && context.history[\"risk:low\"] has last_age_seconds)",
        "(context has history && context.history[\"deploys\"].succeeded < 2)",
        "(context has task && [\"support\", \"ops\"].contains(context.task.kind))",
        "(context has task && context.task.depth + context.task.age_seconds > 100)",
        "(principal in [AgentGroup::\"ops\", AgentGroup::\"billing\"])",
        "(principal is Agent in AgentGroup::\"billing\")",
        "(principal != Agent::\"billing-bot\")",
        "(action in [Action::\"write\", Action::\"risk:low\"])",
        "(action == Action::\"orders.list\")",
        "(resource is Entitlement)",
        "[Agent::\"loner\", Agent::\"billing-bot\"].contains(principal)",
    ])
}

/// A condition.
pub(in crate::pdp) fn truth(depth: u32) -> Text {
    if depth == 0 {
        return atom();
    }
    let less = depth - 1;
    let order = &["<", "<=", ">", ">="];
    let equal = &["==", "!="];
    let like = (
        words(),
        select(vec![
            "*",
            "",
            "b*r*r",
            "2026-*-18",
            "a\\*b*",
            "*\\u{e9}",
            "*e*",
        ]),
    );
    prop_oneof![
        2 => atom(),
        2 => infix(truth(less), &["&&", "||"], truth(less)),
        1 => truth(less).prop_map(|inner| format!("(!{inner})")),
        1 => (truth(less), truth(less), truth(less)).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        2 => infix(number(less), order, number(less)),
        1 => infix(number(less), equal, number(less)),
        1 => infix(moment(less), order, moment(less)),
        1 => infix(moment(less), equal, moment(less)),
        1 => infix(span(less), order, span(less)),
        1 => infix(words(), equal, words()),
        1 => infix(truth(less), equal, truth(less)),
        1 => infix(address(), equal, address()),
        1 => infix(set(), equal, set()),
        1 => like.prop_map(|(text, pattern)| format!("({text} like \"{pattern}\")")),
        1 => method(set(), &["containsAll", "containsAny"], set()),
        1 => method(set(), &["contains"], words()),
        1 => property(set(), &["isEmpty"]),
        1 => method(address(), &["isInRange"], address()),
        1 => property(address(), &["isIpv4", "isIpv6", "isLoopback", "isMulticast"]),
    ]
    .boxed()
}
