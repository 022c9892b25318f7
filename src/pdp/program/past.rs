//! What a task has called, as compiled rules read it: of an operation, or of several together.

use std::sync::Arc;

use super::super::history::{Groups, Members};
use crate::model::{History, OperationId};

/// What was called of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Past {
    Operation(OperationId),
    /// Of a group, as far as it counts.
    Members(Arc<Members>),
}

impl Past {
    /// Of what stands in `context.history["name"]`; none if nothing can be called so.
    pub(super) fn of(name: &str, groups: &Groups) -> Option<Self> {
        Some(match groups.get(name) {
            Some(group) => Self::Members(Arc::clone(group.members())),
            None => Self::Operation(name.parse().ok()?),
        })
    }

    /// Of what counts for `context.history["name"].sum.input`.
    pub(super) fn summed(name: &str, input: &str, groups: &Groups) -> Option<Self> {
        Some(match groups.get(name) {
            Some(group) => Self::Members(Arc::clone(group.declaring(input)?)),
            None => Self::Operation(name.parse().ok()?),
        })
    }

    pub(super) fn calls(&self, history: &History) -> i64 {
        match self {
            Self::Operation(id) => history.get(id).map_or(0, |past| past.calls),
            Self::Members(members) => members.calls(history),
        }
    }

    pub(super) fn succeeded(&self, history: &History) -> i64 {
        match self {
            Self::Operation(id) => history.get(id).map_or(0, |past| past.succeeded),
            Self::Members(members) => members.succeeded(history),
        }
    }

    pub(super) fn last_age_seconds(&self, history: &History) -> Option<i64> {
        match self {
            Self::Operation(id) => history.get(id)?.last_age_seconds,
            Self::Members(members) => members.last_age_seconds(history),
        }
    }

    pub(super) fn sum(&self, history: &History, input: &str) -> i64 {
        match self {
            Self::Operation(id) => {
                let sum = history.get(id).and_then(|past| past.sum.get(input));
                sum.copied().unwrap_or(0)
            }
            Self::Members(members) => members.sum(history, input),
        }
    }
}
