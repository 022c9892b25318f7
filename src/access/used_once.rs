//! What may be used once, remembered beyond a restart: the ids of client assertions and of security events.
//! Whoever has captured one could use it a second time with a process that has forgotten the first.
//!
//! Proofs of possession need none of this: each holds a nonce that ends with the process that gave it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;

use crate::base::Digest;
use crate::store::{Change, DocumentKind, GrantStore, StoreError};
use crate::tokens::{Replay, ReplayCache};

/// So many ids whose time is over are removed from the store with each that comes.
const REMOVED_WITH_EACH: usize = 64;

/// Ids that have been used, in memory and in the store.
pub struct UsedOnce {
    memory: ReplayCache,
    store: Arc<dyn GrantStore>,
    kind: DocumentKind,
}

/// Why an id is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotOnce {
    /// The store says something about an id that nobody wrote.
    #[error("what the store says of the used id `{0}` can't be read")]
    Broken(String),
    /// It was used, or can't be remembered.
    #[error(transparent)]
    Replay(#[from] Replay),
    /// A restart would forget it. It counts as used all the same.
    #[error("that the id is used can't be stored")]
    Store(#[from] StoreError),
}

impl UsedOnce {
    /// What the store remembers of a kind, without the ids whose time is over. `memory` says for how many there
    /// is room.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn open(
        store: Arc<dyn GrantStore>,
        kind: DocumentKind,
        memory: ReplayCache,
    ) -> Result<Self, NotOnce> {
        for (id, text) in store.documents(kind).await? {
            let used = Digest::from_hex(&id).zip(read(&text));
            let (digest, (scope, until)) = used.ok_or(NotOnce::Broken(id))?;
            // One whose time is over is removed from the store with the next that comes.
            memory.restore(digest, scope, until);
        }
        Ok(Self {
            memory,
            store,
            kind,
        })
    }

    /// Whether `id` of `scope` is remembered. It may be past its time.
    #[must_use]
    pub fn holds(&self, scope: &str, id: &str) -> bool {
        self.memory.holds(scope, id)
    }

    /// Accepts `id` within `scope`, once, and remembers it up to `until`; durably so when this returns.
    ///
    /// # Errors
    ///
    /// See [`NotOnce`].
    pub async fn accept(
        &self,
        scope: &str,
        id: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), NotOnce> {
        let used = self.memory.take(scope, id, until, now)?;
        let text = format!("{} {scope}", until.as_millisecond());
        let mut changes = vec![self.put(used, Some(text))];
        let over = self.memory.take_forgotten(REMOVED_WITH_EACH);
        changes.extend(over.into_iter().map(|id| self.put(id, None)));
        self.store.commit(changes).await?;
        Ok(())
    }

    fn put(&self, id: Digest, text: Option<String>) -> Change {
        Change::PutDocument {
            kind: self.kind,
            id: id.to_string(),
            text,
        }
    }
}

/// Whose it is and when its time is over.
fn read(text: &str) -> Option<(&str, Timestamp)> {
    let (until, scope) = text.split_once(' ')?;
    let until = Timestamp::from_millisecond(until.parse().ok()?).ok()?;
    Some((scope, until))
}

impl fmt::Debug for UsedOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsedOnce")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
