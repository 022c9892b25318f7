//! Revoked agents: everything of theirs ends, and nothing new begins until they are restored.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::service::Inner;
use super::{Grants, GrantsError, LiveTask};
use crate::model::{AgentId, EndReason, NameError, Receipt};
use crate::store::{Change, DocumentKind, StoreError};

const KIND: DocumentKind = DocumentKind::RevokedAgent;

/// What a revocation has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentRevoked {
    /// How many tasks.
    pub tasks: usize,
    /// Their grants.
    pub receipt: Receipt,
}

/// Why it is not known which agents are revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokedError {
    /// The store remembers a name that is none.
    #[error("the store's revoked agent `{0}` has no agent's name")]
    Name(String, #[source] NameError),
    /// The store can't be read.
    #[error("the revoked agents can't be read")]
    Store(#[from] StoreError),
}

impl Grants {
    /// Learns from the store which agents are revoked. Call it once, before anything is served.
    ///
    /// # Errors
    ///
    /// When the store can't be read, or holds a name that is none: whom to refuse would be a guess.
    pub async fn learn_revoked(&self) -> Result<(), RevokedError> {
        let mut revoked = BTreeSet::new();
        for (id, _) in self.0.store.documents(KIND).await? {
            let agent = id.parse().map_err(|error| RevokedError::Name(id, error))?;
            revoked.insert(agent);
        }
        self.0.revoked.publish(Arc::new(revoked));
        Ok(())
    }

    /// Whether an agent is revoked.
    #[must_use]
    pub fn is_revoked(&self, agent: &AgentId) -> bool {
        self.0.revoked.peek().contains(agent)
    }

    /// Revokes an agent: it is refused from here on, and all its tasks, grants and requests are over when
    /// this returns, durably, with no exchange under them left. Revoking it again ends what there is by
    /// then.
    ///
    /// # Errors
    ///
    /// When the store can't keep it: in memory it stands, and it is tried again until it is stored.
    pub async fn revoke_agent(&self, agent: &AgentId) -> Result<AgentRevoked, GrantsError> {
        let _turn = self.0.revoking.lock().await;
        self.publish_revoked(agent, true);
        let taskless = self.cut_taskless(agent);
        let open = self.begin_end_of(agent);
        if let Err(failed) = self.0.store_revoked(agent).await {
            let agent = agent.clone();
            let at_last = self.0.at_last(move |inner| {
                let agent = agent.clone();
                async move {
                    let _turn = inner.revoking.lock().await;
                    inner.store_revoked(&agent).await
                }
            });
            self.0.runtime.spawn(at_last);
            return Err(failed);
        }
        let revoked = self.finish_end_of(&open).await;
        taskless.await;
        revoked
    }

    /// Ends all that an agent has by now, as a revocation does; it may begin anew.
    ///
    /// # Errors
    ///
    /// When the store can't keep it: in memory it stands.
    pub async fn end_tasks_of(&self, agent: &AgentId) -> Result<AgentRevoked, GrantsError> {
        let _turn = self.0.revoking.lock().await;
        let taskless = self.cut_taskless(agent);
        let open = self.begin_end_of(agent);
        let ended = self.finish_end_of(&open).await;
        taskless.await;
        ended
    }

    fn begin_end_of(&self, agent: &AgentId) -> Vec<Arc<LiveTask>> {
        let open = self.0.tasks.collect(|task| task.task().agent == *agent);
        for task in &open {
            self.begin_end(&task.task().id, EndReason::AgentRevoked);
        }
        open
    }

    async fn finish_end_of(&self, open: &[Arc<LiveTask>]) -> Result<AgentRevoked, GrantsError> {
        let mut revoked = AgentRevoked::default();
        for task in open {
            let id = &task.task().id;
            // A span may have ended with its task: then it is told of there, with another reason.
            let ending = self.end_task(id, EndReason::AgentRevoked).await?;
            revoked.tasks += 1;
            for grant in ending.receipt.grants {
                if !revoked.receipt.grants.iter().any(|one| one.id == grant.id) {
                    revoked.receipt.grants.push(grant);
                }
            }
        }
        Ok(revoked)
    }

    /// Lets a revoked agent begin anew. Nothing that ended comes back.
    ///
    /// # Errors
    ///
    /// When the store can't keep it: the agent stays revoked.
    pub async fn restore_agent(&self, agent: &AgentId) -> Result<(), GrantsError> {
        let _turn = self.0.revoking.lock().await;
        self.0.store.commit(vec![put(agent, false)]).await?;
        self.publish_revoked(agent, false);
        Ok(())
    }

    /// Only in turn: the set is replaced whole.
    fn publish_revoked(&self, agent: &AgentId, is: bool) {
        let mut revoked = BTreeSet::clone(&self.0.revoked.current());
        if is {
            revoked.insert(agent.clone());
        } else {
            revoked.remove(agent);
        }
        self.0.revoked.publish(Arc::new(revoked));
    }
}

impl Inner {
    /// Stores whether an agent is revoked, as it is by now. Only in turn.
    async fn store_revoked(&self, agent: &AgentId) -> Result<(), GrantsError> {
        let is = self.revoked.peek().contains(agent);
        Ok(self.store.commit(vec![put(agent, is)]).await?)
    }
}

fn put(agent: &AgentId, is: bool) -> Change {
    Change::PutDocument {
        kind: KIND,
        id: agent.to_string(),
        text: is.then(String::new),
    }
}
