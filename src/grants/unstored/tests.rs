use super::*;

#[derive(Debug)]
struct Thing {
    name: u8,
    noted: Noted,
    list: Arc<Names<u8>>,
}

impl Note for Thing {
    fn note(&self) {
        self.list.note(&self.noted, &self.name);
    }
}

fn things() -> (Arc<Names<u8>>, [Arc<Thing>; 3]) {
    let list = Arc::new(Names::default());
    let thing = |name| {
        Arc::new(Thing {
            name,
            noted: Noted::default(),
            list: Arc::clone(&list),
        })
    };
    let things = [thing(1), thing(2), thing(3)];
    (list, things)
}

#[test]
fn what_changes_often_stands_there_once_until_it_is_read() {
    let (list, [one, two, _]) = things();
    one.note();
    two.note();
    one.note();
    assert_eq!(list.take(9), [1, 2]);
    // Taken and not yet read: whoever reads it sees the change.
    one.note();
    assert_eq!(list.len(), 0);
    one.noted.clear();
    one.note();
    assert_eq!(list.take(9), [1]);
}

#[test]
fn what_was_taken_and_not_written_stands_there_again() {
    let (list, all) = things();
    for thing in &all {
        thing.note();
    }
    assert_eq!(list.take(2), [1, 2]);
    let mut taken = Taken(vec![Arc::clone(&all[0]), Arc::clone(&all[1])]);
    for thing in &taken.0 {
        thing.noted.clear();
    }
    taken.0.remove(0);
    drop(taken);
    assert_eq!(list.take(9), [3, 2]);
}
