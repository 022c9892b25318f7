//! Taking tokens back so that no restart brings them back.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;

use crate::model::AgentId;
use crate::store::{Change, DocumentKind, GrantStore, StoreError};
use crate::tokens::{REVOKED_MARGIN, Replay, Revoked, SESSIONS_ENDED, Sessions};

const KIND: DocumentKind = DocumentKind::RevokedToken;

/// What the ids of ended sessions start with. No token of ours has a blank in its name.
const SESSIONS: &str = "sessions ";

/// The tokens that were taken back, in memory and in the store.
#[derive(Clone, Debug)]
pub struct Revocations {
    revoked: Arc<Revoked>,
    store: Arc<dyn GrantStore>,
}

/// Why a token could not be taken back for good.
#[derive(Debug, Error)]
pub enum RevocationError {
    /// The store remembers something about a token that nobody wrote.
    #[error("what the store says of the revoked token `{0}` can't be read")]
    Broken(String),
    /// Too many are remembered; the token is as good as before.
    #[error("too many revoked tokens are remembered at this moment")]
    Full(#[source] Replay),
    /// The token is refused from now on, but a restart could forget it.
    #[error("the revocation can't be stored")]
    Store(#[from] StoreError),
}

impl Revocations {
    /// What the store remembers, without the tokens that have ended since.
    ///
    /// # Errors
    ///
    /// When the store can't be read, or remembers more than there is room for: which of them are good
    /// would be anybody's guess.
    pub async fn open(store: Arc<dyn GrantStore>, now: Timestamp) -> Result<Self, RevocationError> {
        let revoked = Arc::new(Revoked::new());
        for (jti, text) in store.documents(KIND).await? {
            let (owner, until) = read(&text).ok_or(RevocationError::Broken(jti.clone()))?;
            if jti.starts_with(SESSIONS) {
                let end = until.checked_sub(SESSIONS_ENDED).unwrap_or(until);
                revoked.end_sessions(owner.to_owned(), end.as_second(), now);
                continue;
            }
            let kept = revoked.revoke(owner, &jti, until, now);
            kept.map_err(RevocationError::Full)?;
        }
        Ok(Self { revoked, store })
    }

    /// What verification looks at.
    #[must_use]
    pub const fn revoked(&self) -> &Arc<Revoked> {
        &self.revoked
    }

    /// Takes the token `jti` of `owner` back, which ends at `until`: refused from here on, durably so when
    /// this returns.
    ///
    /// # Errors
    ///
    /// See [`RevocationError`].
    pub async fn revoke(
        &self,
        owner: &str,
        jti: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), RevocationError> {
        let kept = self.revoked.revoke(owner, jti, until, now);
        kept.map_err(RevocationError::Full)?;
        let text = format!("{} {owner}", until.as_second());
        self.store.commit(vec![put(jti, Some(text))]).await?;
        Ok(())
    }

    /// Ends all sessions of an agent: its tokens that were made up to now are refused from here on, ours and
    /// those in which an outside issuer calls it `subject`; durably so when this returns.
    ///
    /// # Errors
    ///
    /// When it can't be stored: a restart could forget it.
    pub async fn end_sessions(
        &self,
        agent: &AgentId,
        subject: Option<&str>,
        now: Timestamp,
    ) -> Result<(), RevocationError> {
        let until = now.checked_add(SESSIONS_ENDED).unwrap_or(Timestamp::MAX);
        let own = Some(Sessions::Own(agent.as_str()));
        let all = own.into_iter().chain(subject.map(Sessions::Outside));
        let mut changes = Vec::new();
        for key in all.map(Sessions::key) {
            let text = format!("{} {key}", until.as_second());
            changes.push(put(&format!("{SESSIONS}{key}"), Some(text)));
            self.revoked.end_sessions(key, now.as_second(), now);
        }
        self.store.commit(changes).await?;
        Ok(())
    }

    /// Removes from the store what has ended.
    ///
    /// # Errors
    ///
    /// When the store can't be read or written; the next time will do.
    pub async fn forget_ended(&self, now: Timestamp) -> Result<(), StoreError> {
        let documents = self.store.documents(KIND).await?;
        let is_over = |text: &str| {
            let end = read(text).and_then(|(_, until)| until.checked_add(REVOKED_MARGIN).ok());
            end.is_some_and(|end| end <= now)
        };
        let ended = documents.iter().filter(|(_, text)| is_over(text));
        let changes: Vec<_> = ended.map(|(jti, _)| put(jti, None)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.store.commit(changes).await
    }
}

fn put(jti: &str, text: Option<String>) -> Change {
    Change::PutDocument {
        kind: KIND,
        id: jti.to_owned(),
        text,
    }
}

/// Whose token it is and when it ends.
fn read(text: &str) -> Option<(&str, Timestamp)> {
    let (second, owner) = text.split_once(' ')?;
    let until = Timestamp::from_second(second.parse().ok()?).ok()?;
    Some((owner, until))
}
