use super::*;

fn checked() -> Arc<Checked> {
    Arc::new(Checked {
        draft: None,
        names: Vec::new(),
        findings: Vec::new(),
        idle: false,
    })
}

fn key(round: usize, statement: usize) -> Digest {
    Digest::of(format!("{round} {statement}").as_bytes())
}

/// Rounds of so many new statements each, and how many of each are remembered at the end.
fn check(rounds: &[usize], expected: &[usize]) {
    let mut memory = Memory::default();
    for (round, statements) in rounds.iter().enumerate() {
        memory.begin();
        for statement in 0..*statements {
            memory.keep(key(round, statement), checked());
        }
        memory.end();
    }
    let left: Vec<usize> = (0..rounds.len())
        .map(|round| {
            let keys = (0..rounds[round]).map(|statement| key(round, statement));
            keys.filter(|key| memory.recall(key).is_some()).count()
        })
        .collect();
    assert_eq!(left, expected, "{rounds:?}");
}

#[test]
fn what_is_in_use_is_never_forgotten_and_the_rest_is_bounded() {
    check(&[3, 2, 1], &[3, 2, 1]);
    check(&[SPARE, 5], &[SPARE, 5]);
    check(&[10, SPARE, 5], &[0, SPARE, 5]);
    check(&[SPARE + 10], &[SPARE + 10]);
    check(&[SPARE + 10, 1], &[0, 1]);
}

#[test]
fn what_is_recalled_stays_young() {
    let mut memory = Memory::default();
    memory.begin();
    memory.keep(key(0, 0), checked());
    memory.keep(key(0, 1), checked());
    memory.end();
    memory.begin();
    for statement in 0..SPARE {
        memory.keep(key(1, statement), checked());
    }
    assert!(memory.recall(&key(0, 0)).is_some());
    memory.end();
    memory.begin();
    memory.end();
    assert!(memory.recall(&key(0, 1)).is_none());
}

#[test]
fn what_no_compilation_has_contained_for_long_is_forgotten() {
    let rounds = vec![1; 200];
    let recent = usize::try_from(ROUNDS).unwrap();
    let expected: Vec<_> = (0..200)
        .map(|round| usize::from(round + recent >= 200))
        .collect();
    check(&rounds, &expected);
}
