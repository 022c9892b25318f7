//! What is counted of one agent: by the request path, without a lock, until the scorer looks; by the
//! scorer, over the last minute; and over days, as the pace that is its own.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU32, Ordering};

/// How many of an agent's calls that teach nothing, such as refused ones, are looked at between two looks of
/// the scorer: a flood of them must not take the learner's queue from others.
const MOST_SHOWN: u32 = 64;

/// How many minutes in which an agent called it takes until its pace is known.
const WARM: u32 = 30;

/// Over so many of such minutes its pace is averaged.
const MEMORY: u32 = 120;

/// The pace of an agent that has hardly called counts as so many calls a minute.
const SLOWEST: u64 = 10;

/// The pace counts thousandths of calls.
const MILLI: u64 = 1000;

/// What was counted since the scorer last looked.
#[derive(Debug, Default)]
pub(super) struct Activity {
    calls: AtomicU32,
    refused: AtomicU32,
    shown: AtomicU32,
}

impl Activity {
    /// Counts a call.
    pub(super) fn count(&self, refused: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether one more call that teaches nothing is looked at.
    pub(super) fn may_show(&self) -> bool {
        let shown = self.shown.load(Ordering::Relaxed) < MOST_SHOWN;
        if shown {
            self.shown.fetch_add(1, Ordering::Relaxed);
        }
        shown
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
    }

    /// The calls, and how many of them were refused; counting begins anew.
    pub(super) fn take(&self) -> (u32, u32) {
        self.shown.store(0, Ordering::Relaxed);
        let refused = self.refused.swap(0, Ordering::Relaxed);
        (self.calls.swap(0, Ordering::Relaxed), refused)
    }
}

/// Counts of the last sixty seconds.
#[derive(Debug)]
pub(super) struct LastMinute {
    seconds: [u32; 60],
    /// The last second that was counted in, on the boot clock.
    last: u64,
}

impl Default for LastMinute {
    fn default() -> Self {
        Self {
            seconds: [0; 60],
            last: 0,
        }
    }
}

impl LastMinute {
    /// Counts some in a second.
    pub(super) fn count(&mut self, second: u64, some: u32) {
        self.pass(second);
        if let Some(slot) = self.seconds.get_mut((second % 60) as usize) {
            *slot = slot.saturating_add(some);
        }
    }

    /// All of the minute that ends with a second.
    pub(super) fn sum(&mut self, second: u64) -> u32 {
        self.pass(second);
        let all = self.seconds.iter();
        all.fold(0, |sum: u32, slot| sum.saturating_add(*slot))
    }

    fn pass(&mut self, second: u64) {
        let passed = second.saturating_sub(self.last).min(60);
        for back in 0..passed {
            if let Some(slot) = self.seconds.get_mut(((second - back) % 60) as usize) {
                *slot = 0;
            }
        }
        self.last = self.last.max(second);
    }
}

/// How fast an agent calls: a moving average over the minutes in which it did. In one day (UTC) it at most
/// doubles, however fast the agent calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Thousandths of calls in a minute.
    pub(super) milli: u64,
    /// In how many minutes it called, as far as that matters.
    pub(super) minutes: u32,
    /// The last day, counted from the epoch, that was learnt on, and how fast it can become on it.
    pub(super) day: i64,
    pub(super) most: u64,
}

impl Pace {
    /// Calls in a minute, once enough minutes were seen.
    #[must_use]
    pub fn per_minute(&self) -> Option<f64> {
        (self.minutes >= WARM).then(|| self.milli as f64 / MILLI as f64)
    }

    /// Learns from a minute with calls in it.
    pub(super) fn learn(&mut self, calls: u32, day: i64) {
        let sample = u64::from(calls) * MILLI;
        if self.minutes == 0 || day > self.day {
            let slowest = SLOWEST * MILLI;
            self.most = self.milli.saturating_mul(2).max(slowest);
            self.day = day;
        }
        self.minutes = self.minutes.saturating_add(1).min(MEMORY);
        let weight = u64::from(self.minutes);
        let sum = self.milli.saturating_mul(weight - 1).saturating_add(sample);
        // What was never fast has no pace to double: its first minutes show it.
        let most = if self.minutes < WARM {
            u64::MAX
        } else {
            self.most.max(self.milli)
        };
        self.milli = (sum / weight).min(most);
        if self.minutes < WARM {
            self.most = self.most.max(self.milli.saturating_mul(2));
        }
    }
}
