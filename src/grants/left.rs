//! What is left of one part of a budget.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Closed;

/// Stands for a budget without a limit.
const UNLIMITED: u64 = u64::MAX;

/// What is left, of what has a limit or has none.
#[derive(Debug)]
pub(super) struct Left(AtomicU64);

impl Left {
    /// So much is left; `None` is no limit.
    pub(super) fn new(left: Option<u64>) -> Self {
        Self(AtomicU64::new(left.unwrap_or(UNLIMITED)))
    }

    /// What is left, where there is a limit.
    pub(super) fn get(&self) -> Option<u64> {
        limited(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Takes so much, and tells what is left then, where there is a limit.
    ///
    /// # Errors
    ///
    /// When less is left; nothing is taken then.
    pub(super) fn take(&self, amount: u64) -> Result<Option<u64>, Closed> {
        let rest = |left| match left {
            UNLIMITED => Some(UNLIMITED),
            left => left.checked_sub(amount),
        };
        let before = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, rest);
        let left = before.ok().and_then(rest);
        left.map(limited).ok_or(Closed::Exhausted)
    }

    /// Gives back what was taken.
    pub(super) fn give(&self, amount: u64) {
        let more = |left| match left {
            UNLIMITED => None,
            left => Some(left + amount),
        };
        // Nothing is given to what has no limit.
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
    }

    /// Nothing is left from here on.
    pub(super) fn use_up(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

fn limited(left: u64) -> Option<u64> {
    (left != UNLIMITED).then_some(left)
}
