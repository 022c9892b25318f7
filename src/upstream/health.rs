//! What an address's exchanges say about it: one that fails is left out for a while, then tried again.
//!
//! Nothing here can take the last address away: the pool prefers those that are not out, and uses the
//! others where there is none. So an agent that makes a service fail on purpose gains nothing by it.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::time::Duration;

use crate::base::BootInstant;

/// So many connections in a row that can't be opened put an address out.
const CONNECT_FAILURES: u32 = 3;

/// So many bad answers in a row do: 5xx, none in time, or one that breaks off.
const BAD_ANSWERS: u32 = 5;

/// How long an address is out the first time. Each time after that it is twice as long.
const SHORTEST: Duration = Duration::from_secs(5);

/// How long it is out at most.
const LONGEST: Duration = Duration::from_mins(5);

/// The health of one address, as one worker has seen it.
#[derive(Debug, Default)]
pub(super) struct Health {
    connect_failures: Cell<u32>,
    bad_answers: Cell<u32>,
    /// Until when it is out. In the past: it is on probation.
    out_until: Cell<Option<BootInstant>>,
    /// How often it was put out without a calm time between.
    times: Cell<u32>,
    /// When it last came back.
    back_since: Cell<Option<BootInstant>>,
}

/// Whether an address should be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Like any other.
    In,
    /// Only where there is nothing better.
    Out,
    /// For one exchange at a time, which shows whether it is back.
    Probation,
}

impl Health {
    pub(super) fn standing(&self, now: BootInstant) -> Standing {
        match self.out_until.get() {
            None => Standing::In,
            Some(until) if now < until => Standing::Out,
            Some(_) => Standing::Probation,
        }
    }

    /// Whether the last that was heard is bad.
    pub(super) fn is_failing(&self) -> bool {
        self.connect_failures.get() > 0 || self.out_until.get().is_some()
    }

    /// Notes whether a connection could be opened. Returns whether this put the address out.
    pub(super) fn connected(&self, well: bool, now: BootInstant) -> bool {
        if well {
            // Only an answer shows that an address on probation serves.
            self.connect_failures.set(0);
            return false;
        }
        self.connect_failures.set(self.connect_failures.get() + 1);
        self.judge(self.connect_failures.get() >= CONNECT_FAILURES, now)
    }

    /// Notes what kind of answer came. Returns whether this put the address out.
    pub(super) fn answered(&self, well: bool, now: impl FnOnce() -> BootInstant) -> bool {
        if !well {
            self.bad_answers.set(self.bad_answers.get() + 1);
            return self.judge(self.bad_answers.get() >= BAD_ANSWERS, now());
        }
        self.bad_answers.set(0);
        if self.out_until.get().is_none() {
            return false;
        }
        let now = now();
        if self.standing(now) == Standing::Probation {
            self.out_until.set(None);
            self.back_since.set(Some(now));
        }
        false
    }

    fn judge(&self, is_enough: bool, now: BootInstant) -> bool {
        let put_out = match self.standing(now) {
            Standing::In => is_enough,
            // Whoever had no better choice has learnt nothing new.
            Standing::Out => false,
            Standing::Probation => true,
        };
        if put_out {
            self.put_out(now);
        }
        put_out
    }

    fn put_out(&self, now: BootInstant) {
        let calm = |since: BootInstant| now.saturating_since(since) >= length(self.times.get());
        if self.back_since.take().is_some_and(calm) {
            self.times.set(0);
        }
        self.out_until.set(Some(now + length(self.times.get())));
        self.times.set(self.times.get().saturating_add(1));
        self.connect_failures.set(0);
        self.bad_answers.set(0);
    }
}

/// How long an address is out that was out so many times before.
fn length(times: u32) -> Duration {
    let factor = 2_u32.checked_pow(times).unwrap_or(u32::MAX);
    SHORTEST.saturating_mul(factor).min(LONGEST)
}
