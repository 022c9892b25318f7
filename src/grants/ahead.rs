//! How many calls of a grant the store takes for used before they are.
//!
//! What is stored ahead can be used without waiting, and is lost in a crash; and each time that it is stored
//! again costs a sync of the disk. So a grant that calls now and then is a few calls ahead, and one that calls
//! all the time as many as it makes in about a second: it then writes a few times a second, however fast it
//! calls. Never is it ahead by more than an eighth of its budget. When it calls more slowly, each checkpoint
//! gives some back.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::BootInstant;

/// A grant that calls now and then is ahead by no more.
const FEW: u64 = 64;

/// No grant is ahead by more than one part in so many of its budget.
const SHARE: u64 = 8;

/// What is used up sooner was too little. At least half of it was used in that time: twice as much is what
/// the grant makes in one second, at most.
const SOON: Duration = Duration::from_millis(250);

/// What lasts for longer was more than is needed.
const LATE: Duration = Duration::from_secs(1);

/// How far the store is ahead of one grant. Changed only by whose turn it is to write its mark.
#[derive(Debug)]
pub(super) struct Ahead {
    calls: AtomicU64,
    /// When as much was last stored, in nanoseconds on the boot clock.
    since: AtomicU64,
}

impl Ahead {
    /// As it begins, for a grant with so many calls.
    pub(super) const fn new(budget: u64) -> Self {
        Self {
            calls: AtomicU64::new(least(budget)),
            since: AtomicU64::new(0),
        }
    }

    /// By how many calls.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// By how many it is to be from now on, when half of them or more are used up.
    pub(super) fn next(&self, budget: u64, now: BootInstant) -> u64 {
        let calls = self.calls();
        let lasted = self.lasted(now);
        let next = if lasted < SOON {
            calls.saturating_mul(2)
        } else if lasted > LATE {
            calls / 2
        } else {
            calls
        };
        next.clamp(least(budget), most(budget))
    }

    /// It is ahead by so many, as was stored.
    pub(super) fn note(&self, calls: u64, now: BootInstant) {
        self.calls.store(calls, Ordering::Relaxed);
        self.since.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Whether it is ahead by more than a grant is that calls now and then.
    pub(super) fn is_far(&self, budget: u64) -> bool {
        self.calls() > least(budget)
    }

    /// Where what was stored has lasted for longer than is needed: by how many fewer it is from now on.
    pub(super) fn relax(&self, budget: u64, now: BootInstant) -> Option<u64> {
        if !self.is_far(budget) || self.lasted(now) <= LATE {
            return None;
        }
        let fewer = (self.calls() / 2).max(least(budget));
        self.calls.store(fewer, Ordering::Relaxed);
        Some(fewer)
    }

    fn lasted(&self, now: BootInstant) -> Duration {
        now.saturating_since(BootInstant::from_nanos(self.since.load(Ordering::Relaxed)))
    }
}

/// The calls of a new grant that a restart finds, marked or not.
pub(super) const fn first_stored(budget: u64) -> u64 {
    budget.saturating_sub(least(budget))
}

const fn most(budget: u64) -> u64 {
    match budget / SHARE {
        0 => 1,
        share => share,
    }
}

const fn least(budget: u64) -> u64 {
    match most(budget) {
        share if share < FEW => share,
        _ => FEW,
    }
}
