//! So much may be said in a while, and how much was left out.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::time::Duration;

use super::BootInstant;

/// Keeps a log readable, and its disk from filling, where others decide how often there is something to say.
#[derive(Debug)]
pub struct Trickle {
    most: u32,
    within: Duration,
    since: Cell<Option<BootInstant>>,
    said: Cell<u32>,
    left_out: Cell<u64>,
}

impl Trickle {
    /// Lets `most` be said `within` each such time.
    #[must_use]
    pub const fn new(most: u32, within: Duration) -> Self {
        Self {
            most,
            within,
            since: Cell::new(None),
            said: Cell::new(0),
            left_out: Cell::new(0),
        }
    }

    /// Whether one more may be said at `now`; if so, how many could not since the last.
    pub fn next(&self, now: BootInstant) -> Option<u64> {
        let fresh = self
            .since
            .get()
            .is_none_or(|since| now - since >= self.within);
        if fresh {
            self.since.set(Some(now));
            self.said.set(0);
        }
        if self.said.get() < self.most {
            self.said.set(self.said.get() + 1);
            return Some(self.left_out.take());
        }
        self.left_out.set(self.left_out.get().saturating_add(1));
        None
    }
}
