//! What the rules were asked: enough of a question to put it again, to these rules or to others.

mod read;
#[cfg(test)]
mod tests;
mod written;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::step::AskedStep;
use crate::model::{
    DenyReason, EntitlementId, GrantId, GroupName, History, Inputs, Proof, Question, RiskFacts,
    UsualFacts,
};

pub(super) use read::{AskedLine, read};
pub use written::Written;
pub(super) use written::write;

/// A question, without what its record says already (agent, task, grant, operation, address, method,
/// host and path), and what the rules answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The moment that was decided on; the line keeps microseconds.
    pub at: Timestamp,
    /// Why the rules said no; none where they said yes, whatever became of it then.
    pub ruled: Option<DenyReason>,
    /// The agent's address, where it is not that of the record: people decide from elsewhere.
    pub source: Option<IpAddr>,
    /// Whether the agent had been seen at its address before.
    pub known: bool,
    /// The country of the address.
    pub country: Option<Arc<str>>,
    /// How risky the agent looked.
    pub risk: RiskFacts,
    /// What was usual for it.
    pub usual: UsualFacts,
    /// How it had proved who it is.
    pub methods: Vec<Arc<str>>,
    /// With how many factors.
    pub factors: i64,
    /// How its token was bound.
    pub proof: Proof,
    /// The task, as it was then.
    pub task: Option<AskedTask>,
    /// The grant, as it was then.
    pub grant: Option<AskedGrant>,
    /// The groups in whose name people had agreed to a request.
    pub approved_by: Vec<GroupName>,
    /// Whether all of them had shown a second factor.
    pub approved_mfa: bool,
    /// The declared length of the body.
    pub content_length: Option<i64>,
    /// The inputs.
    pub input: Inputs,
    /// What the task had called before.
    pub history: History,
    /// The step that it was about, where that is more than a call or a request.
    pub step: Option<Box<AskedStep>>,
}

/// A task, as rules saw it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AskedTask {
    /// What kind of work it was.
    #[serde(default)]
    pub kind: Arc<str>,
    /// For how long it had been open.
    pub age_seconds: i64,
    /// How many tasks lay above it.
    pub depth: i64,
    /// Who had opened it.
    pub opened_by: Arc<str>,
}

/// A grant, as rules saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedGrant {
    /// The grant.
    pub id: GrantId,
    /// The entitlement that it was a use of.
    pub entitlement: EntitlementId,
    /// For how long it had been in force.
    pub age_seconds: i64,
    /// Calls that were left, where they were limited.
    pub calls_left: Option<i64>,
    /// Bytes that were left, where they were limited.
    pub bytes_left: Option<i64>,
    /// The groups in whose name people had agreed to it.
    pub approved_by: Vec<GroupName>,
    /// Whether all of them had shown a second factor.
    pub approved_mfa: bool,
}

impl Asked {
    /// What to keep of a question; nothing where that would be too much for a line. It is what a reader of the
    /// line would have.
    #[must_use]
    pub fn of(question: &Question<'_>, ruled: Option<DenyReason>) -> Option<Self> {
        // What this version has written it reads back.
        Written::of(question, ruled)?.read().ok()
    }
}
