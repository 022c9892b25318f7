//! Forgetting: what has ended can be looked at for a while, then the audit log alone remembers it.
//!
//! Memory holds what lives and nothing else: an end takes out of every table what hung on the task or grant.
//! What has ended is in the store, and leaves it here, off every request's path. To forget can't let anything
//! pass: a token for a task that is not open is refused, whether the task has ended, was forgotten or never
//! was, and the id of a task is never taken again.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::yield_now;
use tracing::{debug, warn};

use super::{Grants, GrantsError};
use crate::base::ErrorChain;
use crate::model::TaskId;
use crate::store::{Forgotten, Horizon};

/// How long a forgetting waits for the next: a part of what is kept, within these.
const PART: u32 = 4;
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(10);

/// How long what has ended is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// From its end on.
    pub keep: Duration,
    /// How many ended tasks, and how many ended grants and requests; past it, the oldest go before their time.
    pub most: u64,
    /// The longest life of a token: for so long what has ended is kept in any case, because a token for it
    /// may ask for its receipt.
    pub tokens: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep: Duration::from_hours(24),
            most: 100_000,
            tokens: Duration::from_hours(1),
        }
    }
}

/// How many entries the tables in memory have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Open tasks.
    pub tasks: usize,
    /// Grants in force, or suspended.
    pub grants: usize,
    /// Requests that wait for people.
    pub requests: usize,
    /// Deadlines that are waited for.
    pub deadlines: usize,
    /// Open spans of open tasks, and live parts of live grants.
    pub parts: usize,
    /// Agents that have open tasks, or requests that wait.
    pub agents: usize,
    /// What has ended and is not stored as ended, and ends that are waited for.
    pub ends: usize,
}

impl Held {
    /// Each table by its word in the metrics.
    #[must_use]
    pub const fn by_table(&self) -> [(&'static str, usize); 7] {
        let Self {
            tasks,
            grants,
            requests,
            deadlines,
            parts,
            agents,
            ends,
        } = *self;
        [
            ("agents", agents),
            ("deadlines", deadlines),
            ("ends", ends),
            ("grants", grants),
            ("parts", parts),
            ("requests", requests),
            ("tasks", tasks),
        ]
    }
}

impl Grants {
    /// How many entries the tables in memory have at this moment.
    #[must_use]
    pub fn held(&self) -> Held {
        let inner = &self.0;
        let family = inner.family();
        let waiting = family.pending_of_task.len() + family.pending_by_agent.len();
        Held {
            tasks: inner.tasks.len(),
            grants: inner.grants.len(),
            requests: inner.pending.len(),
            deadlines: inner.timers.len(),
            parts: family.children.len() + family.carved.len(),
            agents: family.open_by_agent.len() + waiting,
            ends: inner.ends.len() + family.endings.len(),
        }
    }

    /// Forgets what has ended, for as long as it is polled.
    pub async fn run_forgetting(self) {
        let pause = self.0.limits.retention.keep / PART;
        let pause = pause.clamp(SOONEST, LATEST);
        loop {
            let clock = &self.0.clock;
            clock.sleep_until(clock.now() + pause).await;
            if let Err(error) = self.forget_ended().await {
                let error = ErrorChain(&error);
                warn!(%error, "what has ended can't be forgotten; it is tried again");
            }
        }
    }

    /// Removes from the store what has ended and is not kept any longer.
    ///
    /// # Errors
    ///
    /// When the store can't be read or written. What is gone is gone; the next time goes on from there.
    pub async fn forget_ended(&self) -> Result<Forgotten, GrantsError> {
        let inner = &self.0;
        let horizon = inner.limits.retention.horizon(inner.clock.wall());
        let mut whole = Forgotten::default();
        loop {
            let some = inner.store.forget(horizon).await?;
            whole = Forgotten {
                tasks: whole.tasks + some.tasks,
                grants: whole.grants + some.grants,
                ..some
            };
            if !some.more {
                break;
            }
            yield_now().await;
        }
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        inner.metrics.ended_tasks.set(number(whole.kept_tasks));
        inner.metrics.ended_grants.set(number(whole.kept_grants));
        if whole.tasks + whole.grants > 0 {
            let (tasks, grants) = (whole.tasks, whole.grants);
            debug!(tasks, grants, "what ended long ago is forgotten");
        }
        Ok(whole)
    }

    /// Whether a task of this id has ended and is not kept any more, as far as that is known: of ids that
    /// were made here nothing is left.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn was_forgotten(&self, id: &TaskId) -> Result<bool, GrantsError> {
        Ok(self.0.store.was_forgotten(id).await?)
    }
}

impl Retention {
    fn horizon(&self, now: Timestamp) -> Horizon {
        let ago = |span| now.checked_sub(span).unwrap_or(Timestamp::MIN);
        Horizon {
            before: ago(self.keep.max(self.tokens)),
            crowded_before: ago(self.tokens),
            most: self.most,
        }
    }
}
