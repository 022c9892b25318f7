//! Opening tasks.

use std::sync::Arc;
use std::time::Duration;

use super::service::Inner;
use super::{Grants, GrantsError, LiveTask};
use crate::model::{AgentId, EndReason, Task, TaskId, TaskState};
use crate::store::{Change, StoreError};

/// A task to open.
#[derive(Clone, Debug)]
pub struct OpenTask {
    /// Its id; a random one where absent.
    pub id: Option<TaskId>,
    /// The agent that will work on it.
    pub agent: AgentId,
    /// What kind of work it is.
    pub kind: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// The open task it is a span of.
    pub parent: Option<TaskId>,
    /// Who opens it.
    pub opened_by: String,
    /// How long it lives without a sign of life.
    pub lease: Option<Duration>,
}

impl Grants {
    /// Opens a task; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// When the id was used before, the parent is not open, or a limit is reached; no task is opened
    /// then.
    pub async fn open_task(&self, open: OpenTask) -> Result<Arc<LiveTask>, GrantsError> {
        let parent = open.parent.as_ref().map(|id| self.live_parent(id));
        let parent = parent.transpose()?;
        // Ids of this form are not remembered for ever, so nobody else may give one.
        if let Some(id) = open.id.as_ref().filter(|id| id.is_of_random_form()) {
            return Err(GrantsError::TaskIdUsed(id.clone()));
        }
        let task = self.0.draft(open, parent.as_deref())?;
        let grants = self.clone();
        self.see_through(async move { grants.open_drafted(task, parent).await })
            .await
    }

    async fn open_drafted(
        &self,
        task: Task,
        parent: Option<Arc<LiveTask>>,
    ) -> Result<Arc<LiveTask>, GrantsError> {
        let inner = &self.0;
        let (agent, id) = (task.agent.clone(), task.id.clone());
        if self.is_revoked(&agent) {
            return Err(GrantsError::AgentRevoked(agent));
        }
        inner
            .family()
            .count_open(&agent, inner.limits.tasks_per_agent)?;
        let now = inner.clock.now();
        let live = LiveTask::new(task.clone(), now, now).telling(&inner.unstored.tasks);
        let live = Arc::new(live);
        let (mark, changes) = live.mark();
        let marked = Change::MarkTask(id.clone(), mark.clone());
        let commit = inner.store.commit(vec![Change::OpenTask(task), marked]);
        if let Err(error) = commit.await {
            inner.family().count_ended(&agent);
            return Err(match error {
                StoreError::TaskIdUsed(id) => GrantsError::TaskIdUsed(id),
                error => GrantsError::Store(error),
            });
        }
        live.note_stored(&mark, changes);
        {
            let mut family = inner.family();
            inner.tasks.insert(Arc::clone(&live));
            inner.metrics.live_tasks.inc();
            if let Some(parent) = &parent {
                family.children.add(&parent.task().id, &id);
            }
            inner.timers.add_task(&live);
        }
        // The parent may have ended while the store was writing; its end did not see this task.
        if let Some(reason) = parent.and_then(|parent| parent.end_reason()) {
            self.end_task(&id, EndReason::ParentEnded).await?;
            return Err(GrantsError::TaskEnded(id, reason));
        }
        if self.is_revoked(&agent) {
            self.end_task(&id, EndReason::AgentRevoked).await?;
            return Err(GrantsError::AgentRevoked(agent));
        }
        Ok(live)
    }

    fn live_parent(&self, id: &TaskId) -> Result<Arc<LiveTask>, GrantsError> {
        let parent = self.task(id);
        let parent = parent.ok_or_else(|| GrantsError::TaskUnknown(id.clone()))?;
        match parent.ended(self.0.clock.now()) {
            Some(reason) => Err(GrantsError::TaskEnded(id.clone(), reason)),
            None => Ok(parent),
        }
    }
}

impl Inner {
    fn draft(&self, open: OpenTask, parent: Option<&LiveTask>) -> Result<Task, GrantsError> {
        let limits = &self.limits;
        let depth = parent.map_or(0, |parent| parent.task().depth + 1);
        if depth > limits.depth {
            let limit = limits.depth;
            return Err(GrantsError::TooDeep { limit });
        }
        let now = self.clock.now();
        let left_above = parent.map(|parent| parent.oldest() - now);
        Ok(Task {
            id: open.id.unwrap_or_else(TaskId::random),
            agent: open.agent,
            kind: open.kind,
            description: open.description,
            parent: open.parent,
            depth,
            opened_by: open.opened_by,
            opened_at: self.clock.wall(),
            lease: open.lease.unwrap_or(limits.lease).min(limits.longest_lease),
            max_age: left_above.map_or(limits.task_max_age, |left| left.min(limits.task_max_age)),
            state: TaskState::Open,
        })
    }
}
