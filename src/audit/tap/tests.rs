use std::sync::atomic::AtomicUsize;

use jiff::Timestamp;

use super::*;

#[test]
fn decisions_are_handed_on_while_it_is_open_and_there_is_room() {
    let valve = Valve::default();
    let missed = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&missed);
    let (tap, records) = Tap::new(&valve, 2, move || {
        counts.fetch_add(1, Ordering::Relaxed);
    });
    let offer = |kind| tap.offer(&mut Record::new(kind, Timestamp::UNIX_EPOCH));
    offer(RecordKind::Call);
    assert!(records.next_at_hand().is_none());
    valve.set(true);
    for kind in [
        RecordKind::Admin,
        RecordKind::Call,
        RecordKind::Request,
        RecordKind::Grant,
    ] {
        offer(kind);
    }
    let handed = || {
        let records = std::iter::from_fn(|| records.next_at_hand());
        records.map(|record| record.kind).collect::<Vec<_>>()
    };
    assert_eq!(handed(), [RecordKind::Call, RecordKind::Request]);
    assert_eq!(missed.load(Ordering::Relaxed), 1);
    // There is as much room again.
    for _ in 0..3 {
        offer(RecordKind::Call);
    }
    assert_eq!(handed(), [RecordKind::Call; 2]);
    assert_eq!(missed.load(Ordering::Relaxed), 2);
    // One who no longer looks stops nobody.
    drop(records);
    offer(RecordKind::Call);
    assert_eq!(missed.load(Ordering::Relaxed), 3);
}

#[test]
fn what_has_no_place_is_left_as_it_is() {
    let valve = Valve::default();
    valve.set(true);
    let (tap, records) = Tap::new(&valve, 1, || {});
    let offered = || {
        let mut record = Record::new(RecordKind::Call, Timestamp::UNIX_EPOCH);
        record.detail = Some("looked at".to_owned());
        tap.offer(&mut record);
        record.detail
    };
    assert_eq!(offered(), None);
    assert_eq!(offered().as_deref(), Some("looked at"));
    let taken = records.next().map(|record| record.detail);
    assert_eq!(taken, Some(Some("looked at".to_owned())));
    assert_eq!(offered(), None);
}
