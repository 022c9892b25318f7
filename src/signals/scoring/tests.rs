use super::*;
use crate::base::{Clock, ManualClock};
use crate::signals::{Changed, HabitRules, Pushed};

fn scored() -> (Signals, Clock, ManualClock) {
    let (clock, time) = Clock::manual("2026-11-02T09:15:00Z".parse().unwrap());
    let signals = Signals::new(clock.clone(), HabitRules::default());
    signals.score_by(Some(RiskRules::default()));
    (signals, clock, time)
}

fn agent() -> AgentId {
    "bot".parse().unwrap()
}

fn seen(clock: &Clock, source: &str, became: Became) -> Seen {
    Seen {
        agent: agent(),
        task: None,
        source: source.parse().unwrap(),
        operation: Some("shop.pay".parse().unwrap()),
        numbers: smallvec::smallvec![("amount".into(), 40)],
        at: clock.wall(),
        became,
        again: false,
    }
}

fn round(signals: &Signals) {
    signals.learn();
    signals.score();
}

fn says(signals: &Signals, score: i64) {
    let pushed = Pushed {
        agent: agent(),
        task: None,
        score: score.try_into().unwrap(),
        source: "siem".into(),
        reason: Some("odd egress".into()),
        life: Duration::from_hours(1),
    };
    signals.push(pushed).unwrap();
}

fn risk(signals: &Signals) -> (i64, bool) {
    let facts = signals.risk(&agent(), None);
    (facts.score, facts.known)
}

/// Three weeks of calls from one network, at one hour of the week.
fn habits((signals, clock, time): (&Signals, &Clock, &ManualClock)) {
    for _ in 0..3 {
        assert!(signals.observe(seen(clock, "192.0.2.7", Became::Succeeded)));
        round(signals);
        time.advance(Duration::from_hours(7 * 24));
    }
    round(signals);
}

fn points(report: &RiskReport, name: &str) -> u32 {
    let part = report.components.iter().find(|part| part.name == name);
    part.unwrap().points
}

#[test]
fn without_rules_what_is_pushed_is_all() {
    let (clock, _) = Clock::manual("2026-11-02T09:15:00Z".parse().unwrap());
    let signals = Signals::new(clock.clone(), HabitRules::default());
    for _ in 0..100 {
        assert!(signals.observe(seen(&clock, "192.0.2.7", Became::Refused)));
    }
    round(&signals);
    assert_eq!(risk(&signals), (100, false));
    says(&signals, 37);
    assert_eq!(risk(&signals), (37, true));
    let report = signals.report(&agent(), None);
    assert_eq!((report.combine, report.computed), (None, None));
    let [pushed] = report.components.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!((pushed.name, pushed.points), ("pushed", 37));
    assert_eq!(pushed.reason, "`siem` says so: odd egress");
}

#[test]
fn an_agent_of_which_nothing_odd_was_seen_is_known_to_be_harmless() {
    let (signals, _, time) = scored();
    assert_eq!(risk(&signals), (0, true));
    says(&signals, 37);
    assert_eq!(risk(&signals), (37, true));
    // A scorer that stands still knows nothing.
    time.advance(STALE + Duration::from_secs(1));
    assert_eq!(risk(&signals), (37, true), "the push counts on");
    time.advance(Duration::from_hours(1));
    assert_eq!(risk(&signals), (100, false));
    round(&signals);
    assert_eq!(risk(&signals), (0, true));
}

#[test]
fn what_is_not_usual_counts_and_fades() {
    let (signals, clock, time) = scored();
    habits((&signals, &clock, &time));
    assert_eq!(risk(&signals), (0, true));
    assert!(signals.observe(seen(&clock, "198.51.100.7", Became::Refused)));
    round(&signals);
    assert_eq!(risk(&signals), (30, true));
    let report = signals.report(&agent(), None);
    assert_eq!(report.computed, Some(30));
    let network = report.components.iter().find(|part| part.name == "network");
    assert_eq!(network.unwrap().reason, "a call from 198.51.100.0/24");
    time.advance(Duration::from_secs(450));
    round(&signals);
    assert_eq!(risk(&signals), (15, true));
    time.advance(Duration::from_secs(450));
    round(&signals);
    assert_eq!(risk(&signals), (0, true));
}

#[test]
fn hour_operation_and_number_count_too() {
    let (signals, clock, time) = scored();
    habits((&signals, &clock, &time));
    let mut odd = seen(&clock, "192.0.2.9", Became::Succeeded);
    odd.numbers = smallvec::smallvec![("amount".into(), 4000)];
    assert!(signals.observe(odd));
    round(&signals);
    let report = signals.report(&agent(), None);
    assert_eq!(points(&report, "input"), 20);
    let input = report.components.iter().find(|part| part.name == "input");
    let reason = &input.unwrap().reason;
    assert_eq!(reason, "`amount` of `shop.pay` was 4000, usually 32 to 45");
    let mut odd = seen(&clock, "192.0.2.9", Became::Succeeded);
    odd.operation = Some("shop.find".parse().unwrap());
    odd.at = clock.wall() + Duration::from_hours(5);
    assert!(signals.observe(odd));
    round(&signals);
    let report = signals.report(&agent(), None);
    assert_eq!(points(&report, "operation"), 15);
    assert_eq!(points(&report, "hour"), 10);
    assert_eq!(report.facts.score, 45);
    let sum: u32 = report.components.iter().map(|part| part.points).sum();
    assert_eq!(sum, 45);
}

#[test]
fn a_new_agent_has_nothing_to_be_compared_with() {
    let (signals, clock, _) = scored();
    assert!(signals.observe(seen(&clock, "198.51.100.7", Became::Succeeded)));
    round(&signals);
    assert_eq!(risk(&signals), (0, true));
    let report = signals.report(&agent(), None);
    let velocity = report
        .components
        .iter()
        .find(|part| part.name == "velocity");
    assert_eq!(velocity.unwrap().value, None);
}

#[test]
fn refusals_count_from_the_sixth_in_a_minute() {
    let (signals, clock, time) = scored();
    let refused = |number| {
        for _ in 0..number {
            assert!(signals.observe(seen(&clock, "192.0.2.7", Became::Refused)));
        }
        round(&signals);
    };
    refused(5);
    assert_eq!(risk(&signals), (0, true));
    refused(10);
    assert_eq!(risk(&signals), (12, true));
    refused(100);
    assert_eq!(risk(&signals), (30, true));
    time.advance(Duration::from_secs(60));
    round(&signals);
    assert_eq!(risk(&signals), (0, true));
}

#[test]
fn an_agent_that_calls_much_faster_than_it_does_looks_risky() {
    let (signals, clock, time) = scored();
    let calls = |number| {
        for _ in 0..number {
            assert!(signals.observe(seen(&clock, "192.0.2.7", Became::Failed)));
        }
        round(&signals);
    };
    for _ in 0..40 {
        calls(20);
        time.advance(Duration::from_secs(60));
    }
    round(&signals);
    calls(20);
    assert_eq!(risk(&signals), (0, true));
    calls(180);
    let report = signals.report(&agent(), None);
    assert_eq!(points(&report, "velocity"), 15, "ten times is half way");
    calls(1000);
    let report = signals.report(&agent(), None);
    assert_eq!(points(&report, "velocity"), 30);
    let velocity = report
        .components
        .iter()
        .find(|part| part.name == "velocity");
    let reason = &velocity.unwrap().reason;
    assert_eq!(reason, "1200 calls in the last minute, usually 20.0");
}

#[test]
fn the_sum_is_the_sum_where_rules_say_so() {
    let (signals, clock, time) = scored();
    signals.score_by(Some(RiskRules {
        combine: Combine::Sum,
        ..RiskRules::default()
    }));
    says(&signals, 60);
    assert_eq!(risk(&signals), (60, true), "alone it is what it is");
    for _ in 0..100 {
        assert!(signals.observe(seen(&clock, "192.0.2.7", Became::Refused)));
    }
    round(&signals);
    assert_eq!(risk(&signals), (90, true));
    says(&signals, 80);
    assert_eq!(risk(&signals), (100, true));
    signals.score_by(Some(RiskRules::default()));
    assert_eq!(risk(&signals), (80, true));
    time.advance(Duration::from_secs(60));
    signals.score_by(None);
    assert_eq!(risk(&signals), (80, true));
    assert_eq!(
        signals.risk(&"other".parse().unwrap(), None),
        RiskFacts::UNKNOWN
    );
}

#[test]
fn a_change_is_told_once_a_round_and_only_where_there_is_one() {
    let (signals, clock, time) = scored();
    let mut changes = signals.changes();
    for _ in 0..30 {
        assert!(signals.observe(seen(&clock, "192.0.2.7", Became::Refused)));
    }
    round(&signals);
    assert_eq!(changes.try_recv().unwrap(), Changed::Risk(agent()));
    assert!(changes.try_recv().is_err());
    for _ in 0..10 {
        round(&signals);
    }
    assert!(changes.try_recv().is_err(), "nothing has changed");
    time.advance(Duration::from_secs(60));
    round(&signals);
    assert_eq!(changes.try_recv().unwrap(), Changed::Risk(agent()));
}

#[test]
fn what_matters_no_more_is_forgotten() {
    let (signals, clock, time) = scored();
    assert!(signals.observe(seen(&clock, "192.0.2.7", Became::Refused)));
    round(&signals);
    assert_eq!(signals.scoring.states().len(), 1);
    time.advance(Duration::from_secs(120));
    round(&signals);
    round(&signals);
    assert!(signals.scoring.states().is_empty());
    assert!(signals.scoring.active.read().unwrap().is_empty());
}

#[test]
fn a_flood_of_refusals_leaves_the_queue_to_others() {
    let (signals, clock, _) = scored();
    for _ in 0..100_000 {
        assert!(signals.observe(seen(&clock, "192.0.2.7", Became::Refused)));
    }
    let mut other = seen(&clock, "192.0.2.7", Became::Succeeded);
    other.agent = "rival".parse().unwrap();
    assert!(signals.observe(other));
    round(&signals);
    assert_eq!(risk(&signals), (30, true));
}

#[test]
fn a_long_call_is_counted_once() {
    let (signals, clock, _) = scored();
    for again in [false, true] {
        let seen = Seen {
            became: if again {
                Became::Succeeded
            } else {
                Became::Running
            },
            again,
            ..seen(&clock, "192.0.2.7", Became::Running)
        };
        assert!(signals.observe(seen));
    }
    signals.score();
    let mut states = signals.scoring.states();
    let state = states.get_mut(&agent()).unwrap();
    assert_eq!(state.calls.sum(seconds(clock.now())), 1);
    drop(states);
    assert_eq!(signals.baseline(&agent()).networks.iter().count(), 1);
}

/// One that holds the place of an agent's counts goes on counting there after a long silence; held by nobody it
/// is forgotten.
#[test]
fn where_an_agent_is_counted_stays_while_it_is_held() {
    let (signals, clock, time) = scored();
    let counts = CallCounts::default();
    let calls = |count: usize| {
        for _ in 0..count {
            let call = seen(&clock, "192.0.2.7", Became::Succeeded);
            assert!(signals.observe_at(call, Some(&counts)));
        }
        signals.score();
        let mut states = signals.scoring.states();
        let state = states.get_mut(&agent())?;
        Some(state.calls.sum(seconds(clock.now())))
    };
    let known = || signals.scoring.active.read().unwrap().len();
    assert_eq!(calls(3), Some(3));
    time.advance(Duration::from_hours(1));
    signals.score();
    assert_eq!(calls(0), None, "nothing is known of it any more");
    assert_eq!(known(), 1, "but where it is counted");
    assert_eq!(calls(2), Some(2));
    assert!(signals.observe(seen(&clock, "192.0.2.7", Became::Succeeded)));
    assert_eq!(calls(0), Some(3), "by whomever");
    drop(counts.clone());
    time.advance(Duration::from_hours(1));
    signals.score();
    assert_eq!(known(), 1);
}

#[test]
fn where_an_agent_was_counted_is_forgotten_with_the_last_that_held_it() {
    let (signals, clock, time) = scored();
    let counts = CallCounts::default();
    let call = seen(&clock, "192.0.2.7", Became::Succeeded);
    assert!(signals.observe_at(call, Some(&counts)));
    round(&signals);
    drop(counts);
    time.advance(Duration::from_hours(1));
    signals.score();
    signals.score();
    assert_eq!(signals.scoring.active.read().unwrap().len(), 0);
}
