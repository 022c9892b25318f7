//! Tokens of our own that are taken back before their end (RFC 7009), for as long as they would live.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::{Replay, ReplayCache};

/// How long after its end a token is still known to be revoked, so that a wall clock that was ahead for a
/// while does not bring it back.
pub const REVOKED_MARGIN: Duration = Duration::from_hours(2);

/// The revoked tokens. Full, it refuses to take more: none that was taken back is ever forgotten early.
#[derive(Debug, Default)]
pub struct Revoked {
    tokens: ReplayCache,
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
