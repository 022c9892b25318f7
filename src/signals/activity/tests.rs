use super::*;

#[test]
fn what_was_taken_counts_no_more() {
    let activity = Activity::default();
    activity.count(false);
    activity.count(true);
    assert_eq!(activity.take(), (2, 1));
    assert_eq!(activity.take(), (0, 0));
}

#[test]
fn so_many_calls_that_teach_nothing_are_looked_at() {
    let activity = Activity::default();
    let shown = (0..2 * MOST_SHOWN).filter(|_| activity.may_show()).count();
    assert_eq!(shown, MOST_SHOWN as usize);
    activity.take();
    assert!(activity.may_show());
}

#[test]
fn a_minute_forgets_what_is_older() {
    let mut minute = LastMinute::default();
    minute.count(1000, 3);
    minute.count(1000, 2);
    minute.count(1030, 4);
    assert_eq!(minute.sum(1030), 9);
    assert_eq!(minute.sum(1059), 9);
    assert_eq!(minute.sum(1060), 4);
    assert_eq!(minute.sum(1090), 0);
    minute.count(5000, 7);
    assert_eq!(minute.sum(5000), 7);
}

#[test]
fn a_pace_is_known_after_half_an_hour_of_calls() {
    let mut pace = Pace::default();
    for _ in 1..WARM {
        pace.learn(12, 1);
        assert_eq!(pace.per_minute(), None);
    }
    pace.learn(12, 1);
    assert_eq!(pace.per_minute(), Some(12.0));
}

#[test]
fn in_a_day_a_pace_at_most_doubles() {
    let mut pace = Pace::default();
    for _ in 0..WARM {
        pace.learn(20, 1);
    }
    for day in 2..5 {
        let before = pace.per_minute().unwrap();
        for _ in 0..1000 {
            pace.learn(1_000_000, day);
        }
        let after = pace.per_minute().unwrap();
        assert!((after - 2.0 * before).abs() < 0.01, "{before} to {after}");
    }
}

#[test]
fn a_pace_follows_an_agent_that_becomes_slower() {
    let mut pace = Pace::default();
    for _ in 0..WARM {
        pace.learn(100, 1);
    }
    for _ in 0..10 * MEMORY {
        pace.learn(10, 1);
    }
    assert!(pace.per_minute().unwrap() < 11.0, "{pace:?}");
}
