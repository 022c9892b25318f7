//! What the tasks and grants of one store have alike, in memory once.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use crate::model::{
    AgentId, ApprovalRule, Circumstances, EntitlementId, Grant, OperationId, Right, Shared, Task,
    TaskId,
};

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Alike {
    agents: HashSet<AgentId>,
    tasks: HashSet<TaskId>,
    entitlements: HashSet<EntitlementId>,
    operations: HashSet<Shared<BTreeSet<OperationId>>>,
    approvals: HashSet<Shared<ApprovalRule>>,
    rights: HashSet<Shared<Right>>,
    asked: HashSet<Shared<Circumstances>>,
}

impl Alike {
    /// The task, sharing what others have as well.
    pub(super) fn task(&mut self, mut task: Task) -> Task {
        share(&mut self.tasks, &mut task.id);
        share(&mut self.agents, &mut task.agent);
        task
    }

    /// The grant, sharing what others have as well.
    pub(super) fn grant(&mut self, mut grant: Grant) -> Grant {
        // It has just been read: nobody else has it.
        if let Some(request) = Arc::get_mut(&mut grant.request) {
            share(&mut self.agents, &mut request.agent);
            share(&mut self.tasks, &mut request.task);
            share(&mut self.entitlements, &mut request.right.entitlement);
            share(&mut self.operations, &mut request.right.operations);
            share(&mut self.asked, &mut request.asked);
            if let Some(approval) = &mut request.right.approval {
                share(&mut self.approvals, approval);
            }
            share(&mut self.rights, &mut request.right);
        }
        grant
    }
}

fn share<T: Clone + Eq + Hash>(all: &mut HashSet<T>, one: &mut T) {
    if let Some(same) = all.get(one) {
        one.clone_from(same);
    } else {
        all.insert(one.clone());
    }
}
