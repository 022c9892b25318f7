//! The scores that were pushed, in the store: a restart does not make an agent look harmless again. Each counts
//! for no longer than it would have, and is as old as it is.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::{Clock, Digest};
use crate::signals::{Full, Pushed, Score, Signals};
use crate::store::{Change, DocumentKind, GrantStore, StoreError};

const KIND: DocumentKind = DocumentKind::PushedScore;

/// So many that have ended are removed with each that comes, at most: more go than come.
const REMOVED: usize = 16;

/// The scores that are in the store.
pub struct KeptScores {
    store: Arc<dyn GrantStore>,
    /// When each ends. Held across the write, so that the store and the signals take scores in one order.
    ends: tokio::sync::Mutex<Ends>,
}

/// In milliseconds of the wall clock.
#[derive(Debug, Default)]
struct Ends {
    of: HashMap<Digest, i64>,
    in_order: BTreeSet<(i64, Digest)>,
}

/// Why it is not known what was pushed.
#[derive(Debug, Error)]
pub enum KeptError {
    /// The store remembers something that is no score.
    #[error("what the store says of the pushed score `{0}` can't be read")]
    Broken(String),
    /// The store can't be read or written.
    #[error("pushed scores can't be read or kept")]
    Store(#[from] StoreError),
}

/// Why a score is not taken.
#[derive(Debug, Error)]
pub(super) enum NotTaken {
    /// There is no room for it.
    #[error(transparent)]
    Full(#[from] Full),
    /// It counts, and a restart would forget it.
    #[error("the score counts now and can't be kept for after a restart")]
    Store(#[from] StoreError),
}

/// A score, as the store keeps it. Times are in milliseconds of the wall clock.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    agent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    score: i64,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    since: i64,
    until: i64,
}

impl KeptScores {
    /// What the store remembers. The scores that still count are given back to `signals`; the others are removed.
    ///
    /// # Errors
    ///
    /// When the store can't be read or written, or holds what is no score.
    pub async fn open(
        store: Arc<dyn GrantStore>,
        signals: &Signals,
        clock: &Clock,
    ) -> Result<Self, KeptError> {
        let mut ends = Ends::default();
        let mut gone = Vec::new();
        let now = clock.wall().as_millisecond();
        for (id, text) in store.documents(KIND).await? {
            let broken = || KeptError::Broken(id.clone());
            let key = Digest::from_hex(&id).ok_or_else(broken)?;
            let written: Written = serde_json::from_str(&text).map_err(|_| broken())?;
            // A wall clock that was set back meanwhile makes it count no longer than it was to begin with.
            let life = span(now, written.until).min(span(written.since, written.until));
            let (age, until) = (span(written.since, now), written.until);
            let pushed = written.into_pushed(life).ok_or_else(broken)?;
            if life.is_zero() {
                gone.push(put(key, None));
            } else {
                signals.restore(pushed, age);
                ends.note(key, until);
            }
        }
        if !gone.is_empty() {
            store.commit(gone).await?;
        }
        Ok(Self {
            store,
            ends: tokio::sync::Mutex::new(ends),
        })
    }

    /// Takes a score that counts from `now` on; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// When there is no room for it, or the store can't keep it: then it counts until a restart.
    pub(super) async fn push(
        &self,
        signals: &Signals,
        pushed: Pushed,
        now: Timestamp,
    ) -> Result<(), NotTaken> {
        let mut ends = self.ends.lock().await;
        let key = key(&pushed);
        let written = Written::new(&pushed, now.as_millisecond());
        signals.push(pushed)?;
        // Plain structures of texts and numbers always serialise.
        let text = serde_json::to_string(&written).unwrap_or_default();
        let ended = ends.ended(now.as_millisecond());
        let removed = ended.iter().filter(|(_, ended)| *ended != key);
        let removed = removed.map(|(_, ended)| put(*ended, None));
        let changes = removed.chain([put(key, Some(text))]);
        self.store.commit(changes.collect()).await?;
        for (until, key) in ended {
            ends.forget(until, key);
        }
        ends.note(key, written.until);
        Ok(())
    }
}

impl Ends {
    fn note(&mut self, key: Digest, until: i64) {
        if let Some(before) = self.of.insert(key, until) {
            self.in_order.remove(&(before, key));
        }
        self.in_order.insert((until, key));
    }

    fn forget(&mut self, until: i64, key: Digest) {
        self.of.remove(&key);
        self.in_order.remove(&(until, key));
    }

    /// Some that have ended, the first first.
    fn ended(&self, now: i64) -> Vec<(i64, Digest)> {
        let ended = self.in_order.iter().take_while(|(until, _)| *until <= now);
        ended.take(REMOVED).copied().collect()
    }
}

impl Written {
    fn new(pushed: &Pushed, now: i64) -> Self {
        let life = i64::try_from(pushed.life.as_millis()).unwrap_or(i64::MAX);
        Self {
            agent: pushed.agent.to_string(),
            task: pushed.task.as_ref().map(ToString::to_string),
            score: pushed.score.number().into(),
            source: pushed.source.to_string(),
            reason: pushed.reason.as_deref().map(ToOwned::to_owned),
            since: now,
            until: now.saturating_add(life),
        }
    }

    /// The score, of which `life` is left; nothing where it is none.
    fn into_pushed(self, life: Duration) -> Option<Pushed> {
        Some(Pushed {
            agent: self.agent.parse().ok()?,
            task: self.task.map(|task| task.parse()).transpose().ok()?,
            score: Score::try_from(self.score).ok()?,
            source: self.source.into(),
            reason: self.reason.map(Into::into),
            life,
        })
    }
}

/// What a score takes the place of has the same.
fn key(pushed: &Pushed) -> Digest {
    let agent = pushed.agent.as_str().as_bytes();
    let task = pushed.task.as_ref().map_or("", |task| task.as_str());
    Digest::of_parts(&[
        agent,
        b"\0",
        task.as_bytes(),
        b"\0",
        pushed.source.as_bytes(),
    ])
}

fn span(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

fn put(key: Digest, text: Option<String>) -> Change {
    Change::PutDocument {
        kind: KIND,
        id: key.to_string(),
        text,
    }
}

impl fmt::Debug for KeptScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptScores").finish_non_exhaustive()
    }
}
