//! Hands the records of decisions on, as they are sent, to whoever wants to look at them beside the log:
//! never waiting, and nothing at all while nobody wants to. A record that there is no place for is only counted.

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Record, RecordKind};

/// The end of a tap that records go into.
pub struct Tap {
    open: Arc<AtomicBool>,
    /// How many more records are wanted now.
    places: Arc<AtomicUsize>,
    records: SyncSender<Record>,
    missed: Box<dyn Fn() + Send + Sync>,
}

/// The end of a tap that records come out of.
pub struct Tapped {
    places: Arc<AtomicUsize>,
    records: Receiver<Record>,
}

/// Turns a tap on and off. It is off at first.
#[derive(Clone, Debug, Default)]
pub struct Valve(Arc<AtomicBool>);

impl Tap {
    /// A tap that holds at most `bound` records for the one who looks at them; `missed` is called for each
    /// that found no room.
    pub fn new(
        valve: &Valve,
        bound: usize,
        missed: impl Fn() + Send + Sync + 'static,
    ) -> (Self, Tapped) {
        let (records, receiver) = sync_channel(bound);
        let places = Arc::new(AtomicUsize::new(bound));
        let tap = Self {
            open: Arc::clone(&valve.0),
            places: Arc::clone(&places),
            records,
            missed: Box::new(missed),
        };
        let tapped = Tapped {
            places,
            records: receiver,
        };
        (tap, tapped)
    }

    /// Hands a record on, if it is one of a decision and somebody wants it: then it is taken.
    pub(super) fn offer(&self, record: &mut Record) {
        let decision = matches!(
            record.kind,
            RecordKind::Call | RecordKind::Grant | RecordKind::Request
        );
        if !decision || !self.open.load(Ordering::Relaxed) {
            return;
        }
        // Nothing is moved before it is known that it has a place: under load most have none.
        if !self.take_place() {
            (self.missed)();
            return;
        }
        let left = Record::new(record.kind, record.at);
        if self.records.try_send(mem::replace(record, left)).is_err() {
            (self.missed)();
        }
    }

    fn take_place(&self) -> bool {
        if self.places.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let one_less = |left: usize| left.checked_sub(1);
        let taken = self
            .places
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        taken.is_ok()
    }
}

impl Tapped {
    /// The next record, once there is one; none when no more can come.
    pub fn next(&self) -> Option<Record> {
        self.taken(self.records.recv().ok())
    }

    /// The next record that is there already.
    pub fn next_at_hand(&self) -> Option<Record> {
        self.taken(self.records.try_recv().ok())
    }

    /// A record that is taken out leaves its place to another.
    fn taken(&self, record: Option<Record>) -> Option<Record> {
        if record.is_some() {
            self.places.fetch_add(1, Ordering::Relaxed);
        }
        record
    }
}

impl Valve {
    /// Turns the tap on or off.
    pub fn set(&self, open: bool) {
        self.0.store(open, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tapped")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}
