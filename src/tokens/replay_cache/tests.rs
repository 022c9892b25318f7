use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn an_id_is_good_once_within_its_scope() {
    let cache = ReplayCache::new();
    assert_eq!(cache.accept("bot", "1", at(60), at(0)), Ok(()));
    assert_eq!(cache.accept("bot", "1", at(60), at(0)), Err(Replay::Seen));
    assert_eq!(cache.accept("bot", "1", at(90), at(59)), Err(Replay::Seen));
    assert_eq!(cache.accept("other", "1", at(60), at(0)), Ok(()));
    // Scope and id do not run into each other.
    assert_eq!(cache.accept("bo", "t1", at(60), at(0)), Ok(()));
}

#[test]
fn what_is_past_its_time_is_refused_and_forgotten() {
    let cache = ReplayCache::new();
    assert_eq!(cache.accept("bot", "1", at(60), at(0)), Ok(()));
    assert_eq!(cache.accept("bot", "1", at(60), at(60)), Err(Replay::Stale));
    assert_eq!(cache.accept("bot", "2", at(120), at(60)), Ok(()));
    let seen = cache.seen.lock().unwrap();
    assert_eq!(
        (seen.ids.len(), seen.by_end.len(), seen.scopes.len()),
        (1, 1, 1)
    );
    assert_eq!(seen.scopes.values().sum::<usize>(), 1);
}

#[test]
fn a_full_scope_refuses_only_its_own() {
    let cache = ReplayCache::new();
    for id in 0..CAPACITY_PER_SCOPE {
        assert_eq!(cache.accept("loud", &id.to_string(), at(60), at(0)), Ok(()));
    }
    assert_eq!(
        cache.accept("loud", "more", at(60), at(0)),
        Err(Replay::Full)
    );
    assert_eq!(cache.accept("loud", "0", at(60), at(0)), Err(Replay::Seen));
    assert_eq!(cache.accept("quiet", "1", at(60), at(0)), Ok(()));
    assert_eq!(cache.accept("loud", "more", at(120), at(60)), Ok(()));
}

#[test]
fn a_full_cache_refuses_rather_than_forgets() {
    let cache = ReplayCache::new();
    for id in 0..CAPACITY {
        let scope = (id % 32).to_string();
        assert_eq!(cache.accept(&scope, &id.to_string(), at(60), at(0)), Ok(()));
    }
    assert_eq!(cache.accept("new", "1", at(60), at(0)), Err(Replay::Full));
    assert_eq!(cache.accept("0", "0", at(60), at(0)), Err(Replay::Seen));
    assert_eq!(cache.accept("new", "1", at(120), at(60)), Ok(()));
}
