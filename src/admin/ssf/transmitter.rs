//! Who sends security events, as configured, and what was taken of theirs.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::event::{Kind, Level};
use crate::access::UsedOnce;
use crate::authn::IssuerKeys;
use crate::base::{Digest, Live};
use crate::model::AgentId;
use crate::signals::Score;
use crate::tokens::ReplayCache;

/// How many tokens are remembered, of all transmitters and of each.
const REMEMBERED: usize = 262_144;
const REMEMBERED_OF_EACH: usize = 65_536;

/// The scores that levels stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scores {
    /// Of `LOW`.
    pub low: Score,
    /// Of `MEDIUM`, and of an assurance level that has decreased.
    pub medium: Score,
    /// Of `HIGH`.
    pub high: Score,
}

impl Scores {
    pub(super) const fn of(&self, level: Level) -> Score {
        match level {
            Level::High => self.high,
            Level::Low => self.low,
            Level::Medium => self.medium,
        }
    }
}

/// One who sends security events.
pub struct Transmitter {
    pub(super) keys: Arc<IssuerKeys>,
    /// The digest of its bearer token, as it is now.
    pub(super) bearer: Option<Arc<Live<Digest>>>,
    pub(super) scores: Scores,
    pub(super) score_life: Duration,
    pub(super) turn: tokio::sync::Mutex<()>,
    /// When the last score was made that was taken, of each agent and kind.
    newest: Mutex<HashMap<(AgentId, Kind), Timestamp>>,
}

impl Transmitter {
    /// One whose tokens are verified with `keys`, and who shows a bearer token of the digest `bearer` besides.
    #[must_use]
    pub fn new(
        keys: Arc<IssuerKeys>,
        bearer: Option<Arc<Live<Digest>>>,
        scores: Scores,
        score_life: Duration,
    ) -> Self {
        Self {
            keys,
            bearer,
            scores,
            score_life,
            turn: tokio::sync::Mutex::default(),
            newest: Mutex::default(),
        }
    }

    /// A memory for the tokens of all transmitters that are taken.
    #[must_use]
    pub fn memory() -> ReplayCache {
        ReplayCache::with_capacity(REMEMBERED, REMEMBERED_OF_EACH)
    }

    /// Whether no later score of an agent was taken before: deliveries may change their order, and whoever
    /// has an old one must not undo a new one with it. At most one entry for each enrolled agent and kind.
    pub(super) fn is_newer(&self, agent: &AgentId, kind: Kind, at: Timestamp) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = newest.entry((agent.clone(), kind)).or_insert(at);
        let newer = *last <= at;
        if newer {
            *last = at;
        }
        newer
    }
}

/// All who send security events.
#[derive(Debug)]
pub(in crate::admin) struct Transmitters {
    all: Vec<Transmitter>,
    /// The tokens that were taken, by issuer and `jti`.
    pub(super) seen: UsedOnce,
}

impl Transmitters {
    pub(in crate::admin) const fn new(all: Vec<Transmitter>, seen: UsedOnce) -> Self {
        Self { all, seen }
    }

    pub(in crate::admin) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn of(&self, issuer: &str) -> Option<&Transmitter> {
        self.all.iter().find(|one| one.keys.issuer() == issuer)
    }
}

impl fmt::Debug for Transmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmitter")
            .field("issuer", &self.keys.issuer())
            .field("scores", &self.scores)
            .field("score_life", &self.score_life)
            .finish_non_exhaustive()
    }
}
