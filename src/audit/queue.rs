//! The queue between those who decide and the one who writes.
//!
//! A place is taken before the thing is done that will be recorded, and is free again when the
//! record is durable: what is decided but not yet on the disk is never more than the queue holds.

#[cfg(test)]
mod tests;

use std::borrow::BorrowMut;
use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use super::batch::Batch;
use super::{Record, Tap, line};

/// Why nothing can be recorded now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// The writer can't write.
    #[error("the audit log can't be written: {0}")]
    Failing(Arc<str>),
    /// Every place is taken.
    #[error("the audit queue is full")]
    Full,
}

/// The way into the audit log. Cheap to clone; the log is closed when the last clone and the last
/// [`Place`] are gone.
#[derive(Clone)]
pub struct Audit(Arc<Way>);

impl Audit {
    /// Takes a place for one record, without ever waiting.
    ///
    /// # Errors
    ///
    /// While all are taken, and while the writer can't write. Refuse what was to be recorded.
    pub fn reserve(&self) -> Result<Place, Unavailable> {
        self.0.shared.check()?;
        self.place(0)
    }

    /// Takes a place for the record of an end, which happens also where nothing can be recorded: refusing it
    /// would leave in force what somebody takes back. While the writer can't write, the record waits until it
    /// can; places are kept for ends that exchanges don't get.
    ///
    /// # Errors
    ///
    /// While those are taken, too.
    pub fn reserve_for_end(&self) -> Result<Place, Unavailable> {
        self.place(FOR_ENDS)
    }

    fn place(&self, beyond: usize) -> Result<Place, Unavailable> {
        self.0.shared.take_place(beyond)?;
        Ok(Place(Some(Arc::clone(&self.0))))
    }

    /// Whether a place could be taken now.
    ///
    /// # Errors
    ///
    /// As [`Audit::reserve`].
    pub fn health(&self) -> Result<(), Unavailable> {
        self.reserve().map(drop)
    }

    /// Whether the writer can write.
    ///
    /// # Errors
    ///
    /// While it can't.
    pub fn is_written(&self) -> Result<(), Unavailable> {
        self.0.shared.check()
    }

    /// How many of the records sent since the start are durable.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.shared.progress.borrow().written
    }

    /// Completes when every record sent before is durable. Safe to drop at any point.
    ///
    /// # Errors
    ///
    /// When the writer can't write. The records are not lost by that: it keeps trying.
    pub async fn flush(&self) -> Result<(), Unavailable> {
        let shared = &self.0.shared;
        let mut progress = shared.progress.subscribe();
        let due = shared.hurry();
        let seen = progress
            .wait_for(|now| now.written >= due || now.failing.is_some())
            .await;
        match seen.as_deref() {
            Ok(now) if now.written >= due => Ok(()),
            Ok(Progress {
                failing: Some(why), ..
            }) => Err(Unavailable::Failing(Arc::clone(why))),
            _ => Err(Unavailable::Failing(STOPPED.into())),
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

/// A place in the queue, good for one record. Dropped unused, it is free for others.
#[must_use = "what was decided is recorded by writing to its place"]
pub struct Place(Option<Arc<Way>>);

impl Place {
    /// Sends `record` to the writer; neither fails nor waits for it. It is written down here, by whoever
    /// decided: there are many of those, and one writer. A record that is lent may be empty afterwards.
    pub fn write(mut self, mut record: impl BorrowMut<Record>) {
        if let Some(way) = self.0.take() {
            way.shared.push(record.borrow_mut());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(way) = &self.0 {
            way.shared.free_places(1);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// What all handles hold together: when it goes, nobody can send any more.
struct Way {
    shared: Arc<Shared>,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.news.notify_one();
    }
}

const STOPPED: &str = "the writer has stopped";

/// Places for the records of ends alone.
const FOR_ENDS: usize = 1024;

/// So many records are worth a writer's turn: few enough that they are still in the processor's caches, and
/// that whoever shares a core with the writer does not wait long.
const PIECE: usize = 128;

/// What came of collecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Collected {
    /// Whether what was collected, and before that, should be made durable now.
    pub(super) due: bool,
    /// Whether more can come.
    pub(super) more: bool,
}

/// What handles and writer share.
pub(super) struct Shared {
    capacity: usize,
    places: AtomicUsize,
    failing: AtomicBool,
    progress: watch::Sender<Progress>,
    /// Who looks at the records beside the log.
    tap: OnceLock<Tap>,
    queue: Mutex<Queue>,
    /// Only the writer waits for it.
    news: Condvar,
}

#[derive(Default)]
struct Progress {
    written: u64,
    failing: Option<Arc<str>>,
}

struct Queue {
    records: Batch,
    /// How many were ever sent.
    sent: u64,
    /// The length at which the writer wants to be woken; zero while it does not wait.
    wake_at: usize,
    /// Somebody waits for what is queued.
    hurry: bool,
    /// Nobody can send any more.
    closed: bool,
}

/// A queue with `capacity` places.
pub(super) fn queue(capacity: usize) -> (Audit, Arc<Shared>) {
    let shared = Arc::new(Shared {
        capacity,
        places: AtomicUsize::new(0),
        failing: AtomicBool::new(false),
        progress: watch::Sender::default(),
        tap: OnceLock::new(),
        queue: Mutex::new(Queue {
            records: Batch::default(),
            sent: 0,
            wake_at: 0,
            hurry: false,
            closed: false,
        }),
        news: Condvar::new(),
    });
    let way = Way {
        shared: Arc::clone(&shared),
    };
    (Audit(Arc::new(way)), shared)
}

/// The side of those who send.
impl Shared {
    fn check(&self) -> Result<(), Unavailable> {
        // The flag spares the usual case the lock; the text under the lock decides.
        if self.failing.load(Ordering::Acquire)
            && let Some(why) = self.progress.borrow().failing.clone()
        {
            return Err(Unavailable::Failing(why));
        }
        Ok(())
    }

    /// Takes one of the places, of which there are so many `beyond` the usual.
    fn take_place(&self, beyond: usize) -> Result<(), Unavailable> {
        let most = self.capacity.saturating_add(beyond);
        let one_more = |taken: usize| (taken < most).then(|| taken.saturating_add(1));
        self.places
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more)
            .map(drop)
            .map_err(|_| Unavailable::Full)
    }

    fn push(&self, record: &mut Record) {
        thread_local! {
            static MEMBERS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        MEMBERS.with_borrow_mut(|members| {
            members.clear();
            line::write(members, record);
            self.send(members);
        });
        if let Some(tap) = self.tap.get() {
            tap.offer(record);
        }
    }

    fn send(&self, members: &[u8]) {
        let mut queue = self.lock();
        queue.records.push(members);
        queue.sent = queue.sent.saturating_add(1);
        let wake = queue.records.len() == queue.wake_at;
        drop(queue);
        if wake {
            self.news.notify_one();
        }
    }

    /// Asks the writer not to wait for more, and tells how many records were sent by now.
    fn hurry(&self) -> u64 {
        let mut queue = self.lock();
        queue.hurry = true;
        let sent = queue.sent;
        drop(queue);
        self.news.notify_one();
        sent
    }
}

/// The side of the writer.
impl Shared {
    /// Moves what is queued into `batch`: as soon as there is [a piece](PIECE), when `left` is over, or when
    /// somebody waits. With nothing `left` to end, there is no group yet, and the first record begins one.
    ///
    /// Groups let those who send do without waking anybody.
    pub(super) fn collect(&self, batch: &mut Batch, left: Option<Duration>) -> Collected {
        let enough = match left {
            None => 1,
            Some(_) => PIECE.min(self.half()),
        };
        let mut queue = self.lock();
        queue.wake_at = enough;
        let wants_more = |queue: &mut Queue| queue.records.len() < enough && !queue.is_urgent();
        let over;
        (queue, over) = match left {
            None => {
                let queue = self.news.wait_while(queue, wants_more);
                (queue.unwrap_or_else(PoisonError::into_inner), false)
            }
            Some(left) => {
                let waited = self.news.wait_timeout_while(queue, left, wants_more);
                let (queue, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                (queue, left.is_zero() || waited.timed_out())
            }
        };
        queue.wake_at = 0;
        let urgent = mem::take(&mut queue.hurry);
        mem::swap(&mut queue.records, batch);
        Collected {
            due: over || urgent || queue.closed,
            more: !queue.closed,
        }
    }

    /// So many records are not kept waiting for their group to end: the places of as many are all that is left.
    pub(super) fn half(&self) -> usize {
        (self.capacity / 2).max(1)
    }

    /// Whether a record waits to be collected.
    pub(super) fn holds_records(&self) -> bool {
        !self.lock().records.is_empty()
    }

    /// From now on hands the records on to `tap` as well; there is one.
    pub(super) fn set_tap(&self, tap: Tap) {
        // Whoever comes second gets nothing.
        let _second = self.tap.set(tap);
    }

    /// Counts `records` as durable: the writer can write.
    pub(super) fn settle(&self, records: usize) {
        self.free_places(records);
        self.progress.send_modify(|progress| {
            progress.written = progress.written.saturating_add(records as u64);
            progress.failing = None;
            self.failing.store(false, Ordering::Release);
        });
    }

    /// Refuses new records from now on, and says why.
    pub(super) fn fail(&self, why: &str) {
        self.progress.send_modify(|progress| {
            progress.failing = Some(why.into());
            self.failing.store(true, Ordering::Release);
        });
    }

    /// Refuses for good.
    pub(super) fn stop(&self) {
        self.fail(STOPPED);
    }

    /// How many records were sent that are not durable.
    pub(super) fn unwritten(&self) -> u64 {
        let sent = self.lock().sent;
        sent.saturating_sub(self.progress.borrow().written)
    }

    /// Waits for `time`, and says whether anybody can still send.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let queue = self.lock();
        let closed = queue.closed;
        let (queue, _) = self
            .news
            .wait_timeout_while(queue, time, |queue| queue.closed == closed)
            .unwrap_or_else(PoisonError::into_inner);
        !queue.closed
    }

    fn free_places(&self, count: usize) {
        self.places.fetch_sub(count, Ordering::AcqRel);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock, and no half-done change would matter.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    const fn is_urgent(&self) -> bool {
        self.hurry || self.closed
    }
}
