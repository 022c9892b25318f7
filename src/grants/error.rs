//! Why a task or grant could not be opened, brought into force or ended.

use thiserror::Error;

use super::Wider;
use crate::model::{AgentId, EndReason, GrantId, RequestId, TaskId, TransitionError};
use crate::store::StoreError;

/// What went wrong in a call of [`Grants`](super::Grants).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrantsError {
    /// The agent is revoked.
    #[error("agent `{0}` is revoked")]
    AgentRevoked(AgentId),
    /// The grant is not in force.
    #[error("no live grant `{0}`")]
    GrantUnknown(GrantId),
    /// The end of the grant is as far away as it may ever be.
    #[error("grant `{0}` can't be renewed any further: it ends as late as it may")]
    NoLonger(GrantId),
    /// The step can't be taken from where the grant stands.
    #[error(transparent)]
    OutOfPlace(#[from] TransitionError),
    /// The request waits for nobody any more.
    #[error("no request `{0}` waits for approval")]
    RequestUnknown(RequestId),
    /// The gateway stops, and the step was not taken, or not to its end.
    #[error("the gateway is stopping")]
    Stopping,
    /// The tasks above the new one are too many.
    #[error("a task lies at most {limit} levels deep")]
    TooDeep {
        /// The deepest level.
        limit: u32,
    },
    /// The agent has as many open tasks as it may have.
    #[error("agent `{agent}` has {limit} open tasks: end one first")]
    TooManyTasks {
        /// The agent.
        agent: AgentId,
        /// How many it may have.
        limit: usize,
    },
    /// The task has as many grants as it may have.
    #[error("task `{task}` has {limit} live grants: end one first")]
    TooManyGrants {
        /// The task.
        task: TaskId,
        /// How many it may have.
        limit: usize,
    },
    /// The task or the agent has as many requests that wait as it may have.
    #[error("{limit} requests wait for approval already: withdraw one first")]
    TooManyPending {
        /// How many there may be.
        limit: usize,
    },
    /// The store could not keep it; in memory, what had ended stays ended.
    #[error("the store could not keep the change")]
    Store(#[from] StoreError),
    /// The task has ended.
    #[error("task `{0}` has ended ({1})")]
    TaskEnded(TaskId, EndReason),
    /// The id was used before, by whomever.
    #[error("the task id `{0}` was used before; ids are never used twice")]
    TaskIdUsed(TaskId),
    /// The grant has ended in memory, and the store does not take it.
    #[error("grant `{0}` has ended, which can't be stored yet: a crash now would undo it")]
    Unstored(GrantId),
    /// The part would be more than the whole allows.
    #[error(transparent)]
    Wider(#[from] Wider),
    /// There is no such open task.
    #[error("no open task `{0}`")]
    TaskUnknown(TaskId),
}
