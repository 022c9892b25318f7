use std::collections::BTreeMap;

use super::*;

const PARTS: usize = 4;

/// More than are looked at in one step, and a part with none.
fn part(number: usize) -> Vec<usize> {
    let many = [3 * TOGETHER / 2, 0, 10, TOGETHER];
    (0..many[number]).map(|one| 10_000 * number + one).collect()
}

fn all() -> usize {
    (0..PARTS).map(|number| part(number).len()).sum()
}

#[test]
fn each_is_looked_at_once_and_few_at_a_time() {
    let mut sweep = Sweep::of_parts(PARTS);
    let mut seen = BTreeMap::new();
    while sweep.goes_on() {
        let few = sweep.take(part);
        assert!(few.len() <= TOGETHER);
        for one in few {
            *seen.entry(one).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), all());
    assert!(seen.values().all(|times| *times == 1));
    assert!(sweep.take(part).is_empty());
}

#[test]
fn one_that_is_begun_anew_misses_none() {
    for steps in 0..6 {
        let mut sweep = Sweep::of_parts(PARTS);
        for _ in 0..steps {
            sweep.take(part);
        }
        sweep.begin();
        let mut seen = BTreeMap::new();
        while sweep.goes_on() {
            for one in sweep.take(part) {
                *seen.entry(one).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), all(), "after {steps} steps");
    }
}

#[test]
fn one_that_is_begun_at_every_step_comes_round() {
    let mut sweep = Sweep::of_parts(PARTS);
    let mut seen = BTreeMap::new();
    // A part is over after two steps at most.
    for _ in 0..2 * PARTS {
        for one in sweep.take(part) {
            seen.insert(one, ());
        }
        sweep.begin();
    }
    assert_eq!(seen.len(), all());
}
