use super::*;

const RULES: HabitRules = HabitRules {
    days: 3,
    new_per_day: 2,
    frozen_at: 70,
};

/// A Monday.
const START: &str = "2026-11-02T09:15:00Z";

fn on(days: i64) -> Timestamp {
    let start: Timestamp = START.parse().unwrap();
    start + SignedDuration::from_hours(days * 24)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn operation(name: &str) -> OperationId {
    name.parse().unwrap()
}

fn usual(baseline: &Baseline, from: &str, name: &str, at: Timestamp) -> (bool, bool, bool) {
    let operation = operation(name);
    let facts = baseline.usual(address(from), [&operation], at);
    (facts.network, facts.hour, facts.operation)
}

fn see(baseline: &mut Baseline, from: &str, name: &str, at: Timestamp) {
    baseline.see(address(from), (&operation(name), &[]), at, &RULES);
}

fn usual_networks(baseline: &Baseline, at: Timestamp) -> usize {
    let networks = baseline.networks.iter();
    networks.filter(|(_, habit)| habit.is_usual(at)).count()
}

#[test]
fn what_is_new_becomes_usual_on_the_third_day() {
    let mut baseline = Baseline::default();
    assert_eq!(
        usual(&baseline, "192.0.2.7", "list", on(0)),
        (false, false, false)
    );
    for days in 0..3 {
        // However often it comes on one day.
        for _ in 0..100 {
            assert_eq!(
                usual(&baseline, "192.0.2.7", "list", on(days)),
                (false, false, false)
            );
            if days < 2 {
                see(&mut baseline, "192.0.2.7", "list", on(days));
            }
        }
    }
    see(&mut baseline, "192.0.2.7", "list", on(2));
    assert_eq!(
        usual(&baseline, "192.0.2.200", "list", on(2)),
        (true, false, true)
    );
    assert_eq!(
        usual(&baseline, "192.0.3.7", "delete", on(2)),
        (false, false, false)
    );
    let (_, habit) = baseline.networks.iter().next().unwrap();
    assert_eq!((habit.calls, habit.days), (201, 3));
    assert_eq!((habit.first, habit.last), (on(0), on(2)));
    assert_eq!(habit.usual_since, Some(on(2)));
}

#[test]
fn an_hour_of_the_week_is_usual_in_its_third_week() {
    let mut baseline = Baseline::default();
    for week in 0..3 {
        let (network, hour, _) = usual(&baseline, "192.0.2.7", "list", on(7 * week));
        assert_eq!((network, hour), (false, false));
        see(&mut baseline, "192.0.2.7", "list", on(7 * week));
    }
    assert!(usual(&baseline, "192.0.2.7", "list", on(21)).1);
    // The same hour on a Tuesday, and the next on a Monday.
    assert!(!usual(&baseline, "192.0.2.7", "list", on(22)).1);
    let later = on(21) + SignedDuration::from_hours(1);
    assert!(!usual(&baseline, "192.0.2.7", "list", later).1);
}

#[test]
fn of_several_operations_all_have_to_be_usual_and_of_none_nothing_is() {
    let mut baseline = Baseline::default();
    for days in 0..3 {
        see(&mut baseline, "192.0.2.7", "list", on(days));
    }
    let (list, delete) = (operation("list"), operation("delete"));
    let is = |operations: &[&OperationId]| {
        let operations = operations.iter().copied();
        baseline
            .usual(address("192.0.2.7"), operations, on(2))
            .operation
    };
    assert!(is(&[&list]));
    assert!(!is(&[&list, &delete]));
    assert!(!is(&[]));
}

#[test]
fn a_drift_becomes_usual_no_faster_than_the_rules_say() {
    let mut baseline = Baseline::default();
    for days in 0..10 {
        for number in 0..30 {
            let from = format!("10.0.{number}.1");
            see(&mut baseline, &from, "list", on(days));
        }
        let most = usize::try_from(days - 1).unwrap_or_default() * 2;
        assert_eq!(usual_networks(&baseline, on(days)), most, "on day {days}");
    }
}

#[test]
fn a_flood_of_new_ones_is_bounded_and_drives_out_nothing_usual() {
    let mut baseline = Baseline::default();
    for days in 0..3 {
        see(&mut baseline, "192.0.2.7", "list", on(days));
    }
    for number in 0..2_000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        see(&mut baseline, &format!("10.{high}.{low}.1"), "list", on(3));
        let name = format!("operation-{number}");
        see(&mut baseline, "192.0.2.7", &name, on(3));
    }
    assert_eq!(baseline.networks.iter().count(), MOST_NEW + 1);
    assert_eq!(baseline.operations.iter().count(), MOST_NEW + 1);
    assert!(usual(&baseline, "192.0.2.7", "list", on(3)).0);
}

#[test]
fn what_is_usual_is_bounded_too_and_the_oldest_makes_room() {
    let many = HabitRules {
        new_per_day: u32::MAX,
        ..RULES
    };
    let mut baseline = Baseline::default();
    let list = operation("list");
    for round in 0..4_u8 {
        for days in 0..3 {
            for number in 0..100_u8 {
                let from = Ipv4Addr::new(10, round, number, 1).into();
                let at = on(i64::from(round) * 3 + days);
                baseline.see(from, (&list, &[]), at, &many);
            }
        }
    }
    assert_eq!(usual_networks(&baseline, on(12)), MOST_USUAL);
    assert!(!usual(&baseline, "10.0.0.1", "list", on(12)).0);
    assert!(usual(&baseline, "10.3.0.1", "list", on(12)).0);
}

#[test]
fn what_is_not_seen_for_ninety_days_is_new_again() {
    let mut baseline = Baseline::default();
    for days in 0..3 {
        see(&mut baseline, "192.0.2.7", "list", on(days));
    }
    assert!(usual(&baseline, "192.0.2.7", "list", on(92)).0);
    assert!(!usual(&baseline, "192.0.2.7", "list", on(93)).0);
    see(&mut baseline, "192.0.2.7", "list", on(93));
    let (_, habit) = baseline.networks.iter().next().unwrap();
    assert_eq!((habit.days, habit.usual_since), (1, None));
}

#[test]
fn a_clock_that_is_put_back_makes_no_new_day() {
    let mut baseline = Baseline::default();
    see(&mut baseline, "192.0.2.7", "list", on(10));
    for days in (0..10).rev() {
        see(&mut baseline, "192.0.2.7", "list", on(days));
        see(&mut baseline, "192.0.2.7", "list", on(10));
    }
    let (_, habit) = baseline.networks.iter().next().unwrap();
    assert_eq!((habit.days, habit.usual_since), (1, None));
}

#[test]
fn a_pinned_baseline_learns_nothing() {
    let mut baseline = Baseline::default();
    for days in 0..3 {
        see(&mut baseline, "192.0.2.7", "list", on(days));
    }
    baseline.pinned = true;
    let before = baseline.clone();
    for days in 3..9 {
        see(&mut baseline, "198.51.100.7", "delete", on(days));
    }
    assert_eq!(baseline, before);
    assert!(usual(&baseline, "192.0.2.7", "list", on(9)).0);
}

#[test]
fn networks_are_of_24_and_of_48_bits() {
    let network = |text| Network::of(address(text)).to_string();
    assert_eq!(network("192.0.2.7"), "192.0.2.0/24");
    assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.0/24");
    assert_eq!(network("2001:db8:1:2:3::4"), "2001:db8:1::/48");
}

#[test]
fn hours_of_the_week_begin_on_monday() {
    let hour = |text: &str| {
        let hour = WeekHour::of(text.parse().unwrap());
        (hour.weekday(), hour.hour())
    };
    assert_eq!(hour(START), (1, 9));
    assert_eq!(hour("2026-11-08T23:59:59Z"), (7, 23));
    assert_eq!(hour("1970-01-01T00:00:00Z"), (4, 0));
    assert_eq!(hour("1969-12-31T23:00:00Z"), (3, 23));
}
