//! What turns while an exchange runs.

use jiff::Timestamp;

use super::*;
use crate::pdp::Until;

/// What has turned, and until when.
fn turned(policies: &Policies, asked: &Asked) -> (Option<String>, Until) {
    let turned = asked.ask(|question| policies.turned(question));
    (turned.rule.map(|rule| rule.id.to_string()), turned.until)
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
