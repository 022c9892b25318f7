use super::*;

fn token(number: usize) -> Secret<String> {
    Secret::new(format!("token-{number}"))
}

/// A token and what is known of it.
#[derive(Debug, PartialEq)]
struct Known(String, usize);

impl OfToken for Known {
    fn token(&self) -> &str {
        &self.0
    }
}

fn known(token: &str, of: usize) -> Arc<Known> {
    Arc::new(Known(token.to_owned(), of))
}

fn put(nearby: &Nearby<Known>, number: usize) {
    nearby.put(known(token(number).expose(), number));
}

fn held(nearby: &Nearby<Known>, number: usize) -> Option<usize> {
    nearby.get(&token(number)).map(|known| known.1)
}

#[test]
fn what_was_put_is_found_by_its_whole_token() {
    let nearby = Nearby::new();
    assert_eq!(held(&nearby, 1), None);
    put(&nearby, 1);
    assert_eq!(held(&nearby, 1), Some(1));
    assert_eq!(held(&nearby, 11), None);
    assert_eq!(nearby.get(&Secret::new("token-".to_owned())), None);
    // What was put last counts.
    nearby.put(known("token-1", 2));
    assert_eq!(held(&nearby, 1), Some(2));
}

#[test]
fn no_more_is_held_than_there_is_room_for() {
    let nearby = Nearby::new();
    let room = set(SETS - 1).end;
    for number in 0..4 * room {
        put(&nearby, number);
    }
    let found = (0..4 * room).filter(|number| held(&nearby, *number).is_some());
    assert!(found.count() <= room);
    assert_eq!(nearby.entries.borrow().len(), room);
    let newest = 4 * room - 1;
    assert_eq!(held(&nearby, newest), Some(newest));
}

/// The table's own hash collides: only the token tells.
#[test]
fn a_hash_alone_finds_nothing() {
    let nearby = Nearby::new();
    put(&nearby, 1);
    let hash = nearby.hash(b"token-2");
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
    assert_eq!(held(&nearby, 2), None);
}
