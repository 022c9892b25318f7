//! A task and its receipt, on disk.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::failure::Failure;
use super::super::row::{decode, parse};
use super::{Span, duration, span};
use crate::model::{ClosedGrant, EndReason, Receipt, Task, TaskState};
use crate::store::StoredTask;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct TaskBody {
    id: String,
    agent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    depth: u32,
    opened_by: String,
    opened_at: String,
    lease: Span,
    max_age: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<EndBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Vec<ClosedBody>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndBody {
    reason: String,
    at: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClosedBody {
    id: String,
    streams_cut: u64,
    calls_finished: u64,
    took: Span,
}

impl TaskBody {
    pub(in super::super) fn new(task: &Task, receipt: Option<&Receipt>) -> Self {
        let Task {
            id,
            agent,
            kind,
            description,
            parent,
            depth,
            opened_by,
            opened_at,
            lease,
            max_age,
            state,
        } = task;
        let ended = match state {
            TaskState::Open => None,
            TaskState::Ended { reason, at } => Some(EndBody {
                reason: reason.as_str().to_owned(),
                at: at.to_string(),
            }),
        };
        Self {
            id: id.to_string(),
            agent: agent.to_string(),
            kind: kind.clone(),
            description: description.clone(),
            parent: parent.as_ref().map(ToString::to_string),
            depth: *depth,
            opened_by: opened_by.clone(),
            opened_at: opened_at.to_string(),
            lease: span(*lease),
            max_age: span(*max_age),
            ended,
            receipt: receipt.map(|receipt| receipt.grants.iter().map(closed_body).collect()),
        }
    }

    pub(in super::super) fn into_model(self) -> Result<StoredTask, Failure> {
        let state = match self.ended {
            None => TaskState::Open,
            Some(end) => TaskState::Ended {
                reason: reason(&end.reason)?,
                at: parse::<Timestamp>(&end.at, "time")?,
            },
        };
        let parent = self.parent.map(|parent| parse(&parent, "task id"));
        let receipt = self.receipt.map(|closed| {
            let grants = closed.into_iter().map(ClosedBody::into_model);
            let grants = grants.collect::<Result<_, Failure>>()?;
            Ok::<_, Failure>(Receipt { grants })
        });
        Ok(StoredTask {
            task: Task {
                id: parse(&self.id, "task id")?,
                agent: parse(&self.agent, "agent id")?,
                kind: self.kind,
                description: self.description,
                parent: parent.transpose()?,
                depth: self.depth,
                opened_by: self.opened_by,
                opened_at: parse(&self.opened_at, "time")?,
                lease: duration(self.lease),
                max_age: duration(self.max_age),
                state,
            },
            receipt: receipt.transpose()?,
        })
    }
}

impl ClosedBody {
    fn into_model(self) -> Result<ClosedGrant, Failure> {
        Ok(ClosedGrant {
            id: parse(&self.id, "grant id")?,
            streams_cut: self.streams_cut,
            calls_finished: self.calls_finished,
            took: duration(self.took),
        })
    }
}

fn closed_body(closed: &ClosedGrant) -> ClosedBody {
    let ClosedGrant {
        id,
        streams_cut,
        calls_finished,
        took,
    } = closed;
    let took: Duration = *took;
    ClosedBody {
        id: id.to_string(),
        streams_cut: *streams_cut,
        calls_finished: *calls_finished,
        took: span(took),
    }
}

pub(super) fn reason(code: &str) -> Result<EndReason, Failure> {
    decode(EndReason::from_code(code), code, "end reason")
}
