//! Why a person's decision does not count, and what the record says of that.

use std::sync::Arc;

use thiserror::Error;

use crate::access::people::PersonalError;
use crate::approvals::Unfit;
use crate::grants::GrantsError;
use crate::model::{DenyReason, RequestId, TransitionError};

/// Why a decision was not taken.
#[derive(Debug, Error)]
pub enum NotDecided {
    /// The second factor was not shown, or is not good.
    #[error(transparent)]
    Factor(#[from] PersonalError),
    /// What was sent can't be read.
    #[error("{0}")]
    Malformed(String),
    /// The entitlement wants a second factor.
    #[error("this needs your second factor at this moment: send `totp`")]
    MfaRequired,
    /// The grants can't take it.
    #[error("the decision could not be kept")]
    NotKept(#[source] GrantsError),
    /// The person is neither asked nor an operator.
    #[error("this is for the people who are asked, or for operators")]
    NotAsked,
    /// It is decided already.
    #[error("the request is decided already ({0}): a decision is good once")]
    Over(&'static str),
    /// The time to decide is over.
    #[error("the time to approve this request is over: the agent has to ask anew")]
    Expired,
    /// The rules, asked again, say no. The request is over.
    #[error("people agree, but the rules do not let this come into force now: {0}")]
    RulesRefuse(Arc<str>),
    /// There is no such request.
    #[error("no request `{0}`")]
    Unknown(RequestId),
    /// The agreement does not count.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The decision can't be recorded, so none was made.
    #[error("the decision can't be recorded, so none is made: {0}")]
    Unrecorded(String),
}

impl NotDecided {
    /// The grants' own refusals, where one has come between the look and the step.
    pub(super) fn not_kept(error: GrantsError, id: &RequestId) -> Self {
        match error {
            GrantsError::OutOfPlace(TransitionError::SamePerson(_)) => Unfit::Again.into(),
            GrantsError::OutOfPlace(TransitionError::Ended(reason)) => Self::Over(reason.as_str()),
            GrantsError::RequestUnknown(unknown) if unknown == *id => Self::Over("ended"),
            other => Self::NotKept(other),
        }
    }

    /// What a refusal is recorded as.
    pub(super) const fn reason(&self) -> DenyReason {
        match self {
            Self::Factor(PersonalError::Locked(_)) => DenyReason::RateLimited,
            Self::Factor(_) | Self::MfaRequired => DenyReason::MfaRequired,
            Self::RulesRefuse(_) => DenyReason::ConditionDenied,
            Self::Expired
            | Self::Malformed(_)
            | Self::NotAsked
            | Self::NotKept(_)
            | Self::Over(_)
            | Self::Unfit(_)
            | Self::Unknown(_)
            | Self::Unrecorded(_) => DenyReason::ApprovalRequired,
        }
    }
}
