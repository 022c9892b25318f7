//! What happens to tasks, requests and grants, as it happens, for whoever watches.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::Grants;
use crate::model::{AgentId, Grant, Task, TaskId};

/// How many events a watcher may be behind before it loses some.
const BACKLOG: usize = 4096;

/// Something that happened. Each holds the state that it led to.
#[derive(Clone, Debug)]
pub enum Event {
    /// A grant is in force.
    GrantActive(Grant),
    /// A grant is over.
    GrantEnded(Grant),
    /// The last tenth of a grant's term has begun.
    GrantExpiring(Grant),
    /// A grant is in force again, for what is left of its term.
    GrantResumed(Grant),
    /// A grant is not in force for now: a condition does not hold.
    GrantSuspended(Grant),
    /// A request that waited is decided: it has become a grant, or is over.
    RequestDecided(Grant),
    /// A request waits for people.
    RequestPending(Grant),
    /// A task is over.
    TaskEnded(Task),
}

impl Event {
    /// What programs call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GrantActive(_) => "grant.active",
            Self::GrantEnded(_) => "grant.ended",
            Self::GrantExpiring(_) => "grant.expiring",
            Self::GrantResumed(_) => "grant.resumed",
            Self::GrantSuspended(_) => "grant.suspended",
            Self::RequestDecided(_) => "request.decided",
            Self::RequestPending(_) => "request.pending",
            Self::TaskEnded(_) => "task.ended",
        }
    }

    /// The grant or request that it is about.
    #[must_use]
    pub const fn grant(&self) -> Option<&Grant> {
        match self {
            Self::GrantActive(grant)
            | Self::GrantEnded(grant)
            | Self::GrantExpiring(grant)
            | Self::GrantResumed(grant)
            | Self::GrantSuspended(grant)
            | Self::RequestDecided(grant)
            | Self::RequestPending(grant) => Some(grant),
            Self::TaskEnded(_) => None,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        match self {
            Self::TaskEnded(task) => &task.agent,
            Self::GrantActive(grant)
            | Self::GrantEnded(grant)
            | Self::GrantExpiring(grant)
            | Self::GrantResumed(grant)
            | Self::GrantSuspended(grant)
            | Self::RequestDecided(grant)
            | Self::RequestPending(grant) => &grant.request.agent,
        }
    }

    /// The task that it belongs to.
    #[must_use]
    pub fn task(&self) -> &TaskId {
        match self {
            Self::TaskEnded(task) => &task.id,
            Self::GrantActive(grant)
            | Self::GrantEnded(grant)
            | Self::GrantExpiring(grant)
            | Self::GrantResumed(grant)
            | Self::GrantSuspended(grant)
            | Self::RequestDecided(grant)
            | Self::RequestPending(grant) => &grant.request.task,
        }
    }
}

/// Tells all watchers. A slow one loses the oldest events and is told so; nobody waits for it.
#[derive(Debug)]
pub(super) struct Events(broadcast::Sender<Arc<Event>>);

impl Events {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.0.receiver_count() > 0 {
            // Fails only when the last watcher has just gone.
            let _ = self.0.send(Arc::new(event()));
        }
    }
}

impl Grants {
    /// Everything that happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.events.0.subscribe()
    }
}
