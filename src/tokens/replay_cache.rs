//! Remembers what may be used once, for as long as it could be used again.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use thiserror::Error;

use crate::base::Digest;

/// How many ids are remembered at most, where nothing else is said.
const CAPACITY: usize = 65_536;

/// How many of them may be one scope's, so that no client can shut out the others.
const CAPACITY_PER_SCOPE: usize = CAPACITY / 16;

/// Why an id is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Replay {
    /// There is no room to remember it, so nobody could tell its second use.
    #[error("too many ids are remembered at this moment")]
    Full,
    /// It has been used.
    #[error("the id has been used before")]
    Seen,
    /// Its time is over.
    #[error("the id is past its time")]
    Stale,
}

/// Ids that have been used. Full of ids that are still good, it refuses new ones.
#[derive(Debug)]
pub struct ReplayCache {
    seen: Mutex<Seen>,
    capacity: usize,
    per_scope: usize,
}

#[derive(Debug, Default)]
struct Seen {
    /// Scope and id together, and the scope alone.
    ids: HashMap<Digest, Digest>,
    by_end: BTreeSet<(Timestamp, Digest)>,
    scopes: HashMap<Digest, usize>,
    /// Ids that are past their time and that nobody has [taken](ReplayCache::take_forgotten).
    forgotten: Vec<Digest>,
}

impl ReplayCache {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY, CAPACITY_PER_SCOPE)
    }

    /// Remembers nothing yet, and never more than `capacity` ids, of which one scope's are at most
    /// `per_scope`.
    #[must_use]
    pub fn with_capacity(capacity: usize, per_scope: usize) -> Self {
        Self {
            seen: Mutex::default(),
            capacity,
            per_scope,
        }
    }

    /// Whether `id` of `scope` is remembered. It may be past its time.
    #[must_use]
    pub fn holds(&self, scope: &str, id: &str) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.ids.contains_key(&within(scope, id))
    }

    /// Accepts `id` within `scope`, once, and remembers it up to `until`.
    ///
    /// # Errors
    ///
    /// When it has been seen, is past its time, or can't be remembered.
    pub fn accept(
        &self,
        scope: &str,
        id: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Replay> {
        self.take(scope, id, until, now)?;
        // Nobody keeps them elsewhere.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forgotten.clear();
        Ok(())
    }

    /// Accepts an id as [`ReplayCache::accept`] does, for one who keeps it elsewhere too: by what is returned.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn take(
        &self,
        scope: &str,
        id: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Digest, Replay> {
        if until <= now {
            return Err(Replay::Stale);
        }
        let id = within(scope, id);
        let scope = Digest::of(scope.as_bytes());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget_until(now);
        if seen.ids.contains_key(&id) {
            return Err(Replay::Seen);
        }
        let of_scope = seen.scopes.get(&scope).copied().unwrap_or(0);
        if seen.ids.len() >= self.capacity || of_scope >= self.per_scope {
            return Err(Replay::Full);
        }
        seen.remember(id, scope, until);
        Ok(id)
    }

    /// Some of what was taken and is past its time: it is remembered no more.
    #[must_use]
    pub fn take_forgotten(&self, most: usize) -> Vec<Digest> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = seen.forgotten.len().saturating_sub(most);
        seen.forgotten.split_off(kept)
    }

    /// Remembers again what was taken before, whether or not there is room for more.
    pub fn restore(&self, id: Digest, scope: &str, until: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.ids.contains_key(&id) {
            seen.remember(id, Digest::of(scope.as_bytes()), until);
        }
    }
}

/// The length keeps scope and id apart; digests keep long ids from filling the memory.
fn within(scope: &str, id: &str) -> Digest {
    let length = scope.len().to_be_bytes();
    Digest::of_parts(&[&length, scope.as_bytes(), id.as_bytes()])
}

impl Default for ReplayCache {
    fn default() -> Self {
        Self::new()
    }
}

impl Seen {
    fn remember(&mut self, id: Digest, scope: Digest, until: Timestamp) {
        self.ids.insert(id, scope);
        self.by_end.insert((until, id));
        *self.scopes.entry(scope).or_default() += 1;
    }

    fn forget_until(&mut self, now: Timestamp) {
        while let Some((until, id)) = self.by_end.first().copied() {
            if until > now {
                return;
            }
            self.by_end.pop_first();
            let Some(scope) = self.ids.remove(&id) else {
                continue;
            };
            self.forgotten.push(id);
            if let Some(count) = self.scopes.get_mut(&scope) {
                *count -= 1;
                if *count == 0 {
                    self.scopes.remove(&scope);
                }
            }
        }
    }
}
