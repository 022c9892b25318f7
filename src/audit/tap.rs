//! Hands the records of decisions on, as they are sent, to whoever wants to look at them beside the log:
//! never waiting, and nothing at all while nobody wants to.

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Record, RecordKind};

/// The end of a tap that records go into.
pub struct Tap {
    open: Arc<AtomicBool>,
    records: SyncSender<Record>,
    missed: Box<dyn Fn() + Send + Sync>,
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
    ) -> (Self, Receiver<Record>) {
        let (records, receiver) = sync_channel(bound);
        let tap = Self {
            open: Arc::clone(&valve.0),
            records,
            missed: Box::new(missed),
        };
        (tap, receiver)
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
        let left = Record::new(record.kind, record.at);
        if self.records.try_send(mem::replace(record, left)).is_err() {
            (self.missed)();
        }
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
