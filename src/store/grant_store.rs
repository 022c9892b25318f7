//! The seam between the grants and whatever keeps them.

use std::fmt;
use std::pin::Pin;

use thiserror::Error;

use crate::model::{AgentId, Grant, GrantId, Receipt, RequestId, Task, TaskId};

/// What a store call resolves to.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps tasks and grants. Every backend passes the same suite of tests.
pub trait GrantStore: fmt::Debug + Send + Sync {
    /// Applies all changes of `batch` or none, and resolves when they are durable.
    fn commit(&self, batch: Vec<Change>) -> Pending<'_, ()>;

    /// Everything that has not ended, for the start.
    fn load(&self) -> Pending<'_, Contents>;

    /// A task that was ever opened.
    fn task(&self, id: &TaskId) -> Pending<'_, Option<StoredTask>>;

    /// A grant by its own id.
    fn grant(&self, id: &GrantId) -> Pending<'_, Option<Grant>>;

    /// A grant by the id of its request.
    fn request(&self, id: &RequestId) -> Pending<'_, Option<Grant>>;

    /// The grants that match, newest first.
    fn grants(&self, filter: GrantFilter) -> Pending<'_, Page>;

    /// Every document of a kind, with its id.
    fn documents(&self, kind: DocumentKind) -> Pending<'_, Vec<(String, String)>>;
}

/// What a document is about. A document is text that only its writer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// A person's access key.
    AccessKey,
    /// An agent that gets no new token.
    RevokedAgent,
    /// A token that is refused before its end.
    RevokedToken,
    /// A person's second factor.
    SecondFactor,
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub enum Change {
    /// A task is opened; refused if its id was ever used.
    OpenTask(Task),
    /// A document is written, or removed where there is no text.
    PutDocument {
        /// What it is about.
        kind: DocumentKind,
        /// Its id among those of its kind.
        id: String,
        /// What it says.
        text: Option<String>,
    },
    /// A grant is new or has taken a step. One that is kept as ended stays as it is.
    PutGrant(Grant),
    /// A task has ended; the receipt is there once every stream is cut.
    PutTask(Task, Option<Receipt>),
}

/// Everything that has not ended.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Open tasks.
    pub tasks: Vec<Task>,
    /// Grants that have not ended.
    pub grants: Vec<Grant>,
}

/// A task and the account of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTask {
    /// The task.
    pub task: Task,
    /// What its end did, once that is known.
    pub receipt: Option<Receipt>,
}

/// Which grants are wanted.
#[derive(Clone, Debug, Default)]
pub struct GrantFilter {
    /// Those of one agent.
    pub agent: Option<AgentId>,
    /// Those of one task.
    pub task: Option<TaskId>,
    /// Only what is past asking: grants that are or were in force.
    pub activated: bool,
    /// Those that come after this place in the list.
    pub after: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The grants.
    pub grants: Vec<Grant>,
    /// Where the next page starts, if there is one.
    pub next: Option<u64>,
}

/// Why a store could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// There is no room; nothing of the batch was kept.
    #[error("the store is full: {0}")]
    Full(&'static str),
    /// The task id was used before; nothing of the batch was kept.
    #[error("the task id `{0}` was used before")]
    TaskIdUsed(TaskId),
}
