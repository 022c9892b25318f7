use super::*;

fn token(number: usize) -> Secret<String> {
    Secret::new(format!("token-{number}"))
}

fn put(nearby: &Nearby<usize>, number: usize) {
    nearby.put(token(number).expose().as_str().into(), Arc::new(number));
}

#[test]
fn what_was_put_is_found_by_its_whole_token() {
    let nearby = Nearby::new();
    assert_eq!(nearby.get(&token(1)), None);
    put(&nearby, 1);
    assert_eq!(nearby.get(&token(1)), Some(Arc::new(1)));
    assert_eq!(nearby.get(&token(11)), None);
    assert_eq!(nearby.get(&Secret::new("token-".to_owned())), None);
    // What was put last counts.
    nearby.put("token-1".into(), Arc::new(2));
    assert_eq!(nearby.get(&token(1)), Some(Arc::new(2)));
}

#[test]
fn no_more_is_held_than_there_is_room_for() {
    let nearby = Nearby::new();
    let room = set(SETS - 1).end;
    for number in 0..4 * room {
        put(&nearby, number);
    }
    let held = (0..4 * room).filter(|number| nearby.get(&token(*number)).is_some());
    assert!(held.count() <= room);
    assert_eq!(nearby.entries.borrow().len(), room);
    let newest = 4 * room - 1;
    assert_eq!(nearby.get(&token(newest)), Some(Arc::new(newest)));
}

/// The table's own hash collides: only the token tells.
#[test]
fn a_hash_alone_finds_nothing() {
    let nearby = Nearby::new();
    put(&nearby, 1);
    let hash = nearby.hash("token-2");
    for near in nearby.entries.borrow_mut().iter_mut() {
        if let Some(held) = near.take() {
            *near = Some(Near { hash, ..held });
        }
    }
    let moved = nearby
        .entries
        .borrow_mut()
        .iter_mut()
        .find_map(Option::take);
    let places = set(hash);
    nearby.entries.borrow_mut()[places.start] = moved;
    assert_eq!(nearby.get(&token(2)), None);
}
