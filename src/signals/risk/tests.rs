use super::*;
use crate::base::ManualClock;

fn signals() -> (Signals, ManualClock) {
    let (clock, time) = Clock::manual("2026-11-18T14:30:00Z".parse().unwrap());
    (Signals::new(clock, HabitRules::default()), time)
}

fn says(source: &str, score: i64, seconds: u64) -> Pushed {
    Pushed {
        agent: agent(),
        task: None,
        score: score.try_into().unwrap(),
        source: source.into(),
        reason: None,
        life: Duration::from_secs(seconds),
    }
}

fn agent() -> AgentId {
    "bot".parse().unwrap()
}

fn task(id: &str) -> TaskId {
    id.parse().unwrap()
}

fn shown(facts: RiskFacts) -> (i64, i64, bool) {
    (facts.score, facts.age_seconds, facts.known)
}

const UNKNOWN: (i64, i64, bool) = (100, 0, false);

#[test]
fn of_an_agent_of_whom_nobody_speaks_nothing_is_known() {
    let (signals, _) = signals();
    assert_eq!(shown(signals.risk(&agent(), None)), UNKNOWN);
    signals.push(says("siem", 0, 60)).unwrap();
    assert_eq!(shown(signals.risk(&agent(), None)), (0, 0, true));
    assert_eq!(
        shown(signals.risk(&"other".parse().unwrap(), None)),
        UNKNOWN
    );
}

#[test]
fn the_highest_counts_for_as_long_as_it_lives() {
    let (signals, time) = signals();
    signals.push(says("siem", 10, 100)).unwrap();
    time.advance(Duration::from_secs(5));
    signals.push(says("soc", 80, 30)).unwrap();
    assert_eq!(shown(signals.risk(&agent(), None)), (80, 0, true));
    time.advance(Duration::from_secs(29));
    assert_eq!(shown(signals.risk(&agent(), None)), (80, 29, true));
    time.advance(Duration::from_secs(1));
    assert_eq!(shown(signals.risk(&agent(), None)), (10, 35, true));
    time.advance(Duration::from_secs(65));
    assert_eq!(shown(signals.risk(&agent(), None)), UNKNOWN);
}

#[test]
fn a_source_takes_back_what_it_said() {
    let (signals, _) = signals();
    signals.push(says("siem", 80, 60)).unwrap();
    signals.push(says("siem", 5, 60)).unwrap();
    assert_eq!(shown(signals.risk(&agent(), None)), (5, 0, true));
}

#[test]
fn what_is_said_of_a_task_is_said_of_no_other() {
    let (signals, _) = signals();
    let of_task = Pushed {
        task: Some(task("t-1")),
        ..says("siem", 90, 60)
    };
    signals.push(of_task).unwrap();
    assert_eq!(
        shown(signals.risk(&agent(), Some(&task("t-1")))),
        (90, 0, true)
    );
    assert_eq!(shown(signals.risk(&agent(), Some(&task("t-2")))), UNKNOWN);
    assert_eq!(shown(signals.risk(&agent(), None)), UNKNOWN);
    signals.push(says("siem", 95, 60)).unwrap();
    assert_eq!(
        shown(signals.risk(&agent(), Some(&task("t-1")))),
        (95, 0, true)
    );
}

#[test]
fn there_is_room_for_so_many_and_what_has_ended_makes_room() {
    let (signals, time) = signals();
    for source in 0..SOURCES {
        signals.push(says(&format!("s{source}"), 1, 60)).unwrap();
    }
    assert_eq!(signals.push(says("more", 1, 60)), Err(Full::Sources));
    signals.push(says("s0", 2, 90)).unwrap();
    time.advance(Duration::from_secs(60));
    signals.push(says("more", 1, 60)).unwrap();
    for number in 0..TASKS {
        let of_task = Pushed {
            task: Some(task(&format!("t-{number}"))),
            ..says("siem", 1, 60)
        };
        signals.push(of_task).unwrap();
    }
    let of_task = Pushed {
        task: Some(task("one-more")),
        ..says("siem", 1, 60)
    };
    assert_eq!(signals.push(of_task), Err(Full::Tasks));
}

#[test]
fn a_score_has_its_bounds() {
    for number in [0, 1, 99, 100] {
        assert!(Score::try_from(number).is_ok());
    }
    for number in [-1, 101, 256, i64::MIN, i64::MAX] {
        assert_eq!(Score::try_from(number), Err(InvalidScore));
    }
}

#[test]
fn who_listens_is_told_whom_it_is_about() {
    let (signals, _) = signals();
    let mut changes = signals.changes();
    signals.push(says("siem", 1, 60)).unwrap();
    assert_eq!(changes.try_recv().unwrap(), Changed::Risk(agent()));
    assert!(changes.try_recv().is_err());
}

#[test]
fn that_a_score_has_ended_is_a_change_and_is_told_once() {
    let (signals, time) = signals();
    signals.push(says("siem", 80, 60)).unwrap();
    let mut changes = signals.changes();
    signals.lapse();
    assert!(changes.try_recv().is_err(), "it has not ended");
    time.advance(Duration::from_secs(60));
    signals.lapse();
    assert_eq!(changes.try_recv().unwrap(), Changed::Risk(agent()));
    signals.lapse();
    assert!(changes.try_recv().is_err());
}
