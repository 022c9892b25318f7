//! The life of a grant: one total function from a state and a step to the next state.
//!
//! ```text
//! requested ──▶ pending ──▶ active ⇄ suspended
//!     └────────────┴───────────┴─────────┴─────▶ ended
//! ```

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;

use super::{Approval, EndReason, Grant, GrantState, Shared, Term};

/// A step of a grant's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It comes into force, until `expires_at`.
    Activate {
        /// The end of its term.
        expires_at: Timestamp,
    },
    /// A person agrees; bringing it into force is a step of its own.
    Approve(Approval),
    /// People are asked, until `until`.
    AskApproval {
        /// When their time is over.
        until: Timestamp,
    },
    /// It is over.
    End(EndReason),
    /// It does not come into force.
    Refuse {
        /// Why.
        reason: EndReason,
        /// Why, in the words of whoever refuses.
        note: Arc<str>,
    },
    /// Its term is moved to `expires_at`.
    Renew {
        /// The new end of its term.
        expires_at: Timestamp,
    },
    /// It comes back into force within its term.
    Resume,
    /// It leaves force for a while.
    Suspend,
}

/// A step that can't be taken from where the grant stands.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransitionError {
    /// Nothing revives a grant that is over.
    #[error("the grant has ended ({0})")]
    Ended(EndReason),
    /// The step belongs to another part of a grant's life.
    #[error("a grant that is {state} can't {step}")]
    OutOfPlace {
        /// Where the grant stands.
        state: &'static str,
        /// What was tried.
        step: &'static str,
    },
    /// One person's agreement counts once.
    #[error("`{0}` has approved already")]
    SamePerson(super::PersonId),
}

impl Grant {
    /// Takes one step at the moment `now`, or says why it can't be taken. This is the only way a
    /// grant's state changes.
    ///
    /// # Errors
    ///
    /// See [`TransitionError`]; the grant is then as it was.
    pub fn apply(&mut self, step: Transition, now: Timestamp) -> Result<(), TransitionError> {
        self.state = next(&self.state, step, now)?;
        Ok(())
    }
}

fn next(
    state: &GrantState,
    step: Transition,
    now: Timestamp,
) -> Result<GrantState, TransitionError> {
    use GrantState::{Active, Ended, Pending, Requested, Suspended};
    use Transition::{Activate, Approve, AskApproval, End, Refuse, Renew, Resume, Suspend};

    Ok(match (state, step) {
        (Requested, AskApproval { until }) => Pending {
            until,
            approvals: Vec::new(),
        },
        (Requested, Activate { expires_at }) => Active(Term {
            starts_at: now,
            expires_at,
            approvals: Shared::default(),
        }),
        (Pending { approvals, .. }, Activate { expires_at }) => Active(Term {
            starts_at: now,
            expires_at,
            approvals: Shared::approvals(approvals.clone()),
        }),
        (Pending { until, approvals }, Approve(approval)) => {
            if approvals.iter().any(|a| a.person == approval.person) {
                return Err(TransitionError::SamePerson(approval.person));
            }
            Pending {
                until: *until,
                approvals: approvals.iter().cloned().chain([approval]).collect(),
            }
        }
        (Active(term), Renew { expires_at }) => Active(Term {
            expires_at,
            ..term.clone()
        }),
        (Active(term), Suspend) => Suspended(term.clone()),
        (Suspended(term), Resume) => Active(term.clone()),
        (Requested | Pending { .. }, End(reason)) => Ended {
            reason,
            at: now,
            term: None,
            note: None,
        },
        (Requested | Pending { .. }, Refuse { reason, note }) => Ended {
            reason,
            at: now,
            term: None,
            note: Some(note),
        },
        (Active(term) | Suspended(term), End(reason)) => Ended {
            reason,
            at: now,
            term: Some(Box::new(term.clone())),
            note: None,
        },
        (Ended { reason, .. }, _) => return Err(TransitionError::Ended(*reason)),
        (
            state @ (Requested | Pending { .. } | Active(_) | Suspended(_)),
            step @ (Activate { .. }
            | Approve(_)
            | AskApproval { .. }
            | Refuse { .. }
            | Renew { .. }
            | Resume
            | Suspend),
        ) => {
            return Err(TransitionError::OutOfPlace {
                state: state.as_str(),
                step: step.as_str(),
            });
        }
    })
}

impl GrantState {
    /// The state's word in messages.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active(_) => "active",
            Self::Ended { .. } => "ended",
            Self::Pending { .. } => "pending",
            Self::Requested => "requested",
            Self::Suspended(_) => "suspended",
        }
    }
}

impl Transition {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Activate { .. } => "come into force",
            Self::Approve(_) => "be approved",
            Self::AskApproval { .. } => "wait for approval",
            Self::End(_) => "end",
            Self::Refuse { .. } => "be refused",
            Self::Renew { .. } => "be renewed",
            Self::Resume => "resume",
            Self::Suspend => "be suspended",
        }
    }
}
