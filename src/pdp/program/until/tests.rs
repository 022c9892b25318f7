use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::Question;
use crate::pdp::testing::{Asked, House};
use crate::pdp::{Policies, Turned, TurnedRule};

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

fn rule(condition: &str) -> Policies {
    let text = format!(
        "@on_change(\"suspend\") forbid(principal, action in Action::\"call\", resource) when {{ {condition} }};"
    );
    House::new().policies(&text)
}

fn turned(policies: &Policies, asked: &Asked) -> Turned<TurnedRule> {
    asked.ask(|question: &Question<'_>| policies.turned(question))
}

/// What an answer at 14:30:00 UTC on a Wednesday, about a grant of 60 seconds, stands until.
fn check(condition: &str, wall: Option<&str>, aged: Option<u64>) {
    let until = turned(&rule(condition), &Asked::list()).until;
    let expected = Until {
        wall: wall.map(|wall| wall.parse().unwrap()),
        aged: aged.map(Duration::from_secs),
    };
    assert_eq!(until, expected, "{condition}");
}

#[test]
fn what_reads_no_time_stands_for_ever() {
    check("context.risk.known && context.risk.score > 5", None, None);
    check("context.source.ip.isLoopback()", None, None);
    check(
        "context has task && context.task.kind == \"support\"",
        None,
        None,
    );
}

#[test]
fn a_moment_is_waited_for_once() {
    let noon = "context.now < datetime(\"2026-11-18T12:00:00Z\")";
    check(noon, None, None);
    let evening = "2026-11-18T20:00:00Z";
    let before = format!("context.now < datetime(\"{evening}\")");
    check(&before, Some(evening), None);
    check(&format!("!({before})"), Some(evening), None);
}

#[test]
fn hours_minutes_and_weekdays_go_round() {
    check(
        "context.local.hour >= 17",
        Some("2026-11-18T17:00:00Z"),
        None,
    );
    check("context.local.hour < 9", Some("2026-11-19T00:00:00Z"), None);
    check("context.local.hour < 90", None, None);
    check(
        "context.local.hour >= 9 && context.local.hour < 17",
        Some("2026-11-18T17:00:00Z"),
        None,
    );
    check(
        "context.local.minute == 15",
        Some("2026-11-18T15:15:00Z"),
        None,
    );
    check(
        "context.local.weekday >= 6",
        Some("2026-11-21T00:00:00Z"),
        None,
    );
    check(
        "context.local.date == \"2026-11-20\"",
        Some("2026-11-19T00:00:00Z"),
        None,
    );
}

#[test]
fn ages_are_told_by_the_boot_clock() {
    check(
        "context has grant && context.grant.age_seconds >= 100",
        None,
        Some(39),
    );
    check(
        "context has grant && context.grant.age_seconds < 100",
        None,
        Some(39),
    );
    check(
        "context has grant && context.grant.age_seconds < 50",
        None,
        None,
    );
    check("context.risk.age_seconds < 60", None, Some(54));
    check("context.risk.age_seconds > 60", None, Some(0));
}

#[test]
fn what_is_not_read_does_not_matter() {
    let evening = "2026-11-18T20:00:00Z";
    check(
        &format!(
            "context.now >= datetime(\"{evening}\") && context has grant && context.grant.age_seconds < 100"
        ),
        Some(evening),
        None,
    );
    check(
        "context.risk.score < 100 || context.local.hour < 20",
        None,
        None,
    );
    check(
        "if context.risk.score < 100 then context.local.hour < 20 else context.local.minute == 3",
        Some(evening),
        None,
    );
}

#[test]
fn anything_else_is_asked_at_every_step_of_what_it_reads() {
    check(
        "context.local.hour + 1 == 18",
        Some("2026-11-18T15:00:00Z"),
        None,
    );
    check("context.now.toTime() > duration(\"17h\")", None, Some(0));
    check("context.usual.hour", Some("2026-11-18T15:00:00Z"), None);
}

const TIMES: &[&str] = &[
    "true",
    "context.risk.known && context.risk.score < 50",
    "context.local.hour >= 9 && context.local.hour < 17",
    "context.local.hour * 2 > 20",
    "context.local.weekday <= 5",
    "context.local.minute >= 30",
    "context.local.minute == context.local.hour",
    "context.local.date == \"2026-03-29\"",
    "context.now < datetime(\"2026-03-29T01:00:01Z\")",
    "context.now.toTime() > duration(\"1h\")",
    "context.now == datetime(\"2026-10-25T01:00:00Z\")",
    "context has grant && context.grant.age_seconds < 600",
    "context has grant && context.grant.age_seconds == 650",
    "context has grant && context.grant.age_seconds - 30 > 600",
];

fn condition() -> impl Strategy<Value = String> {
    let atom = select(TIMES).prop_map(str::to_owned);
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

/// The moment `step` milliseconds later. Ages are told in whole seconds, of which one was nearly over.
fn later(asked: &Asked, step: i64) -> Asked {
    asked.clone().with(|asked| {
        asked.now = Timestamp::from_millisecond(asked.now.as_millisecond() + step).unwrap();
        asked.grant_age += (step + 999) / 1000;
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever a rule says of the time, it says the same until the moment that was told.
    #[test]
    fn nothing_turns_before_its_time(
        condition in condition(),
        zone in select(vec!["UTC", "Europe/Zurich", "Asia/Kolkata", "Australia/Lord_Howe"]),
        start in select(vec![
            "2026-03-28T23:59:59.5Z", "2026-03-29T00:30:00Z", "2026-10-24T14:30:00.25Z",
            "2026-10-25T00:45:00Z", "2026-04-04T14:59:00Z",
        ]),
        age in select(vec![0_i64, 590, 640, 700]),
        steps in prop::collection::vec(0.0..1.0_f64, 24),
    ) {
        let policies = rule(&condition);
        let mut asked = Asked::list().with(|asked| {
            asked.now = start.parse().unwrap();
            asked.time_zone = TimeZone::get(zone).unwrap();
            asked.grant_age = age;
        });
        // From one moment told to the next: each is soon, or the end of the story.
        for _ in 0..8 {
            let Turned { rule, until } = turned(&policies, &asked);
            let now = asked.now.as_millisecond();
            let wall = until.wall.map(|wall| wall.as_millisecond() - now);
            let aged = until.aged.map(|aged| i64::try_from(aged.as_millis()).unwrap());
            let stands = [wall, aged].into_iter().flatten().min();
            prop_assert!(wall.is_none_or(|wall| wall > 0), "{condition}");
            // Two days are enough to see every part of the local time come round.
            let within = stands.unwrap_or(2 * 24 * HOUR);
            let sampled = steps.iter().map(|part| (within as f64 * part) as i64);
            for step in sampled.chain([within - 1]).filter(|step| (0..within).contains(step)) {
                let then = later(&asked, step);
                prop_assert_eq!(
                    &turned(&policies, &then).rule, &rule, "{} after {} ms of {:?}", condition, step, until
                );
            }
            match stands {
                Some(stands) => asked = later(&asked, stands.max(1)),
                None => break,
            }
        }
    }
}
