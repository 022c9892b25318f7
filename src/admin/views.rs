//! What the API shows: its own shapes, converted by hand from the model.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::approvals::digest;
use crate::grants::LiveTask;
use crate::model::{
    EndReason, Grant, GrantRequest, GrantState, InputValue, Receipt, Task, TaskState,
};

/// A part of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Where the next part starts: send it as `cursor`.
    pub(super) next: Option<String>,
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TaskView {
    id: String,
    /// `open` or `ended`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    opened_by: String,
    /// RFC 3339.
    opened_at: String,
    lease_seconds: u64,
    /// RFC 3339; absent when the task has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_expires_at: Option<String>,
    /// The ids of its grants in force.
    grants: Vec<String>,
}

impl TaskView {
    /// A stored task; where it is open, `live` is its handle and `lapses` the end of its lease.
    pub(super) fn new(
        task: &Task,
        live: Option<&LiveTask>,
        lapses: Option<jiff::Timestamp>,
    ) -> Self {
        let grants = live.map(LiveTask::grants).unwrap_or_default();
        let (state, end_reason) = match task.state {
            TaskState::Open => ("open", None),
            TaskState::Ended { reason, .. } => ("ended", Some(reason.as_str())),
        };
        Self {
            id: task.id.to_string(),
            state,
            end_reason,
            kind: task.kind.clone(),
            description: task.description.clone(),
            agent: task.agent.to_string(),
            parent: task.parent.as_ref().map(ToString::to_string),
            opened_by: task.opened_by.clone(),
            opened_at: task.opened_at.to_string(),
            lease_seconds: task.lease.as_secs(),
            lease_expires_at: lapses.map(|at| at.to_string()),
            grants: grants
                .iter()
                .map(|grant| grant.request().grant.to_string())
                .collect(),
        }
    }
}

/// What the end of a task did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptView {
    task: String,
    /// `ended`.
    state: &'static str,
    end_reason: Option<&'static str>,
    grants: Vec<ClosedGrantView>,
}

/// What the end of a grant did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClosedGrantView {
    id: String,
    /// `closed`.
    state: &'static str,
    /// Exchanges that were cut.
    streams_cut: u64,
    /// Exchanges that had come to their own end before.
    calls_finished: u64,
    /// From the end in memory to the last exchange gone.
    micros: u64,
}

impl ReceiptView {
    pub(super) fn new(task: &Task, receipt: &Receipt) -> Self {
        let end_reason = match task.state {
            TaskState::Open => None,
            TaskState::Ended { reason, .. } => Some(reason.as_str()),
        };
        Self {
            task: task.id.to_string(),
            state: "ended",
            end_reason,
            grants: receipt.grants.iter().map(ClosedGrantView::new).collect(),
        }
    }
}

impl ClosedGrantView {
    pub(super) fn new(closed: &crate::model::ClosedGrant) -> Self {
        Self {
            id: closed.id.to_string(),
            state: "closed",
            streams_cut: closed.streams_cut,
            calls_finished: closed.calls_finished,
            micros: u64::try_from(closed.took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// A grant that is or was in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantView {
    id: String,
    /// `active`, `suspended` or `ended`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    agent: String,
    task: String,
    entitlement: String,
    operations: Vec<String>,
    /// RFC 3339.
    starts_at: Option<String>,
    /// RFC 3339.
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_left: Option<u64>,
    /// The grant that it was carved from.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
}

impl GrantView {
    /// A stored grant; `live` is what is left of its budget, where it is in force.
    pub(super) fn new(grant: &Grant, live: Option<&crate::grants::LiveGrant>) -> Self {
        let request = &grant.request;
        // What it was carved from may be suspended.
        let suspended = live.is_some_and(crate::grants::LiveGrant::is_out_of_force);
        let term = grant.term();
        let operations = request.right.operations.iter().map(ToString::to_string);
        Self {
            id: request.grant.to_string(),
            state: match grant.state {
                GrantState::Active(_) if suspended => "suspended",
                GrantState::Active(_) => "active",
                GrantState::Suspended(_) => "suspended",
                GrantState::Ended { .. } => "ended",
                GrantState::Pending { .. } | GrantState::Requested => "pending",
            },
            end_reason: end_reason(grant),
            agent: request.agent.to_string(),
            task: request.task.to_string(),
            entitlement: request.right.entitlement.to_string(),
            operations: operations.collect(),
            starts_at: term.map(|term| term.starts_at.to_string()),
            expires_at: term.map(|term| term.expires_at.to_string()),
            calls_left: live.and_then(crate::grants::LiveGrant::calls_left),
            bytes_left: live.and_then(crate::grants::LiveGrant::bytes_left),
            parent: request.parent.as_deref().map(ToString::to_string),
        }
    }
}

/// A request for a grant, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RequestView {
    id: String,
    /// `pending`, `active`, `declined`, `expired`, `withdrawn` or `ended`.
    state: &'static str,
    agent: String,
    task: String,
    entitlement: String,
    operations: Vec<String>,
    /// What calls will have to agree with.
    #[schema(value_type = Object)]
    input: serde_json::Map<String, Value>,
    reason: Option<String>,
    duration_seconds: u64,
    max_calls: Option<u64>,
    max_bytes: Option<u64>,
    proof: &'static str,
    /// Who has to agree.
    approval: Option<ApprovalRuleView>,
    /// The SHA-256 of the request's canonical form (RFC 8785), in hexadecimal.
    digest: String,
    /// RFC 3339.
    requested_at: String,
    /// RFC 3339: of the grant, or of the time to approve.
    expires_at: Option<String>,
    approvals: Vec<ApprovalView>,
    /// Why it is over, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    /// Why it was refused, in the words of whoever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The grant's id, once it is or was in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
}

/// Who has to agree to a request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApprovalRuleView {
    group: String,
    /// How many people.
    quorum: u32,
    /// Whether each needs a second factor.
    mfa: bool,
    /// How long they have.
    expires_seconds: u64,
}

/// A person's agreement.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApprovalView {
    person: String,
    /// RFC 3339.
    at: String,
    mfa: bool,
}

impl RequestView {
    pub(super) fn new(grant: &Grant) -> Self {
        let request = &grant.request;
        let term = grant.term();
        let (until, approvals) = match &grant.state {
            GrantState::Pending { until, approvals } => (Some(*until), approvals.as_slice()),
            GrantState::Active(term) | GrantState::Suspended(term) => {
                (Some(term.expires_at), term.approvals.as_slice())
            }
            GrantState::Ended { term, .. } => (
                term.as_ref().map(|term| term.expires_at),
                term.as_ref().map_or(&[][..], |term| &term.approvals),
            ),
            GrantState::Requested => (None, &[][..]),
        };
        let approvals = approvals.iter().map(|approval| ApprovalView {
            person: approval.person.to_string(),
            at: approval.at.to_string(),
            mfa: approval.mfa,
        });
        Self {
            id: request.id.to_string(),
            state: request_state(grant),
            agent: request.agent.to_string(),
            task: request.task.to_string(),
            entitlement: request.right.entitlement.to_string(),
            operations: request
                .right
                .operations
                .iter()
                .map(ToString::to_string)
                .collect(),
            input: inputs(request),
            reason: request.reason.as_deref().map(ToOwned::to_owned),
            max_calls: request.right.budget.calls,
            max_bytes: request.right.budget.bytes,
            proof: request.right.proof.as_str(),
            approval: request
                .right
                .approval
                .as_ref()
                .map(|rule| ApprovalRuleView {
                    group: rule.group.to_string(),
                    quorum: rule.quorum,
                    mfa: rule.mfa,
                    expires_seconds: rule.expires.as_secs(),
                }),
            end_reason: end_reason(grant),
            note: note(grant),
            duration_seconds: request.duration.as_secs(),
            digest: digest(request).to_string(),
            requested_at: request.requested_at.to_string(),
            expires_at: until.map(|until| until.to_string()),
            approvals: approvals.collect(),
            grant: term.map(|_| request.grant.to_string()),
        }
    }
}

fn request_state(grant: &Grant) -> &'static str {
    match &grant.state {
        GrantState::Requested | GrantState::Pending { .. } => "pending",
        GrantState::Active(_) | GrantState::Suspended(_) => "active",
        GrantState::Ended { reason, term, .. } => match (reason, term) {
            (EndReason::Declined, _) => "declined",
            (EndReason::Withdrawn, _) => "withdrawn",
            (EndReason::Expired, None) => "expired",
            _ => "ended",
        },
    }
}

fn inputs(request: &GrantRequest) -> serde_json::Map<String, Value> {
    let entry = |(name, value): (&Arc<str>, &InputValue)| {
        let value = match value {
            InputValue::Bool(value) => json!(value),
            InputValue::Long(value) => json!(value),
            InputValue::String(value) => json!(value.as_ref()),
        };
        (name.to_string(), value)
    };
    request.input.iter().map(entry).collect()
}

fn note(grant: &Grant) -> Option<String> {
    match &grant.state {
        GrantState::Ended { note, .. } => note.as_deref().map(str::to_owned),
        GrantState::Active(_)
        | GrantState::Pending { .. }
        | GrantState::Requested
        | GrantState::Suspended(_) => None,
    }
}

fn end_reason(grant: &Grant) -> Option<&'static str> {
    match grant.state {
        GrantState::Ended { reason, .. } => Some(reason.as_str()),
        GrantState::Active(_)
        | GrantState::Pending { .. }
        | GrantState::Requested
        | GrantState::Suspended(_) => None,
    }
}
