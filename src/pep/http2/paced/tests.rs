use super::*;

#[test]
fn a_budget_comes_back_with_time_and_has_an_end() {
    let (clock, time) = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap());
    let mut budget = Budget::new(clock.now());
    assert!(budget.spend(AT_ONCE, clock.now()));
    assert!(!budget.spend(1, clock.now()));
    time.advance(Duration::from_millis(500));
    assert!(budget.spend(A_SECOND / 2, clock.now()));
    assert!(!budget.spend(1, clock.now()));
    time.advance(Duration::from_hours(1));
    assert!(budget.spend(AT_ONCE, clock.now()));
    assert!(!budget.spend(1, clock.now()));
    assert!(budget.spend(0, clock.now()));
}

/// Who takes a large answer may measure all the while, and saves nothing up.
#[test]
fn what_is_taken_pays_for_what_is_asked() {
    let (clock, _time) = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap());
    let mut budget = Budget::new(clock.now());
    for _ in 0..10 * AT_ONCE {
        budget.earn(1);
        assert!(budget.spend(1, clock.now()));
    }
    // The last one was paid for after what could be saved was.
    assert!(budget.spend(AT_ONCE - 1, clock.now()));
    assert!(!budget.spend(1, clock.now()));
}

/// Looking often does not lose what comes back in the meantime.
#[test]
fn a_budget_comes_back_in_small_steps_too() {
    let (clock, time) = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap());
    let mut budget = Budget::new(clock.now());
    assert!(budget.spend(AT_ONCE, clock.now()));
    let mut had = 0;
    for _ in 0..1000 {
        time.advance(Duration::from_millis(3));
        had += u32::from(budget.spend(1, clock.now()));
    }
    assert!((290..=300).contains(&had), "{had} in three seconds");
}

#[test]
fn the_last_frame_says_which_streams_were_seen() {
    let frame = goaway(5, ENHANCE_YOUR_CALM);
    assert_eq!(frame, [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 11]);
}
