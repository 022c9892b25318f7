//! The seconds of the wall clock, as they begin.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::Clock;

/// Waits for one second of the wall clock after the other. A second that begins while nobody waits is not
/// missed: the next wait ends at once.
#[derive(Debug)]
pub struct Seconds {
    clock: Clock,
    /// The second, since the epoch, that was told last.
    told: i64,
}

impl Seconds {
    /// The seconds of `clock`, from now on.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let told = clock.wall().as_second();
        Self { clock, told }
    }

    /// Waits until the wall clock shows another second than the one told last, and says whether it shows
    /// another minute too. Safe to drop at any point.
    pub async fn next(&mut self) -> bool {
        loop {
            // Read in this order: should time pass in between, the sleep ends early rather than late.
            let now = self.clock.now();
            let wall = self.clock.wall();
            let second = wall.as_second();
            if second != self.told {
                let told = std::mem::replace(&mut self.told, second);
                return minute(told) != minute(second);
            }
            let past = wall.subsec_nanosecond().unsigned_abs();
            let left = Duration::from_secs(1).saturating_sub(Duration::from_nanos(past.into()));
            self.clock.sleep_until(now + left).await;
        }
    }
}

const fn minute(second: i64) -> i64 {
    second.div_euclid(60)
}
