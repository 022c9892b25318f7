//! One exchange under a grant: counted, and taken from the budget, for as long as it runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Closed, LiveGrant};
use crate::grants::EndSignal;
use crate::grants::unstored::Note as _;

/// One exchange running under a grant. Dropping it is the end of the exchange.
#[derive(Debug)]
pub struct Exchange {
    grant: Arc<LiveGrant>,
    outcome: Outcome,
    /// Whether it has taken one of the places for exchanges at once.
    slot: bool,
    /// The calls that were left after this one was taken, where they are limited.
    left: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Cut,
    Finished,
    Refused,
}

impl Exchange {
    /// Counts among what runs under `grant` from here on; dropping it undoes that.
    pub(super) fn begin(grant: &Arc<LiveGrant>) -> Self {
        grant.running.fetch_add(1, Ordering::SeqCst);
        Self {
            grant: Arc::clone(grant),
            outcome: Outcome::Refused,
            slot: false,
            left: None,
        }
    }

    /// Takes one of the places of the grant, of which it has `most`.
    pub(super) fn take_slot(&mut self, most: u32) -> Result<(), Closed> {
        self.slot = true;
        if self.grant.slots().fetch_add(1, Ordering::SeqCst) >= most {
            return Err(Closed::Busy);
        }
        Ok(())
    }

    /// Takes its call from the budget: with that it is let through.
    pub(super) fn take_call(&mut self) -> Result<(), Closed> {
        self.left = self.grant.take_calls(1)?;
        self.outcome = Outcome::Finished;
        Ok(())
    }

    /// The grant that it runs under.
    #[must_use]
    pub const fn grant(&self) -> &Arc<LiveGrant> {
        &self.grant
    }

    /// Waits for the end of the grant.
    #[must_use]
    pub fn end_signal(&self) -> EndSignal {
        self.grant.end_signal()
    }

    /// The calls that were left after this one was taken, where they are limited.
    pub(in crate::grants) const fn left(&self) -> Option<u64> {
        self.left
    }

    /// Takes `bytes` that are about to pass from the budget.
    ///
    /// # Errors
    ///
    /// When fewer are left; they are then used up, so that nothing more passes.
    pub fn spend(&self, bytes: u64) -> Result<(), Closed> {
        let left = self.grant.bytes.take(bytes);
        if left.is_err() {
            self.grant.bytes.use_up();
        }
        if left != Ok(None) {
            self.grant.note();
        }
        left.map(drop)
    }

    /// Gives the call back to the budget: the upstream never saw a byte of it.
    pub fn refund(mut self) {
        self.grant.give_calls(1);
        self.outcome = Outcome::Refused;
    }

    /// Notes that it was cut and did not come to its own end.
    pub const fn mark_cut(&mut self) {
        self.outcome = Outcome::Cut;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.outcome {
            Outcome::Cut => {
                self.grant.cut.fetch_add(1, Ordering::SeqCst);
            }
            Outcome::Finished => {
                self.grant.finished.fetch_add(1, Ordering::SeqCst);
            }
            Outcome::Refused => {}
        }
        if self.slot {
            self.grant.slots().fetch_sub(1, Ordering::SeqCst);
        }
        let last = self.grant.running.fetch_sub(1, Ordering::SeqCst) == 1;
        // Before its end nobody waits for the last one. Whoever ends it looks at what runs after that: of the
        // two, one sees the other.
        if last && self.grant.end.get().is_some() {
            self.grant.end.wake();
        }
    }
}
