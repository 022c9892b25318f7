//! What belongs to what: spans to tasks, parts to grants, requests to tasks, and how much each agent has.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::parts::Parts;
use super::{GrantsError, PendingGrant};
use crate::model::{AgentId, GrantId, GrantRequest, Task, TaskId};

/// What belongs to what. Its lock orders every change of structure (a task opened below another, a
/// grant brought into force, an end) against every other; it is never held across an await.
#[derive(Debug, Default)]
pub(super) struct Family {
    /// The open spans of an open task.
    pub(super) children: Parts<TaskId>,
    pub(super) open_by_agent: HashMap<AgentId, usize>,
    /// The live grants that were carved from a live grant.
    pub(super) carved: Parts<GrantId>,
    pub(super) pending_of_task: HashMap<TaskId, Vec<Arc<PendingGrant>>>,
    pub(super) pending_by_agent: HashMap<AgentId, usize>,
    pub(super) endings: HashMap<TaskId, watch::Receiver<Option<Outcome>>>,
}

/// How the end of a task came out, for all who wait for it.
pub(super) type Outcome = Result<(), GrantsError>;

impl Family {
    pub(super) fn count_open(&mut self, agent: &AgentId, limit: usize) -> Result<(), GrantsError> {
        let open = self.open_by_agent.entry(agent.clone()).or_default();
        if *open >= limit {
            let agent = agent.clone();
            return Err(GrantsError::TooManyTasks { agent, limit });
        }
        *open += 1;
        Ok(())
    }

    /// A task is no open span of the one above any more.
    pub(super) fn part_from_parent(&mut self, task: &Task) {
        self.children.remove(task.parent.as_ref(), &task.id);
    }

    /// A grant is no live part of the one above any more.
    pub(super) fn part_from_whole(&mut self, request: &GrantRequest) {
        self.carved
            .remove(request.parent.as_deref(), &request.grant);
    }

    pub(super) fn count_ended(&mut self, agent: &AgentId) {
        if let Some(open) = self.open_by_agent.get_mut(agent) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open_by_agent.remove(agent);
            }
        }
    }
}
