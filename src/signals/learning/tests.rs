use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::{Clock, ManualClock};
use crate::signals::{Network, Pushed};

fn signals() -> (Signals, Clock, ManualClock) {
    let (clock, time) = Clock::manual("2026-11-02T09:15:00Z".parse().unwrap());
    let signals = Signals::new(clock.clone(), HabitRules::default());
    (signals, clock, time)
}

fn agent() -> AgentId {
    "bot".parse().unwrap()
}

fn seen(clock: &Clock, task: Option<&str>) -> Seen {
    Seen {
        agent: agent(),
        task: task.map(|id| id.parse().unwrap()),
        source: "192.0.2.7".parse().unwrap(),
        operation: Some("shop.list".parse().unwrap()),
        numbers: smallvec::smallvec![("amount".into(), 40)],
        at: clock.wall(),
        became: Became::Succeeded,
        again: false,
    }
}

fn says(signals: &Signals, task: Option<&str>, score: i64) {
    let pushed = Pushed {
        agent: agent(),
        task: task.map(|id| id.parse().unwrap()),
        score: score.try_into().unwrap(),
        source: "siem".into(),
        reason: None,
        life: Duration::from_hours(24),
    };
    signals.push(pushed).unwrap();
}

fn usual(signals: &Signals, clock: &Clock) -> UsualFacts {
    let (source, operation) = ("192.0.2.9".parse().unwrap(), "shop.list".parse().unwrap());
    signals.usual(&agent(), source, [&operation], clock.wall())
}

/// Days with a call on each.
fn days(signals: &Signals, (clock, time): (&Clock, &ManualClock), days: u32) {
    for _ in 0..days {
        assert!(signals.observe(seen(clock, None)));
        time.advance(Duration::from_hours(24));
    }
    signals.learn();
}

fn calls(signals: &Signals) -> u64 {
    let baseline = signals.baseline(&agent());
    baseline.networks.iter().map(|(_, habit)| habit.calls).sum()
}

#[test]
fn what_waits_in_the_queue_is_learnt() {
    let (signals, clock, time) = signals();
    assert_eq!(usual(&signals, &clock), UsualFacts::default());
    days(&signals, (&clock, &time), 2);
    assert_eq!(usual(&signals, &clock), UsualFacts::default());
    days(&signals, (&clock, &time), 1);
    let facts = usual(&signals, &clock);
    assert!(facts.network && facts.operation && !facts.hour);
    let other: AgentId = "rival".parse().unwrap();
    let source = "192.0.2.7".parse().unwrap();
    let operation = "shop.list".parse().unwrap();
    let of_other = signals.usual(&other, source, [&operation], clock.wall());
    assert_eq!(of_other, UsualFacts::default());
}

#[test]
fn nothing_is_learnt_while_the_agent_or_its_task_looks_risky() {
    let (signals, clock, _) = signals();
    says(&signals, None, 69);
    assert!(signals.observe(seen(&clock, None)));
    assert_eq!(calls(&signals), 1);
    says(&signals, Some("t"), 70);
    assert!(signals.observe(seen(&clock, Some("t"))));
    assert_eq!(calls(&signals), 1);
    assert!(signals.observe(seen(&clock, Some("u"))));
    assert_eq!(calls(&signals), 2);
    says(&signals, None, 70);
    assert!(signals.is_frozen(&agent(), None));
    assert!(signals.observe(seen(&clock, None)));
    assert_eq!(calls(&signals), 2);
    says(&signals, None, 5);
    assert!(signals.observe(seen(&clock, None)));
    assert_eq!(calls(&signals), 3);
}

#[test]
fn the_queue_is_bounded_and_says_when_it_is_full() {
    let (signals, clock, _) = signals();
    for _ in 0..QUEUE {
        assert!(signals.observe(seen(&clock, None)));
    }
    assert!(!signals.observe(seen(&clock, None)));
    assert_eq!(calls(&signals), QUEUE as u64);
    assert!(signals.observe(seen(&clock, None)));
}

#[tokio::test]
async fn the_learner_is_called_before_the_queue_is_full() {
    let (signals, clock, _) = signals();
    for _ in 0..QUEUE / 2 {
        assert!(signals.observe(seen(&clock, None)));
    }
    signals.crowded().await;
    signals.learn();
    let again = tokio::time::timeout(Duration::ZERO, signals.crowded());
    assert!(again.await.is_err(), "only once");
}

proptest! {
    #[test]
    fn what_is_learnt_from_many_at_once_is_what_each_alone_teaches(
        calls in prop::collection::vec(
            (0..3_u8, 0..3_u8, 0..3_i64, 0..2_u8, prop_oneof![
                8 => 0..120_i64,
                1 => 3_000..5_000_i64,
                1 => 80_000..90_000_i64,
                1 => -4_000..0_i64,
            ]),
            0..400,
        ),
    ) {
        let (together, clock, _) = signals();
        let (alone, ..) = signals();
        let mut at = clock.wall();
        for (network, operation, amount, other, seconds) in calls {
            // A wall clock can also be put back.
            at += jiff::SignedDuration::from_secs(seconds);
            let call = Seen {
                agent: if other == 0 { agent() } else { "rival".parse().unwrap() },
                source: format!("192.0.{}.{}", network / 2, network).parse().unwrap(),
                operation: Some(format!("shop.o{operation}").parse().unwrap()),
                numbers: smallvec::smallvec![("amount".into(), 40 * amount + i64::from(network))],
                at,
                ..seen(&clock, None)
            };
            prop_assert!(together.observe(call.clone()));
            prop_assert!(alone.observe(call));
            alone.learn();
        }
        together.learn();
        for agent in [agent(), "rival".parse().unwrap()] {
            prop_assert_eq!(together.baseline(&agent), alone.baseline(&agent));
        }
    }
}

#[test]
fn a_reset_forgets_what_waits_too_and_keeps_the_pin() {
    let (signals, clock, time) = signals();
    days(&signals, (&clock, &time), 3);
    assert!(signals.observe(seen(&clock, None)));
    signals.reset_baseline(&agent());
    assert_eq!(signals.baseline(&agent()), Baseline::default());
    signals.pin_baseline(&agent(), true);
    signals.reset_baseline(&agent());
    assert!(signals.observe(seen(&clock, None)));
    assert_eq!(calls(&signals), 0);
    signals.pin_baseline(&agent(), false);
    assert!(signals.observe(seen(&clock, None)));
    assert_eq!(calls(&signals), 1);
}

#[test]
fn what_came_before_a_pin_is_learnt() {
    let (signals, clock, _) = signals();
    assert!(signals.observe(seen(&clock, None)));
    signals.pin_baseline(&agent(), true);
    assert_eq!(calls(&signals), 1);
}

#[test]
fn a_baseline_is_the_same_after_it_was_written() {
    let (signals, clock, time) = signals();
    days(&signals, (&clock, &time), 4);
    let mut six = seen(&clock, None);
    six.source = "2001:db8::1".parse().unwrap();
    assert!(signals.observe(six));
    signals.pin_baseline(&agent(), true);
    assert_eq!(signals.unwritten_baselines(), [agent()]);
    assert!(signals.unwritten_baselines().is_empty());
    let text = signals.written_baseline(&agent()).unwrap();
    let again = Signals::new(clock.clone(), HabitRules::default());
    assert!(again.restore_baseline(agent(), &text));
    assert_eq!(again.baseline(&agent()), signals.baseline(&agent()));
    let networks = again.baseline(&agent()).networks;
    let networks: Vec<Network> = networks.iter().map(|(network, _)| *network).collect();
    assert_eq!(networks.len(), 2);
    assert!(again.baseline(&agent()).pinned);
}

#[test]
fn a_text_that_is_no_baseline_is_refused() {
    let (signals, _, _) = signals();
    let hour = r#"{"pinned":false,"networks":{"day":0,"admitted":0,"seen":[]},"hours":{"day":0,"admitted":0,"seen":[{"what":168,"calls":1,"days":1,"first":0,"last":0,"usual_since":null}]},"operations":{"day":0,"admitted":0,"seen":[]}}"#;
    for text in ["", "{}", "{\"pinned\":true}", hour] {
        assert!(!signals.restore_baseline(agent(), text), "{text}");
    }
    assert!(signals.restore_baseline(agent(), &hour.replace("168", "167")));
}

#[test]
fn what_becomes_usual_is_told_once() {
    let (signals, clock, time) = signals();
    let mut told = signals.changes();
    days(&signals, (&clock, &time), 2);
    assert!(told.try_recv().is_err(), "it is not usual yet");
    days(&signals, (&clock, &time), 1);
    assert_eq!(told.try_recv(), Ok(Changed::Habits(agent())));
    days(&signals, (&clock, &time), 2);
    assert!(told.try_recv().is_err(), "it stays so");
}

#[test]
fn what_lapses_is_told_once_and_what_was_seen_again_is_not_yet_told() {
    let (signals, clock, time) = signals();
    days(&signals, (&clock, &time), 3);
    let mut told = signals.changes();
    // A day has gone by since the last call.
    time.advance(Duration::from_hours(88 * 24));
    signals.tell_lapses();
    assert!(told.try_recv().is_err());
    assert!(usual(&signals, &clock).network);
    assert!(signals.observe(seen(&clock, None)));
    signals.learn();
    // The moment that was awaited is looked at, and the next one is the last call's.
    time.advance(Duration::from_hours(2 * 24));
    signals.tell_lapses();
    assert!(usual(&signals, &clock).network);
    while told.try_recv().is_ok() {}
    time.advance(Duration::from_hours(88 * 24));
    signals.tell_lapses();
    assert!(told.try_recv().is_err(), "it is seen for ninety days");
    time.advance(Duration::from_secs(1));
    assert!(!usual(&signals, &clock).network);
    signals.tell_lapses();
    assert_eq!(told.try_recv(), Ok(Changed::Habits(agent())));
    signals.tell_lapses();
    assert!(told.try_recv().is_err(), "nothing is usual any more");
}

#[test]
fn what_was_learnt_before_a_start_lapses_after_it() {
    let (before, clock, time) = signals();
    days(&before, (&clock, &time), 3);
    let text = before.written_baseline(&agent()).unwrap();
    let after = Signals::new(clock.clone(), HabitRules::default());
    assert!(after.restore_baseline(agent(), &text));
    let mut told = after.changes();
    time.advance(Duration::from_hours(89 * 24));
    after.tell_lapses();
    assert!(told.try_recv().is_err());
    time.advance(Duration::from_secs(1));
    after.tell_lapses();
    assert_eq!(told.try_recv(), Ok(Changed::Habits(agent())));
}
