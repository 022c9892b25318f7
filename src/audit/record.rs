//! What one line of the audit log says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Asked, RecordError, Written};
use crate::model::{
    AgentId, DenyReason, EndReason, EntitlementId, Generation, GrantId, OperationId, PersonId,
    RequestId, ServiceName, TaskId, codes,
};

/// One thing that was decided or done. What does not apply is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What kind of thing it is.
    pub kind: RecordKind,
    /// When it was over; the line keeps microseconds.
    pub at: Timestamp,
    /// The id that the client and the upstream were told.
    pub request_id: Option<String>,
    /// Who acted.
    pub agent: Option<AgentId>,
    /// The person who acted, or on whose behalf.
    pub person: Option<PersonId>,
    /// The unit of work.
    pub task: Option<TaskId>,
    /// The right that was used.
    pub grant: Option<GrantId>,
    /// The asking.
    pub request: Option<RequestId>,
    /// What was called.
    pub operation: Option<OperationId>,
    /// The right that was asked for.
    pub entitlement: Option<EntitlementId>,
    /// Where the operation lives.
    pub service: Option<ServiceName>,
    /// What was decided.
    pub verdict: Verdict,
    /// The rules that decided.
    pub rules: Vec<Arc<str>>,
    /// The policy set that they belong to.
    pub generation: Option<Generation>,
    /// Where the client connected from.
    pub source: Option<IpAddr>,
    /// The HTTP method.
    pub method: Option<String>,
    /// The host that was asked for.
    pub host: Option<String>,
    /// The path, without the query: queries carry secrets.
    pub path: Option<String>,
    /// The status that the client got.
    pub status: Option<u16>,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// How long it took; the line keeps microseconds.
    pub duration: Option<Duration>,
    /// The trace that it is part of.
    pub trace_id: Option<String>,
    /// Why it was cut, or why what it is about is over.
    pub end: Option<EndReason>,
    /// Anything else, for people.
    pub detail: Option<String>,
    /// What the rules were asked, where they were: enough to ask them again.
    pub asked: Option<Box<Asked>>,
    /// The same, where it was written down when it was asked; then `asked` is empty.
    pub written: Option<Written>,
}

impl Record {
    /// A record that says only what happened and when.
    #[must_use]
    pub const fn new(kind: RecordKind, at: Timestamp) -> Self {
        Self {
            kind,
            at,
            request_id: None,
            agent: None,
            person: None,
            task: None,
            grant: None,
            request: None,
            operation: None,
            entitlement: None,
            service: None,
            verdict: Verdict::Neither,
            rules: Vec::new(),
            generation: None,
            source: None,
            method: None,
            host: None,
            path: None,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            duration: None,
            trace_id: None,
            end: None,
            detail: None,
            asked: None,
            written: None,
        }
    }
}

impl Record {
    /// Reads back what was asked, where it was written down when it was asked.
    ///
    /// # Errors
    ///
    /// None, for what this version has written.
    pub fn read_written(&mut self) -> Result<(), RecordError> {
        if let Some(written) = self.written.take() {
            self.asked = Some(Box::new(written.read()?));
        }
        Ok(())
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No, and why.
    Deny(DenyReason),
    /// Nothing was to be decided.
    Neither,
}

codes! {
    /// What kind of thing a record is about.
    RecordKind {
        /// Something an operator did.
        Admin = "admin",
        /// An exchange at the gateway, over or refused.
        Call = "call",
        /// A step of a grant's life.
        Grant = "grant",
        /// An exchange that still runs after a second; its `call` follows.
        Open = "open",
        /// A policy set went live or was refused.
        Policy = "policy",
        /// A step of a request for a grant.
        Request = "request",
        /// The log was opened: the first record of every run.
        Start = "start",
        /// The log was closed in order: the last record of a run that did not crash.
        Stop = "stop",
        /// A step of a task's life.
        Task = "task",
        /// A token was issued or taken back.
        Token = "token",
    }
}
