use super::*;

fn checked() -> Arc<Checked> {
    Arc::new(Checked {
        draft: None,
        names: Vec::new(),
        findings: Vec::new(),
        idle: false,
        limit: None,
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

#[test]
fn files_are_remembered_from_one_compilation_to_the_next() {
    let mut memory = Memory::default();
    let (name, digest): (Arc<str>, _) = ("a.cedar".into(), key(0, 0));
    memory.begin();
    memory.keep_file(&name, digest, [(0..1, key(0, 1))].into());
    memory.end();
    memory.begin();
    assert!(memory.recall_file(&name, &key(1, 0)).is_none());
    assert_eq!(
        memory.recall_file(&name, &digest).map(|one| one.len()),
        Some(1)
    );
    memory.end();
    memory.begin();
    memory.end();
    assert!(memory.recall_file(&name, &digest).is_none());
}

#[test]
fn validators_are_built_again_only_where_they_weigh_much_or_are_not_used() {
    let validators = Validators::default();
    let built = std::cell::Cell::new(0);
    let ask = |schema: &str, weight: usize| {
        let before = built.get();
        let build = || {
            built.set(built.get() + 1);
            let (schema, _) = cedar_policy::Schema::from_cedarschema_str("").unwrap();
            Ok(Validator::new(schema))
        };
        validators.get(schema, weight, build).unwrap();
        built.get() > before
    };
    assert!(ask("large", VALIDATORS + 1));
    assert!(ask("large", VALIDATORS + 1));
    let third = VALIDATORS / 3;
    for schema in ["first", "second", "third"] {
        assert!(ask(schema, third));
    }
    assert!(!ask("first", third));
    // The one that was not used for the longest time has to go.
    assert!(ask("fourth", third));
    assert!(!ask("first", third));
    assert!(!ask("third", third));
    assert!(ask("second", third));
    let failed = validators.get("broken", 1, || Err("no schema".to_owned()));
    assert_eq!(failed.map(drop), Err("no schema".to_owned()));
}
