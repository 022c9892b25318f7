//! Measures how long nothing has moved, at the price of one timer for as long as nothing does.

#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{BootInstant, Clock};

/// Says when nothing has moved for a while.
pub struct IdleTimer {
    clock: Clock,
    timeout: Duration,
    last_moved: BootInstant,
    /// Set only while nothing moves; it outlives a movement and is then set anew, so that what is busy
    /// costs no timer.
    alarm: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl IdleTimer {
    /// Something that has just moved.
    #[must_use]
    pub fn new(clock: &Clock, timeout: Duration) -> Self {
        Self {
            clock: clock.clone(),
            timeout,
            last_moved: clock.now(),
            alarm: None,
        }
    }

    /// It has moved.
    pub fn moved(&mut self) {
        self.last_moved = self.clock.now();
    }

    /// It has moved at this moment, and not since.
    pub const fn moved_at(&mut self, moment: BootInstant) {
        self.last_moved = moment;
    }

    /// How long nothing may move.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Ready when nothing has moved for the whole timeout.
    pub fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.last_moved + self.timeout;
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(self.clock.sleep_until(deadline)));
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.alarm = None;
            if self.clock.now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}

impl fmt::Debug for IdleTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleTimer")
            .field("timeout", &self.timeout)
            .field("last_moved", &self.last_moved)
            .finish_non_exhaustive()
    }
}
