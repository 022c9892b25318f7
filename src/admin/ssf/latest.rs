//! The last score of each agent that each transmitter has said, by kind, and when it was made: an older one
//! that comes later must not take its place, not even after a restart, nor must a restart forget the score.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::event::{Kind, Level};
use super::transmitter::Transmitter;
use crate::base::{Clock, Digest};
use crate::model::AgentId;
use crate::signals::{Pushed, Signals};
use crate::store::{Change, DocumentKind, GrantStore, StoreError};
use crate::tokens::OLDEST_EVENT;

const KIND: DocumentKind = DocumentKind::LatestScore;

/// When the last score was made that was taken. One entry at most for each transmitter, agent and kind.
pub struct LatestScores {
    store: Arc<dyn GrantStore>,
    made: Mutex<HashMap<Digest, Timestamp>>,
}

/// Why it is not known what was said last.
#[derive(Debug, Error)]
pub enum LatestError {
    /// The store remembers something that is no score.
    #[error("what the store says of the last score `{0}` can't be read")]
    Broken(String),
    /// The store can't be read or written.
    #[error("the last scores can't be read or kept")]
    Store(#[from] StoreError),
}

/// A score, as the store keeps it. Times are in milliseconds of the wall clock.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    issuer: String,
    agent: String,
    kind: String,
    /// When the event was made.
    made: i64,
    /// What it says; absent where it took back what was said before.
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<Says>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Says {
    level: String,
    since: i64,
    until: i64,
}

/// Whose score it is, and which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) issuer: &'a str,
    pub(super) agent: &'a AgentId,
    pub(super) kind: Kind,
}

impl LatestScores {
    /// What the store remembers. The scores that still count are given back to `signals`, as old as they are.
    /// What nobody needs any more is removed: no event as old would be taken.
    ///
    /// # Errors
    ///
    /// When the store can't be read or written, or holds what is no score.
    pub async fn open(
        store: Arc<dyn GrantStore>,
        transmitters: &[Transmitter],
        signals: &Signals,
        clock: &Clock,
    ) -> Result<Self, LatestError> {
        let mut made = HashMap::new();
        let mut gone = Vec::new();
        let now = clock.wall();
        for (id, text) in store.documents(KIND).await? {
            let broken = || LatestError::Broken(id.clone());
            let key = Digest::from_hex(&id).ok_or_else(broken)?;
            let written: Written = serde_json::from_str(&text).map_err(|_| broken())?;
            let at = Timestamp::from_millisecond(written.made).map_err(|_| broken())?;
            let agent: AgentId = written.agent.parse().map_err(|_| broken())?;
            let kind = Kind::named(&written.kind).ok_or_else(broken)?;
            let of = Of {
                issuer: &written.issuer,
                agent: &agent,
                kind,
            };
            let mut transmitters = transmitters.iter();
            let sender = transmitters.find(|one| one.keys.issuer() == written.issuer);
            let counts = match (sender, &written.says) {
                (Some(sender), Some(says)) => {
                    let level = Level::named(&says.level).ok_or_else(broken)?;
                    restore(signals, (sender, of), (level, says), now)
                }
                _ => false,
            };
            let oldest = SignedDuration::try_from(2 * OLDEST_EVENT).unwrap_or(SignedDuration::MAX);
            if counts || now.duration_since(at) <= oldest {
                made.insert(key, at);
            } else {
                gone.push(put(key, None));
            }
        }
        if !gone.is_empty() {
            store.commit(gone).await?;
        }
        let made = Mutex::new(made);
        Ok(Self { store, made })
    }

    /// Whether no later score was taken before: deliveries may change their order, and whoever has an old one
    /// must not undo a new one with it.
    pub(super) fn is_newer(&self, of: Of<'_>, at: Timestamp) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(&of.key()).is_none_or(|last| *last <= at)
    }

    /// Remembers a score that was made at this moment and counts for `life` from now on, or that there is
    /// none any more; durably so when this returns.
    pub(super) async fn keep(
        &self,
        of: Of<'_>,
        at: Timestamp,
        says: Option<(Level, Duration)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let since = now.as_millisecond();
        let says = says.map(|(level, life)| Says {
            level: level.as_str().to_owned(),
            since,
            until: since.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)),
        });
        let written = Written {
            issuer: of.issuer.to_owned(),
            agent: of.agent.to_string(),
            kind: of.kind.as_str().to_owned(),
            made: at.as_millisecond(),
            says,
        };
        let key = of.key();
        {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.insert(key, at);
        }
        // Plain structures of texts and numbers always serialise.
        let text = serde_json::to_string(&written).unwrap_or_default();
        self.store.commit(vec![put(key, Some(text))]).await
    }
}

/// Gives a score back, if it still counts.
fn restore(
    signals: &Signals,
    (sender, of): (&Transmitter, Of<'_>),
    (level, says): (Level, &Says),
    now: Timestamp,
) -> bool {
    let now = now.as_millisecond();
    let span = |from: i64, to: i64| {
        Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
    };
    // A wall clock that was set back meanwhile makes it count no longer than it was to begin with.
    let life = span(now, says.until).min(span(says.since, says.until));
    if life.is_zero() {
        return false;
    }
    let pushed = of.pushed(sender, level, life);
    signals.restore(pushed, span(says.since, now));
    true
}

impl Of<'_> {
    /// The score, for the signals.
    pub(super) fn pushed(self, sender: &Transmitter, level: Level, life: Duration) -> Pushed {
        let kind = self.kind.as_str();
        Pushed {
            agent: self.agent.clone(),
            task: None,
            score: sender.scores.of(level),
            source: self.source().into(),
            reason: Some(format!("{kind} {}", level.as_str()).into()),
            life,
        }
    }

    /// Who says so.
    pub(super) fn source(self) -> String {
        format!("{} {}", self.issuer, self.kind.as_str())
    }

    fn key(self) -> Digest {
        let agent = self.agent.as_str().as_bytes();
        let kind = self.kind.as_str().as_bytes();
        Digest::of_parts(&[self.issuer.as_bytes(), b"\0", agent, b"\0", kind])
    }
}

fn put(key: Digest, text: Option<String>) -> Change {
    Change::PutDocument {
        kind: KIND,
        id: key.to_string(),
        text,
    }
}

impl fmt::Debug for LatestScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestScores").finish_non_exhaustive()
    }
}
