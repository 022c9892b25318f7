//! What an agent runs without a task: a revocation has to reach that, too.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

use super::Grants;
use super::end::{EndCell, EndSignal};
use super::index::Keyed;
use crate::model::{AgentId, EndReason};

/// The exchanges of one agent that run under no task, up to its next revocation.
#[derive(Debug)]
pub(super) struct Taskless {
    agent: AgentId,
    end: Arc<EndCell>,
    running: AtomicU32,
    idle: Notify,
}

/// One exchange that runs under no task. Dropping it is the end of the exchange.
#[derive(Debug)]
pub struct Presence(Arc<Taskless>);

impl Presence {
    /// Waits for the revocation of the agent.
    #[must_use]
    pub fn end_signal(&self) -> EndSignal {
        self.0.end.signal()
    }
}

impl Keyed for Arc<Taskless> {
    type Key = AgentId;

    fn key(&self) -> &AgentId {
        &self.agent
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Grants {
    /// Lets an exchange of `agent` run under no task. Where the agent is revoked by now, it has ended
    /// already.
    #[must_use]
    pub fn enter_without_task(&self, agent: &AgentId) -> Presence {
        let lives = |one: &Arc<Taskless>| one.end.get().is_none();
        let fresh = || Arc::new(Taskless::new(agent.clone()));
        let taskless = self.0.taskless.get_or_make(agent, lives, fresh);
        taskless.running.fetch_add(1, Ordering::SeqCst);
        // Counted first: either the one who revokes sees this exchange, or this sees the revocation.
        if self.is_revoked(agent) {
            taskless
                .end
                .set(EndReason::AgentRevoked, self.0.clock.now());
        }
        Presence(taskless)
    }

    /// Cuts what a revoked agent runs without a task. Await what this returns to see the last of it gone.
    pub(super) fn cut_taskless(&self, agent: &AgentId) -> impl Future<Output = ()> + use<> {
        // After a restoration there is another, so what ended stays ended.
        let taskless = self.0.taskless.remove(agent);
        if let Some(taskless) = &taskless {
            taskless
                .end
                .set(EndReason::AgentRevoked, self.0.clock.now());
        }
        async move {
            if let Some(taskless) = taskless {
                taskless.gone().await;
            }
        }
    }
}

impl Taskless {
    fn new(agent: AgentId) -> Self {
        Self {
            agent,
            end: Arc::default(),
            running: AtomicU32::new(0),
            idle: Notify::new(),
        }
    }

    async fn gone(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}
