//! A share of the processor time that everything else uses, and no more.

#[cfg(test)]
mod tests;

use std::thread::sleep;
use std::time::Duration;

use crate::base::{process_time, thread_time};

/// In hundredths of what the rest of the process uses. Handing the records over costs that a little, too: all in
/// all it stays below five.
const SHARE: i64 = 2;

/// What can be saved up, in nanoseconds: a few hundred records.
const MOST: i64 = 50_000_000;

/// How long to wait for the rest of the process to do something, at first and at most.
const NAPS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// The budget of the thread that makes it.
pub(super) struct Budget {
    purse: Purse,
}

/// What is left, in nanoseconds, and what had been used when that was so.
struct Purse {
    left: i64,
    own: i64,
    all: i64,
}

impl Budget {
    pub(super) fn new() -> Self {
        let (own, all) = used();
        Self {
            purse: Purse {
                left: MOST,
                own,
                all,
            },
        }
    }

    /// Waits until something is left.
    pub(super) fn wait(&mut self) {
        let (mut nap, longest) = NAPS;
        loop {
            let (own, all) = used();
            if self.purse.settle(own, all) {
                return;
            }
            sleep(nap);
            nap = (nap * 2).min(longest);
        }
    }
}

impl Purse {
    /// Takes what this thread has used since from what it may use, and tells whether anything is left.
    fn settle(&mut self, own: i64, all: i64) -> bool {
        let spent = own - self.own;
        let others = (all - self.all - spent).max(0);
        self.left = (self.left - spent + others * SHARE / 100).min(MOST);
        (self.own, self.all) = (own, all);
        self.left > 0
    }
}

/// What this thread, and the whole process, have used, in nanoseconds.
fn used() -> (i64, i64) {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    (nanos(thread_time()), nanos(process_time()))
}
