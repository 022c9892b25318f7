//! Tasks: the units of work that access is bound to.

use std::time::Duration;

use jiff::Timestamp;

use super::{AgentId, EndReason, TaskId};

/// A unit of work. A task inside a task is a reasoning span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id, never used twice.
    pub id: TaskId,
    /// The agent that works on it.
    pub agent: AgentId,
    /// What kind of work it is, in the opener's word.
    pub kind: Option<String>,
    /// What it is about, for people.
    pub description: Option<String>,
    /// The task it is a span of.
    pub parent: Option<TaskId>,
    /// How many tasks lie above it.
    pub depth: u32,
    /// Who opened it: an agent's or a person's id.
    pub opened_by: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How long it lives without a sign of life.
    pub lease: Duration,
    /// How long it lives at most.
    pub max_age: Duration,
    /// Whether it still lives.
    pub state: TaskState,
}

/// Whether a task still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It does.
    Open,
    /// It does not; nothing reopens it.
    Ended {
        /// Why.
        reason: EndReason,
        /// Since when.
        at: Timestamp,
    },
}

impl Task {
    /// Whether the task still lives.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, TaskState::Open)
    }

    /// Since when it is over, if it is.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match &self.state {
            TaskState::Ended { at, .. } => Some(*at),
            TaskState::Open => None,
        }
    }
}
