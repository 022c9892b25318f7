//! Delegation: a part of a grant is handed down to a task below. It is carved out: what the part may use
//! up, the rest may not, and it does not come back when the part ends.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::activation::later;
use super::{Grants, GrantsError, LiveGrant, LiveTask};
use crate::model::{
    Budget, Circumstances, Grant, GrantId, GrantRequest, OperationId, RequestId, Right, Transition,
};
use crate::store::Change;

/// A part to carve from a grant. What is absent is as in the grant.
#[derive(Clone, Debug)]
pub struct Carving {
    /// The grant.
    pub from: Arc<LiveGrant>,
    /// The task that receives the part.
    pub task: Arc<LiveTask>,
    /// Which of its operations.
    pub operations: Option<BTreeSet<OperationId>>,
    /// For how long.
    pub duration: Option<Duration>,
    /// How many of the calls that are left. Has to be said where they are limited.
    pub calls: Option<u64>,
    /// How many of the bytes that are left. Has to be said where they are limited.
    pub bytes: Option<u64>,
    /// What is known of who hands it down.
    pub asked: Circumstances,
    /// Why, in the agent's words.
    pub reason: Option<String>,
}

/// Why a part can't be carved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Wider {
    /// The grant has a limit and the part names no share of it.
    #[error("the grant has limited {0}: say how many of them are handed down")]
    Open(&'static str),
    /// The grant has fewer left.
    #[error("the grant has fewer {0} left than that")]
    Budget(&'static str),
    /// The grant does not cover it.
    #[error("the grant does not cover `{0}`")]
    Operation(OperationId),
    /// Nothing would be handed down.
    #[error("a part without {0} is of no use")]
    Nothing(&'static str),
    /// Parts of parts of parts.
    #[error("a grant is handed down at most {0} times")]
    TooDeep(u32),
}

impl Grants {
    /// Carves a part from a grant and brings it into force for the receiving task; durable when this
    /// returns, with the grant's own rest. The receiver's rules have been asked. The part ends with the
    /// grant at the latest.
    ///
    /// # Errors
    ///
    /// When the part would be wider than the grant, the grant or the task is over, or the store can't
    /// keep it: nothing is carved then.
    pub async fn delegate(&self, carving: Carving) -> Result<Arc<LiveGrant>, GrantsError> {
        let grants = self.clone();
        self.see_through(async move { grants.delegate_in_turn(carving).await })
            .await
    }

    async fn delegate_in_turn(&self, carving: Carving) -> Result<Arc<LiveGrant>, GrantsError> {
        let inner = &self.0;
        let (from, task) = (Arc::clone(&carving.from), Arc::clone(&carving.task));
        let _turn = from.turn().lock().await;
        let (now, at) = inner.clock.times();
        let parent = from.request();
        if from.ended(now).is_some() {
            return Err(GrantsError::GrantUnknown(parent.grant.clone()));
        }
        inner.check_room(&task, now)?;
        self.check_depth(&from)?;
        let left = from.deadline() - now;
        let duration = carving.duration.map_or(left, |asked| asked.min(left));
        let deadline = (now + duration).min(task.oldest());
        let request = carving.request(duration, at)?;
        let budget = request.right.budget;
        if !from.carve(&budget) {
            return Err(Wider::Budget("calls or bytes").into());
        }
        let mut grant = Grant::requested(inner.known.share(request));
        // What people agreed to holds for the part as well, where it stays with the agent that they
        // were asked about.
        if grant.request.right.approval.is_some() {
            let approvals = from.record().term().map(|term| term.approvals.clone());
            grant.apply(Transition::AskApproval { until: at }, at)?;
            for approval in &approvals.unwrap_or_default() {
                grant.apply(Transition::Approve(approval.clone()), at)?;
            }
        }
        let expires_at = later(at, deadline - now);
        grant.apply(Transition::Activate { expires_at }, at)?;
        let live = LiveGrant::new(grant.clone(), now, deadline)
            .sharing(&from)
            .telling(&inner.unstored.grants);
        let (rest, mark) = (from.mark(), live.mark());
        // In one batch, so that no crash leaves both the whole and the part.
        let changes = vec![
            Change::MarkGrant(parent.grant.clone(), rest),
            Change::MarkGrant(grant.request.grant.clone(), mark),
        ];
        let changes = std::iter::once(Change::AddGrant(grant)).chain(changes);
        if let Err(error) = inner.store.commit(changes.collect()).await {
            from.give_back(&budget);
            return Err(error.into());
        }
        from.note_stored(&rest);
        live.note_stored(&mark);
        let live = Arc::new(live);
        let attached = inner.attach(&mut inner.family(), &task, &live);
        match attached {
            Ok(()) => Ok(live),
            Err(error) => {
                from.give_back(&budget);
                Err(inner.bury(&task, &live, error).await)
            }
        }
    }

    fn check_depth(&self, from: &Arc<LiveGrant>) -> Result<(), Wider> {
        let most = self.0.limits.depth;
        let mut above = from.request().parent.clone();
        for _ in 0..most {
            let Some(id) = above else {
                return Ok(());
            };
            above = self.grant(&id).and_then(|one| one.request().parent.clone());
        }
        Err(Wider::TooDeep(most))
    }
}

impl Carving {
    fn request(
        self,
        duration: Duration,
        requested_at: jiff::Timestamp,
    ) -> Result<GrantRequest, Wider> {
        let parent = Arc::clone(self.from.request());
        let operations = match self.operations {
            None => parent.right.operations.clone(),
            Some(some) => {
                if let Some(more) = some.difference(&parent.right.operations).next() {
                    return Err(Wider::Operation(more.clone()));
                }
                some.into()
            }
        };
        if operations.is_empty() {
            return Err(Wider::Nothing("operations"));
        }
        let budget = Budget {
            calls: share(parent.right.budget.calls, self.calls, "calls")?,
            bytes: share(parent.right.budget.bytes, self.bytes, "bytes")?,
            concurrent: parent.right.budget.concurrent,
        };
        let task = self.task.task();
        Ok(GrantRequest {
            id: RequestId::random(),
            grant: GrantId::random(),
            agent: task.agent.clone(),
            task: task.id.clone(),
            right: Right {
                entitlement: parent.right.entitlement.clone(),
                operations,
                budget,
                proof: parent.right.proof,
                approval: parent
                    .right
                    .approval
                    .clone()
                    .filter(|_| task.agent == parent.agent),
            }
            .into(),
            input: parent.input.clone(),
            reason: self.reason.map(String::into_boxed_str),
            duration,
            requested_at,
            parent: Some(parent.grant.clone().into()),
            asked: self.asked.into(),
        })
    }
}

fn share(limit: Option<u64>, asked: Option<u64>, what: &'static str) -> Result<Option<u64>, Wider> {
    match (limit, asked) {
        (_, Some(0)) => Err(Wider::Nothing(what)),
        (Some(_), None) => Err(Wider::Open(what)),
        (_, asked) => Ok(asked),
    }
}
