//! How often a request that waits for people may be polled.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::BootInstant;
use crate::model::RequestId;

/// Requests whose polls are remembered. Over it a poll is answered and not counted: who polls too often
/// is told so, and limited by what each poll costs them.
const MOST: usize = 65_536;

/// The longest interval that an impatient client is slowed down to.
const LONGEST: Duration = Duration::from_mins(1);

/// The polls of this moment.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<RequestId, Polled>>);

#[derive(Clone, Copy, Debug)]
struct Polled {
    at: BootInstant,
    interval: Duration,
    until: BootInstant,
}

impl Pace {
    /// The time between two polls, and by how much it grows for who does not keep to it (CIBA Core §11).
    pub(super) const INTERVAL: Duration = Duration::from_secs(5);

    /// Takes note of a poll of a request that waits until `until`. Says after which interval to come
    /// again: as an error where it has come too soon.
    pub(super) fn poll(
        &self,
        request: &RequestId,
        until: BootInstant,
        now: BootInstant,
    ) -> Result<Duration, Duration> {
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(polled) = polls.get_mut(request) {
            let soon = now - polled.at < polled.interval;
            polled.at = now;
            if soon {
                polled.interval = (polled.interval + Self::INTERVAL).min(LONGEST);
                return Err(polled.interval);
            }
            return Ok(polled.interval);
        }
        if polls.len() >= MOST {
            polls.retain(|_, polled| polled.until > now);
        }
        if polls.len() < MOST {
            let first = Polled {
                at: now,
                interval: Self::INTERVAL,
                until,
            };
            polls.insert(request.clone(), first);
        }
        Ok(Self::INTERVAL)
    }
}
