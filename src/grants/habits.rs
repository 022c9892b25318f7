//! What is usual for agents, learnt beside the requests and kept in the store.

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::time::Duration;

use tracing::warn;

use super::{Grants, GrantsError};
use crate::base::ErrorChain;
use crate::model::{AgentId, NameError};
use crate::store::{Change, DocumentKind, StoreError};

const KIND: DocumentKind = DocumentKind::Habits;

/// How often is learnt from what waits, and the risk computed. Where much waits it is learnt from sooner.
const LEARNT: Duration = Duration::from_secs(1);

/// How often what was learnt is written, in rounds of learning: every five minutes. A crash forgets as much.
const WRITTEN: u32 = 300;

/// How many baselines are written at once.
const BATCH: usize = 64;

/// Why it is not known what is usual for agents.
#[derive(Debug, thiserror::Error)]
pub enum HabitsError {
    /// The store remembers something that is no baseline.
    #[error("what the store says of the habits of `{0}` can't be read")]
    Broken(AgentId),
    /// The store remembers a name that is none.
    #[error("the store's habits of `{0}` are those of no agent")]
    Name(String, #[source] NameError),
    /// The store can't be read.
    #[error("the habits of agents can't be read")]
    Store(#[from] StoreError),
}

impl Grants {
    /// Takes back from the store what was learnt. Call it once, before anything is served. What was learnt of
    /// an agent that `is_enrolled` says is none any more is removed: the next of its name begins anew.
    ///
    /// # Errors
    ///
    /// When the store can't be read or written, or holds what is no baseline.
    pub async fn restore_habits(
        &self,
        is_enrolled: impl Fn(&AgentId) -> bool,
    ) -> Result<(), HabitsError> {
        let mut gone = Vec::new();
        for (id, text) in self.0.store.documents(KIND).await? {
            let agent: AgentId = match id.parse() {
                Ok(agent) => agent,
                Err(error) => return Err(HabitsError::Name(id, error)),
            };
            if !is_enrolled(&agent) {
                gone.push(put(&agent, None));
            } else if !self.signals().restore_baseline(agent.clone(), &text) {
                return Err(HabitsError::Broken(agent));
            }
        }
        if !gone.is_empty() {
            self.0.store.commit(gone).await?;
        }
        Ok(())
    }

    /// Learns from calls, computes the risk of their agents, and writes what was learnt now and then, for as
    /// long as it is polled.
    pub async fn run_habits(self) {
        let clock = self.0.clock.clone();
        let mut last = clock.now();
        for round in 1_u32.. {
            let mut due = pin!(clock.doze_until(last + LEARNT));
            loop {
                tokio::select! {
                    () = &mut due => break,
                    () = self.signals().crowded() => self.signals().learn(),
                }
            }
            // Before the scores are computed: a step of the clock while they are is one that they lack.
            last = clock.now();
            self.signals().learn();
            self.signals().tell_lapses();
            self.signals().score();
            if round.is_multiple_of(WRITTEN)
                && let Err(error) = self.write_habits().await
            {
                let error = ErrorChain(&error);
                warn!(%error, "what is usual for agents can't be stored; it is tried again");
            }
        }
    }

    /// Learns from what waits, and writes what the store does not know yet.
    ///
    /// # Errors
    ///
    /// When the store can't keep it: it is tried again with the next.
    pub async fn write_habits(&self) -> Result<(), GrantsError> {
        let _turn = self.0.writing_habits.lock().await;
        let signals = self.signals();
        signals.learn();
        let mut agents = signals.unwritten_baselines();
        while !agents.is_empty() {
            let now = agents.split_off(agents.len().saturating_sub(BATCH));
            let written = now
                .iter()
                .map(|agent| put(agent, signals.written_baseline(agent)));
            if let Err(error) = self.0.store.commit(written.collect()).await {
                signals.keep_unwritten(now.into_iter().chain(agents));
                return Err(error.into());
            }
        }
        Ok(())
    }
}

fn put(agent: &AgentId, text: Option<String>) -> Change {
    Change::PutDocument {
        kind: KIND,
        id: agent.to_string(),
        text,
    }
}
