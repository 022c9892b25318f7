//! The seconds of the wall clock, as they begin.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

use super::Clock;

/// Waits for one second of the wall clock after the other.
#[derive(Debug)]
pub struct Seconds {
    clock: Clock,
    /// The minute, since the epoch, that was seen last.
    minute: i64,
}

impl Seconds {
    /// The seconds of `clock`, from now on.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let minute = minute(clock.wall());
        Self { clock, minute }
    }

    /// Waits for the next second, and says whether a new minute has begun since it was last asked. Where
    /// the wall clock is set, any other minute is a new one. Safe to drop at any point.
    pub async fn next(&mut self) -> bool {
        let past = self.clock.wall().subsec_nanosecond().unsigned_abs();
        let left = Duration::from_secs(1).saturating_sub(Duration::from_nanos(past.into()));
        self.clock.sleep_until(self.clock.now() + left).await;
        let minute = minute(self.clock.wall());
        std::mem::replace(&mut self.minute, minute) != minute
    }
}

fn minute(wall: Timestamp) -> i64 {
    wall.as_second().div_euclid(60)
}
