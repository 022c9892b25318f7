//! The calls of a grant that has a limit of them: how many are left, and how many the store knows to be left.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Closed;
use super::ahead::{Ahead, first_stored};
use crate::base::BootInstant;

/// Calls that are counted.
#[derive(Debug)]
pub(super) struct Calls {
    left: AtomicU64,
    /// The calls left that a restart would find. A call is made only once this is at most what it left
    /// over, so that no crash gives a call back.
    stored: AtomicU64,
    /// How far that lies ahead of use.
    ahead: Ahead,
}

impl Calls {
    /// Those of a new grant.
    pub(super) fn new(budget: u64) -> Self {
        let mut calls = Self::restored(budget, budget);
        calls.stored = AtomicU64::new(first_stored(budget));
        calls
    }

    /// Those that a restart has found to be left of a budget.
    pub(super) const fn restored(left: u64, budget: u64) -> Self {
        Self {
            left: AtomicU64::new(left),
            stored: AtomicU64::new(left),
            ahead: Ahead::new(budget),
        }
    }

    /// How many are left.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::SeqCst)
    }

    /// Takes some, and tells how many are left then.
    ///
    /// # Errors
    ///
    /// When fewer are left; none is taken then.
    pub(super) fn take(&self, calls: u64) -> Result<u64, Closed> {
        let rest = |left: u64| left.checked_sub(calls);
        let before = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, rest);
        before.ok().and_then(rest).ok_or(Closed::Exhausted)
    }

    /// Gives back what was taken.
    pub(super) fn give(&self, calls: u64) {
        self.left.fetch_add(calls, Ordering::SeqCst);
    }

    /// How many a restart would find, at most.
    pub(super) fn stored(&self) -> u64 {
        self.stored.load(Ordering::SeqCst)
    }

    /// Whether half of the calls that the store knows of ahead of their use are used, once `left` are left.
    pub(super) fn runs_short(&self, left: u64) -> bool {
        let stored = self.stored();
        stored > 0 && left.saturating_sub(stored) < self.ahead.calls().div_ceil(2)
    }

    /// Whether the store takes more of them for used than of a grant that calls now and then.
    pub(super) fn are_far_ahead(&self, budget: u64) -> bool {
        self.ahead.is_far(budget)
    }

    /// How many the store is to know of before more are made than it knows of, where no more than `left` are
    /// left; and how far that lies ahead of use.
    pub(super) fn next(&self, left: u64, budget: u64, now: BootInstant) -> (u64, u64) {
        let ahead = self.ahead.next(budget, now);
        (left.min(self.left()).saturating_sub(ahead), ahead)
    }

    /// Where they have come to be used more slowly, the store is to know of more again.
    pub(super) fn relax(&self, budget: u64, now: BootInstant) {
        if let Some(ahead) = self.ahead.relax(budget, now) {
            let stored = self.stored().max(self.left().saturating_sub(ahead));
            // INVARIANT: a call that comes from here on finds that it has to wait; one that came before, and
            // need not, has been taken from what a mark looks at next.
            self.stored.store(stored, Ordering::SeqCst);
        }
    }

    /// The store knows of so many.
    pub(super) fn note_stored(&self, calls: u64) {
        self.stored.store(calls, Ordering::SeqCst);
    }

    /// The store is ahead by so many.
    pub(super) fn note_ahead(&self, ahead: u64, now: BootInstant) {
        self.ahead.note(ahead, now);
    }

    /// When none is made any more: what is left is left, and a late call waits. Tells whether the store is to
    /// know of that.
    pub(super) fn give_back_unused(&self) -> bool {
        let left = self.left();
        self.stored.swap(left, Ordering::SeqCst) != left
    }
}
