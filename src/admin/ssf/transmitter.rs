//! Who sends security events, as configured, and what was taken of theirs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::event::Level;
use super::latest::LatestScores;
use crate::access::UsedOnce;
use crate::authn::IssuerKeys;
use crate::base::{Digest, Live};
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
        }
    }

    /// A memory for the tokens of all transmitters that are taken.
    #[must_use]
    pub fn memory() -> ReplayCache {
        ReplayCache::with_capacity(REMEMBERED, REMEMBERED_OF_EACH)
    }
}

/// All who send security events.
#[derive(Debug)]
pub(in crate::admin) struct Transmitters {
    all: Vec<Transmitter>,
    /// The tokens that were taken, by issuer and `jti`.
    pub(super) seen: UsedOnce,
    /// The scores that were taken last.
    pub(super) latest: LatestScores,
}

impl Transmitters {
    pub(in crate::admin) const fn new(
        all: Vec<Transmitter>,
        seen: UsedOnce,
        latest: LatestScores,
    ) -> Self {
        Self { all, seen, latest }
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
