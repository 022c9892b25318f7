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
    assert!(records.try_recv().is_err());
    valve.set(true);
    for kind in [
        RecordKind::Admin,
        RecordKind::Call,
        RecordKind::Request,
        RecordKind::Grant,
    ] {
        offer(kind);
    }
    let handed: Vec<_> = records.try_iter().map(|record| record.kind).collect();
    assert_eq!(handed, [RecordKind::Call, RecordKind::Request]);
    assert_eq!(missed.load(Ordering::Relaxed), 1);
    // One who no longer looks stops nobody.
    drop(records);
    offer(RecordKind::Call);
    assert_eq!(missed.load(Ordering::Relaxed), 2);
}
