use super::*;

const START: BootInstant = BootInstant::from_nanos(1_000_000_000_000);

/// Stores again whenever so many are used up, at so many calls a second, for so many seconds; how many times
/// in the last of them, and how far ahead it then is.
fn run(budget: u64, per_second: u32, seconds: u32) -> (u32, u64) {
    let ahead = Ahead::new(budget);
    let end = START + Duration::from_secs(seconds.into());
    let mut now = START;
    let mut last_second = 0;
    while now < end {
        let next = ahead.next(budget, now);
        ahead.note(next, now);
        if end.saturating_since(now) <= Duration::from_secs(1) {
            last_second += 1;
        }
        // The store is asked again when half of them are used up.
        let used = u32::try_from(next.div_ceil(2)).unwrap();
        now = now + Duration::from_secs(1) * used / per_second;
    }
    (last_second, ahead.calls())
}

#[test]
fn a_busy_grant_is_stored_a_few_times_a_second_and_is_a_second_ahead_at_most() {
    for per_second in [1, 10, 100, 1_000, 30_000, 1_000_000] {
        let (times, ahead) = run(1_000_000_000_000, per_second, 10);
        assert!(times <= 5, "{times} times at {per_second} a second");
        let second = u64::from(per_second).max(FEW);
        assert!(ahead <= second, "{ahead} ahead at {per_second} a second");
    }
}

#[test]
fn no_grant_is_ahead_by_more_than_an_eighth_of_its_budget_or_one_call() {
    for budget in [0, 1, 7, 8, 100, 512, 1_000, 100_000] {
        let ahead = Ahead::new(budget);
        for _ in 0..70 {
            assert!(ahead.calls() <= (budget / 8).max(1), "of {budget}");
            ahead.note(ahead.next(budget, START), START);
        }
        assert_eq!(ahead.calls(), (budget / 8).max(1), "when all comes at once");
        assert!(first_stored(budget) >= budget.saturating_sub(64.min(budget / 8).max(1)));
    }
}

#[test]
fn what_is_not_needed_any_more_is_given_back_step_by_step() {
    let budget = 1_000_000;
    let ahead = Ahead::new(budget);
    ahead.note(1_000, START);
    assert_eq!(ahead.relax(budget, START + LATE), None, "it may be in use");
    let later = START + Duration::from_secs(2);
    let mut steps = Vec::new();
    while let Some(fewer) = ahead.relax(budget, later) {
        steps.push(fewer);
    }
    assert_eq!(steps, [500, 250, 125, 64]);
    assert!(!ahead.is_far(budget));
}
