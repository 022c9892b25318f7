//! An open task, as the request path sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clockwork::Place;
use super::unstored::{Names, Note, Noted};
use super::{EndCell, EndSignal, Ledger, LiveGrant};
use crate::base::{BootInstant, Live};
use crate::model::{EndReason, Task, TaskId};
use crate::store::TaskMark;

/// An open task and the grants in force for it.
#[derive(Debug)]
pub struct LiveTask {
    task: Task,
    opened: BootInstant,
    oldest: BootInstant,
    /// When it lapses without a sign of life; nanoseconds on the boot clock.
    lapses: AtomicU64,
    place: Place,
    end: Arc<EndCell>,
    grants: Live<Vec<Arc<LiveGrant>>>,
    ledger: Mutex<Ledger>,
    stored: Stored,
}

/// What the store knows of a task.
#[derive(Debug, Default)]
struct Stored {
    /// When it lapses; zero where it has no mark.
    lapses: AtomicU64,
    /// The ledger's changes.
    changes: AtomicU64,
    /// Where it says that it has changed; nowhere where it is only supposed.
    names: Option<Arc<Names<TaskId>>>,
    noted: Noted,
    /// Marks are written one after the other; held across the write.
    turn: tokio::sync::Mutex<()>,
}

impl LiveTask {
    pub(super) fn new(task: Task, opened: BootInstant, now: BootInstant) -> Self {
        let mark = TaskMark {
            opened,
            lapses: now + task.lease,
            oldest: opened + task.max_age,
            history: Vec::new(),
        };
        Self::restored(task, mark)
    }

    /// A task that was open, as its mark tells.
    pub(super) fn restored(task: Task, mark: TaskMark) -> Self {
        Self {
            task,
            opened: mark.opened,
            oldest: mark.oldest,
            lapses: AtomicU64::new(mark.lapses.as_nanos()),
            place: Place::default(),
            end: Arc::new(EndCell::new()),
            grants: Live::new(Vec::new()),
            ledger: Mutex::new(Ledger::restored(mark.history)),
            stored: Stored::default(),
        }
    }

    /// The same, telling `names` what the store is to hear of with the clocks.
    #[must_use]
    pub(super) fn telling(mut self, names: &Arc<Names<TaskId>>) -> Self {
        self.stored.names = Some(Arc::clone(names));
        self
    }

    /// A task that is only supposed, with grants and calls as if it had them: nobody but whoever made it
    /// sees it, and it is in no store.
    #[must_use]
    pub fn supposed(task: Task, mark: TaskMark, grants: Vec<Arc<LiveGrant>>) -> Self {
        let supposed = Self::restored(task, mark);
        supposed.set_grants(grants);
        supposed
    }

    /// The task as it was opened.
    #[must_use]
    pub const fn task(&self) -> &Task {
        &self.task
    }

    /// When it was opened.
    #[must_use]
    pub const fn opened(&self) -> BootInstant {
        self.opened
    }

    /// When it lapses without a sign of life.
    #[must_use]
    pub fn lapses(&self) -> BootInstant {
        BootInstant::from_nanos(self.lapses.load(Ordering::SeqCst))
    }

    /// When it reaches its maximum age, which no sign of life moves.
    #[must_use]
    pub const fn oldest(&self) -> BootInstant {
        self.oldest
    }

    /// Its place among what is due.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Why it is over, if it is by `now`.
    #[must_use]
    pub fn ended(&self, now: BootInstant) -> Option<EndReason> {
        if let Some(reason) = self.end.get() {
            return Some(reason);
        }
        if now >= self.oldest() {
            return Some(EndReason::TaskMaxAge);
        }
        (now >= self.lapses()).then_some(EndReason::LeaseLapsed)
    }

    /// A sign of life: the lease runs anew from `now`. What has ended stays ended.
    pub fn renew(&self, now: BootInstant) {
        if self.ended(now).is_none() {
            let lapses = (now + self.task.lease).as_nanos();
            self.lapses.fetch_max(lapses, Ordering::SeqCst);
            self.note();
        }
    }

    /// The grants in force, the earliest deadline first.
    #[must_use]
    pub fn grants(&self) -> Arc<Vec<Arc<LiveGrant>>> {
        self.grants.current()
    }

    /// Waits for the end of the task.
    #[must_use]
    pub fn end_signal(&self) -> EndSignal {
        self.end.signal()
    }

    /// What the task has called so far. The lock is held while one decision is made and counted, so
    /// that parallel calls can't both take the last place.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        let ledger = self.locked_ledger();
        // It may be changed. Whoever clears the note before this reads the ledger behind that change, because
        // the lock is held; whoever does so later finds the note.
        self.note();
        ledger
    }

    fn locked_ledger(&self) -> MutexGuard<'_, Ledger> {
        // The ledger's changes are single additions: a poisoned one is at most one call short.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changes of the ledger a restart would find.
    pub(super) fn stored_changes(&self) -> u64 {
        self.stored.changes.load(Ordering::SeqCst)
    }

    /// Whether what changes without an end is not in the store as it is.
    pub(super) fn is_ahead_of_store(&self) -> bool {
        self.stored.lapses.load(Ordering::SeqCst) != self.lapses().as_nanos()
            || self.stored_changes() != self.locked_ledger().changes()
    }

    /// Its mark is read from here on: what changes later is noted anew.
    pub(super) fn clear_note(&self) {
        self.stored.noted.clear();
    }

    /// The turn to write its mark.
    pub(super) const fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.stored.turn
    }

    /// What the store would have to know, and how many of the ledger's changes that holds. Write it in
    /// turn, then say so to [`LiveTask::note_stored`].
    pub(super) fn mark(&self) -> (TaskMark, u64) {
        let ledger = self.locked_ledger();
        let mark = TaskMark {
            opened: self.opened,
            lapses: self.lapses(),
            oldest: self.oldest,
            history: ledger.counted(),
        };
        (mark, ledger.changes())
    }

    /// The store has `mark`, which holds so many of the ledger's changes.
    pub(super) fn note_stored(&self, mark: &TaskMark, changes: u64) {
        let lapses = mark.lapses.as_nanos();
        self.stored.lapses.store(lapses, Ordering::SeqCst);
        self.stored.changes.store(changes, Ordering::SeqCst);
    }

    /// Ends it in memory. Returns whether this call did.
    pub(super) fn end(&self, reason: EndReason, now: BootInstant) -> bool {
        self.end.set(reason, now)
    }

    /// The end that was set, whatever the clock says.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.end.get()
    }

    /// Replaces the list of grants; only under the service's lock.
    pub(super) fn set_grants(&self, mut grants: Vec<Arc<LiveGrant>>) {
        grants.sort_by_key(|grant| grant.deadline());
        grants.shrink_to_fit();
        self.grants.publish(Arc::new(grants));
    }
}

impl Note for LiveTask {
    fn note(&self) {
        if let Some(names) = &self.stored.names {
            names.note(&self.stored.noted, &self.task.id);
        }
    }
}
