//! Tokens of our own that are taken back before their end (RFC 7009), for as long as they would live.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use super::{Replay, ReplayCache};

/// How long after its end a token is still known to be revoked, so that a wall clock that was ahead for a
/// while does not bring it back.
pub const REVOKED_MARGIN: Duration = Duration::from_hours(2);

/// How long it is remembered that somebody's sessions have ended: no token that was made before may live
/// longer. Ours do not by far.
pub const SESSIONS_ENDED: Duration = Duration::from_hours(30 * 24);

/// Whose sessions: all tokens of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions<'a> {
    /// Those of an outside issuer, by the name that they give the agent.
    Outside(&'a str),
    /// Ours, by the agent's id.
    Own(&'a str),
}

impl Sessions<'_> {
    /// One text for each. No id of an agent has a blank in it.
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Self::Outside(name) => format!("outside {name}"),
            Self::Own(name) => name.to_owned(),
        }
    }
}

/// The revoked tokens. Full, it refuses to take more: none that was taken back is ever forgotten early.
#[derive(Debug, Default)]
pub struct Revoked {
    tokens: ReplayCache,
    /// The second at which all sessions have ended, by whose they are: two entries at most for each agent.
    sessions: RwLock<HashMap<String, i64>>,
    version: AtomicU64,
}

impl Revoked {
    /// Nothing is revoked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes with every revocation: whoever has looked under this version need not look again.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Whether the token `jti` of `owner` has been revoked.
    #[must_use]
    pub fn contains(&self, owner: &str, jti: &str) -> bool {
        self.tokens.holds(owner, jti)
    }

    /// Whether a token of somebody was made, at second `iat`, when their sessions had not ended yet. One of
    /// the very second counts as made before.
    #[must_use]
    pub fn has_ended(&self, whose: Sessions<'_>, iat: i64) -> bool {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        !sessions.is_empty() && sessions.get(&whose.key()).is_some_and(|end| iat <= *end)
    }

    /// Ends the sessions of somebody, by their [key](Sessions::key): tokens made up to second `end` are
    /// refused.
    pub fn end_sessions(&self, key: String, end: i64, now: Timestamp) {
        let span = i64::try_from(SESSIONS_ENDED.as_secs()).unwrap_or(i64::MAX);
        let oldest = now.as_second().saturating_sub(span);
        {
            let mut sessions = self
                .sessions
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            sessions.retain(|_, end| *end >= oldest);
            let kept = sessions.entry(key).or_insert(end);
            *kept = end.max(*kept);
        }
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Revokes the token `jti` of `owner`, which ends at `until`. To do so twice, or after its end, is to
    /// have done so.
    ///
    /// # Errors
    ///
    /// When there is no room to remember it: it is as good as before then.
    pub fn revoke(
        &self,
        owner: &str,
        jti: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Replay> {
        let until = until.checked_add(REVOKED_MARGIN).unwrap_or(Timestamp::MAX);
        match self.tokens.accept(owner, jti, until, now) {
            Ok(()) => {
                self.version.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            Err(Replay::Seen | Replay::Stale) => Ok(()),
            Err(full @ Replay::Full) => Err(full),
        }
    }
}
