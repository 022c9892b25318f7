//! The start: what was live when the last run ended lives on, for no longer than it would have.

mod judge;
mod passage;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use super::service::Inner;
use super::{Grants, GrantsError, LiveGrant, LiveTask};
use crate::model::TaskId;
use crate::store::Change;
use judge::{Judged, judge};

/// What a start has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Tasks that are open again.
    pub tasks: usize,
    /// Grants that are in force again.
    pub grants: usize,
    /// Requests that wait for people again.
    pub pending: usize,
    /// Tasks, grants and requests whose time is over.
    pub ended: usize,
}

impl Grants {
    /// Brings back what has not ended. Call it once, before anything else; what is over by now is stored
    /// as ended when this returns.
    ///
    /// # Errors
    ///
    /// When the store can't be read whole, or can't keep the ends: then nothing may be served.
    pub async fn restore(&self) -> Result<Restored, GrantsError> {
        let inner = &self.0;
        let contents = inner.store.load().await?;
        let Judged {
            tasks,
            grants,
            pending,
            mut changes,
            marked,
            ended,
        } = judge(contents, inner.clock_mark(), inner.unstored.clone());
        let restored = Restored {
            tasks: tasks.len(),
            grants: grants.len(),
            pending: pending.len(),
            ended,
        };
        // Every mark has to be on the clock that is marked last: all go into one batch.
        if !marked {
            changes.extend(marks(&tasks, &grants));
        }
        changes.push(Change::MarkClock(inner.clock_mark()));
        inner.store.commit(changes).await?;
        inner.revive(&tasks, &grants);
        for (grant, until) in pending {
            self.restore_pending(grant, until);
        }
        Ok(restored)
    }
}

fn marks(tasks: &[Arc<LiveTask>], grants: &[Arc<LiveGrant>]) -> impl Iterator<Item = Change> {
    let tasks = tasks.iter().map(|task| {
        let (mark, _) = task.mark();
        Change::MarkTask(task.task().id.clone(), mark)
    });
    let grants = grants.iter().map(|grant| {
        let mark = grant.mark();
        Change::MarkGrant(grant.request().grant.clone(), mark)
    });
    tasks.chain(grants)
}

impl Inner {
    fn revive(&self, tasks: &[Arc<LiveTask>], grants: &[Arc<LiveGrant>]) {
        let mut family = self.family();
        for live in tasks {
            let (mark, changes) = live.mark();
            live.note_stored(&mark, changes);
            let task = live.task();
            if let Some(parent) = &task.parent {
                family.children.add(parent, &task.id);
            }
            *family.open_by_agent.entry(task.agent.clone()).or_default() += 1;
            self.timers.add_task(live);
            self.metrics.live_tasks.inc();
            self.tasks.insert(Arc::clone(live));
        }
        let mut of_task: HashMap<&TaskId, Vec<Arc<LiveGrant>>> = HashMap::new();
        for live in grants {
            live.note_stored(&live.mark());
            let request = live.request();
            if let Some(parent) = &request.parent {
                family.carved.add(parent, &request.grant);
            }
            self.timers.add_grant(live);
            self.metrics.live_grants.inc();
            self.grants.insert(Arc::clone(live));
            let siblings = of_task.entry(&request.task).or_default();
            siblings.push(Arc::clone(live));
        }
        for (id, grants) in of_task {
            if let Some(task) = self.tasks.get(id) {
                task.set_grants(grants);
            }
        }
    }
}
