//! The seam between the grants and whatever keeps them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;

use crate::base::{BootId, BootInstant};
use crate::model::{AgentId, Grant, GrantId, OperationId, Receipt, RequestId, Task, TaskId};

/// What a store call resolves to.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps tasks and grants. Every backend passes the same suite of tests.
pub trait GrantStore: fmt::Debug + Send + Sync {
    /// Applies all changes of `batch` or none, and resolves when they are durable.
    fn commit(&self, batch: Vec<Change>) -> Pending<'_, ()>;

    /// Everything that has not ended, for the start.
    fn load(&self) -> Pending<'_, Contents>;

    /// A task that is open, or has ended and is kept.
    fn task(&self, id: &TaskId) -> Pending<'_, Option<StoredTask>>;

    /// A grant by its own id.
    fn grant(&self, id: &GrantId) -> Pending<'_, Option<Grant>>;

    /// A grant by the id of its request.
    fn request(&self, id: &RequestId) -> Pending<'_, Option<Grant>>;

    /// The grants that match, newest first.
    fn grants(&self, filter: GrantFilter) -> Pending<'_, Page>;

    /// Every document of a kind, with its id.
    fn documents(&self, kind: DocumentKind) -> Pending<'_, Vec<(String, String)>>;

    /// Removes some of what has ended and lies behind `horizon`, the oldest first, in steps that let others'
    /// changes come between. Nothing that has not ended is ever removed, and the id of a removed task stays
    /// used.
    fn forget(&self, horizon: Horizon) -> Pending<'_, Forgotten>;

    /// Whether a task of this id was opened and is not kept any more. Of ids that the gateway
    /// [made](TaskId::random) this is not known: none of them is ever made twice.
    fn was_forgotten(&self, id: &TaskId) -> Pending<'_, bool>;
}

/// How much of what has ended is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// What ended before this is not kept.
    pub before: Timestamp,
    /// Of what ended before this, not more is kept than makes up `most` together with what ended later.
    pub crowded_before: Timestamp,
    /// How many ended tasks, and how many ended grants and requests, are kept.
    pub most: u64,
}

/// What a store has removed, and what of the ended it has kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Ended tasks that it keeps.
    pub kept_tasks: u64,
    /// Ended grants and requests that it keeps.
    pub kept_grants: u64,
    /// Removed tasks.
    pub tasks: u64,
    /// Removed grants and requests.
    pub grants: u64,
    /// Whether there may be more to remove.
    pub more: bool,
}

/// What a document is about. A document is text that only its writer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// A person's access key.
    AccessKey,
    /// The wrong one-time codes of a person.
    FailedCodes,
    /// What is usual for an agent.
    Habits,
    /// What was answered to a creation, or that one has begun.
    IdempotentAnswer,
    /// The last score that a transmitter of security events has said of an agent.
    LatestScore,
    /// A reset of a person that waits for a second operator.
    PendingReset,
    /// A score that was pushed of an agent.
    PushedScore,
    /// What a token was polled for, with success.
    RedeemedRequest,
    /// An agent that gets no new token.
    RevokedAgent,
    /// A token that is refused before its end.
    RevokedToken,
    /// A person's second factor.
    SecondFactor,
    /// How far the store itself has come.
    StoreMark,
    /// A client assertion that was used.
    UsedAssertion,
    /// A security event token that was taken.
    UsedEvent,
}

/// One change of a batch. A step of what is not kept, or not any more, changes nothing: so a step that
/// comes late brings nothing back.
#[derive(Clone, Debug)]
pub enum Change {
    /// A grant is new.
    AddGrant(Grant),
    /// The clocks, at this moment. Every [`GrantMark`] and [`TaskMark`] in the store is on the boot
    /// clock of the last one of these.
    MarkClock(ClockMark),
    /// What a live grant has left. Nothing happens where there is no such grant.
    MarkGrant(GrantId, GrantMark),
    /// How far an open task has come. Nothing happens where there is no such task.
    MarkTask(TaskId, TaskMark),
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
    /// A grant has taken a step. One that is kept as ended stays as it is.
    PutGrant(Grant),
    /// A task has taken a step; where that is its end, the receipt is there once every stream is cut.
    PutTask(Task, Option<Receipt>),
}

/// Both clocks at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockMark {
    /// Which start of the machine the boot clock counts from.
    pub boot: BootId,
    /// The boot clock.
    pub now: BootInstant,
    /// The wall clock.
    pub wall: Timestamp,
}

/// What of a live grant changes without a step of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantMark {
    /// When it came into force.
    pub starts: BootInstant,
    /// When it is over at the latest.
    pub deadline: BootInstant,
    /// Calls that are certainly left, where they are limited: never more than there are.
    pub calls_left: Option<u64>,
    /// Bytes that were left, where they are limited.
    pub bytes_left: Option<u64>,
}

/// What of an open task changes without an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskMark {
    /// When it was opened.
    pub opened: BootInstant,
    /// When it lapses without a sign of life.
    pub lapses: BootInstant,
    /// When it reaches its maximum age.
    pub oldest: BootInstant,
    /// What it has called.
    pub history: Vec<CountedCalls>,
}

/// What a task has called of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedCalls {
    /// The operation.
    pub operation: OperationId,
    /// Calls that were let through.
    pub calls: i64,
    /// Those that succeeded.
    pub succeeded: i64,
    /// The sums of numeric inputs.
    pub sum: BTreeMap<Arc<str>, i64>,
    /// When the last was.
    pub last: BootInstant,
}

/// Everything that has not ended.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Open tasks, each with its mark if it ever had one.
    pub tasks: Vec<(Task, Option<TaskMark>)>,
    /// Grants that have not ended, in the order of asking, each with its mark if it ever had one.
    pub grants: Vec<(Grant, Option<GrantMark>)>,
    /// The last mark of the clocks.
    pub clock: Option<ClockMark>,
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

/// Why a store could not be opened, or could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// What is there can't have been written by this program, or was damaged since.
    #[error("the store `{path}` is damaged: {detail}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// There is no room; nothing of the batch was kept.
    #[error("the store is full: {0}")]
    Full(&'static str),
    /// Another process has the store.
    #[error("the store `{path}` is in use by {holder}: one gateway at a time")]
    Locked {
        /// The file.
        path: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// A later version of the program has written it.
    #[error(
        "the store `{path}` has schema {found}, and this version knows {known} at the highest: \
         start the version that wrote it"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The highest that is known here.
        known: i64,
    },
    /// It can't be written to.
    #[error("the store `{path}` is read-only")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The task id was used before; nothing of the batch was kept.
    #[error("the task id `{0}` was used before")]
    TaskIdUsed(TaskId),
    /// Reading or writing failed.
    #[error("the store `{path}` can't be used: {detail}")]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What failed.
        detail: String,
    },
}
