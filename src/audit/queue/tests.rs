use super::super::fixture::{NEVER, call};
use super::*;

const MORE: Collected = Collected {
    due: false,
    more: true,
};
const DUE: Collected = Collected {
    due: true,
    more: true,
};

fn paths(batch: &Batch) -> Vec<String> {
    let lines = batch.iter().map(|members| {
        let line = [b"{\"seq\":1", members, b"}"].concat();
        line::read(&line).unwrap().path.unwrap()
    });
    lines.collect()
}

#[test]
fn a_full_queue_refuses_until_a_place_is_free() {
    let (audit, shared) = queue(2);
    let first = audit.reserve().unwrap();
    let second = audit.reserve().unwrap();
    assert_eq!(audit.reserve().unwrap_err(), Unavailable::Full);
    assert_eq!(audit.health(), Err(Unavailable::Full));

    drop(first);
    assert_eq!(audit.health(), Ok(()));

    second.write(call(1));
    let third = audit.reserve().unwrap();
    assert_eq!(audit.reserve().unwrap_err(), Unavailable::Full);

    // Taken by the writer is not yet durable.
    let mut batch = Batch::default();
    shared.lock().hurry = true;
    assert_eq!(shared.collect(&mut batch, Some(NEVER)), DUE);
    assert_eq!(paths(&batch), ["/orders/1"]);
    assert_eq!(audit.reserve().unwrap_err(), Unavailable::Full);
    shared.settle(1);
    assert_eq!(audit.health(), Ok(()));
    assert_eq!(audit.written(), 1);
    drop(third);
}

#[test]
fn a_writer_that_fails_refuses_and_says_why() {
    let (audit, shared) = queue(2);
    shared.fail("no space left");
    let why = Unavailable::Failing("no space left".into());
    assert_eq!(audit.reserve().unwrap_err(), why);
    assert_eq!(
        why.to_string(),
        "the audit log can't be written: no space left"
    );
    shared.settle(0);
    assert_eq!(audit.health(), Ok(()));
    shared.stop();
    assert_eq!(audit.health(), Err(Unavailable::Failing(STOPPED.into())));
}

#[test]
fn an_end_has_a_place_also_while_nothing_else_has() {
    let (audit, shared) = queue(1);
    let only = audit.reserve().unwrap();
    shared.fail("no space left");
    audit.reserve_for_end().unwrap().write(call(1));
    let ends: Vec<_> = (1..FOR_ENDS).map(|_| audit.reserve_for_end()).collect();
    assert!(ends.iter().all(Result::is_ok));
    assert_eq!(audit.reserve_for_end().unwrap_err(), Unavailable::Full);
    drop((only, ends));

    let mut batch = Batch::default();
    shared.lock().hurry = true;
    assert_eq!(shared.collect(&mut batch, Some(NEVER)), DUE);
    assert_eq!(paths(&batch), ["/orders/1"]);
}

#[test]
fn the_first_record_begins_a_group() {
    let (audit, shared) = queue(100);
    audit.reserve().unwrap().write(call(1));
    let mut batch = Batch::default();
    assert_eq!(shared.collect(&mut batch, None), MORE);
    assert_eq!(paths(&batch), ["/orders/1"]);
}

#[test]
fn the_writer_has_its_turn_when_a_piece_or_half_of_the_queue_has_come() {
    for (capacity, enough) in [(4, 2), (100 * PIECE, PIECE)] {
        let (audit, shared) = queue(capacity);
        assert_eq!(shared.half(), capacity / 2);
        for n in 0..enough {
            audit.reserve().unwrap().write(call(n));
        }
        assert!(shared.holds_records());
        let mut batch = Batch::default();
        assert_eq!(shared.collect(&mut batch, Some(NEVER)), MORE);
        assert_eq!(batch.len(), enough);
        assert!(!shared.holds_records());
    }
}

#[test]
fn the_group_ends_by_itself() {
    let (audit, shared) = queue(100);
    audit.reserve().unwrap().write(call(1));
    let mut batch = Batch::default();
    let left = Some(Duration::from_millis(1));
    assert_eq!(shared.collect(&mut batch, left), DUE);
    assert_eq!(paths(&batch), ["/orders/1"]);
    // One that is over does not wait for more, and not even for one.
    batch.clear();
    assert_eq!(shared.collect(&mut batch, Some(Duration::ZERO)), DUE);
    assert!(batch.is_empty());
}

#[test]
fn it_is_closed_when_handles_and_places_are_gone() {
    let (audit, shared) = queue(4);
    let place = audit.clone().reserve().unwrap();
    drop(audit);
    assert!(!shared.lock().closed);
    place.write(call(1));
    assert!(shared.lock().closed);
    let mut batch = Batch::default();
    let last = Collected {
        due: true,
        more: false,
    };
    assert_eq!(shared.collect(&mut batch, Some(NEVER)), last);
    assert_eq!(paths(&batch), ["/orders/1"]);
}

#[test]
fn a_sleeping_writer_is_woken() {
    // Often enough that the other thread sleeps before the first record, and between the two.
    for _ in 0..300 {
        let (audit, shared) = queue(4);
        let writer = std::thread::spawn(move || {
            let mut batch = Batch::default();
            shared.collect(&mut batch, None);
            let mut came = batch.len();
            while came < 2 {
                batch.clear();
                shared.collect(&mut batch, None);
                came += batch.len();
            }
            came
        });
        for n in 0..2 {
            std::thread::yield_now();
            audit.reserve().unwrap().write(call(n));
        }
        assert_eq!(writer.join().unwrap(), 2);
    }
}

#[test]
fn places_are_never_given_twice() {
    let (audit, shared) = queue(64);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..200 {
                    match audit.reserve() {
                        Ok(place) if n % 3 == 0 => place.write(call(n)),
                        Ok(_) | Err(_) => {}
                    }
                }
            });
        }
    });
    let sent = shared.lock().records.len();
    assert!(sent <= 64);
    assert_eq!(shared.places.load(Ordering::SeqCst), sent);
}
