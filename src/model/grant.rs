//! Grants: one entitlement in use, from the asking to the end.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{
    AgentId, ApprovalRule, EndReason, EntitlementId, GrantId, Holder, Inputs, OperationId,
    PersonId, Proof, RequestId, Shared, TaskId,
};

/// One entitlement asked for, and what became of it. Its state changes only by
/// [`Grant::apply`](super::Transition).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What was asked for; never changes.
    pub request: Arc<GrantRequest>,
    /// Where it stands.
    pub state: GrantState,
}

/// What was asked for: everything about a grant that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    /// The asking.
    pub id: RequestId,
    /// The right in use; known from the start, in force only while active.
    pub grant: GrantId,
    /// Who asked and who may use it.
    pub agent: AgentId,
    /// What it is bound to.
    pub task: TaskId,
    /// The right that was asked for.
    pub right: Shared<Right>,
    /// What calls must agree with, by input name.
    pub input: Shared<Inputs>,
    /// Why, in the agent's words.
    pub reason: Option<Box<str>>,
    /// The life that was asked for, already within the entitlement's limit.
    pub duration: Duration,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The grant that it was carved from, where one agent handed it down to another. Few have one: the others do
    /// not keep room for a name.
    pub parent: Option<Shared<GrantId>>,
    /// What else was known of the asker: rules are asked again with the same when people have agreed.
    pub asked: Shared<Circumstances>,
}

/// What an entitlement stood for when it was asked for: that of a request which many have alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Right {
    /// The entitlement.
    pub entitlement: EntitlementId,
    /// Its operations.
    pub operations: Shared<BTreeSet<OperationId>>,
    /// What a grant of it may use up.
    pub budget: Budget,
    /// How tokens that use it must be bound to their holder.
    pub proof: Proof,
    /// Who has to agree.
    pub approval: Option<Shared<ApprovalRule>>,
}

/// What was known of an asker besides its name and its task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Circumstances {
    /// Its address.
    pub source: IpAddr,
    /// How it proved who it is.
    pub methods: Vec<Arc<str>>,
    /// What its token was bound to: the grant is for the same holder.
    pub holder: Option<Holder>,
}

impl Circumstances {
    /// Nothing is known: no address, no method, no binding.
    pub const UNKNOWN: Self = Self {
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        methods: Vec::new(),
        holder: None,
    };
}

/// What a grant may use up. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Calls.
    pub calls: Option<u64>,
    /// Bytes, both directions counted.
    pub bytes: Option<u64>,
    /// Calls at once.
    pub concurrent: Option<u32>,
}

/// Where a grant stands. What a state does not list does not exist in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// Asked for; nothing is decided.
    Requested,
    /// Waits for people.
    Pending {
        /// Until when they may agree.
        until: Timestamp,
        /// Who has.
        approvals: Vec<Approval>,
    },
    /// In force.
    Active(Term),
    /// Not in force now, because a condition turned false; may come back within its term.
    Suspended(Term),
    /// Over; nothing revives it.
    Ended {
        /// Why.
        reason: EndReason,
        /// Since when.
        at: Timestamp,
        /// Its term, where it was ever in force.
        term: Option<Box<Term>>,
        /// Why, in the words of whoever refused it.
        note: Option<Arc<str>>,
    },
}

/// The term of a grant that is or was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// First activation.
    pub starts_at: Timestamp,
    /// The end that was promised; the boot clock decides.
    pub expires_at: Timestamp,
    /// Who agreed.
    pub approvals: Shared<Vec<Approval>>,
}

/// A person's agreement to one exact request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who agreed.
    pub person: PersonId,
    /// When.
    pub at: Timestamp,
    /// Whether a second factor was shown.
    pub mfa: bool,
    /// The longest life that the person agreed to, where that is less than was asked for.
    pub at_most: Option<Duration>,
}

impl Grant {
    /// A grant that has only been asked for.
    #[must_use]
    pub const fn requested(request: Arc<GrantRequest>) -> Self {
        let state = GrantState::Requested;
        Self { request, state }
    }

    /// Whether calls may pass under it.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.state, GrantState::Active(_))
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, GrantState::Ended { .. })
    }

    /// Since when it is over, if it is.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match &self.state {
            GrantState::Ended { at, .. } => Some(*at),
            GrantState::Active(_)
            | GrantState::Pending { .. }
            | GrantState::Requested
            | GrantState::Suspended(_) => None,
        }
    }

    /// Its term, if it is or was in force.
    #[must_use]
    pub const fn term(&self) -> Option<&Term> {
        match &self.state {
            GrantState::Active(term) | GrantState::Suspended(term) => Some(term),
            GrantState::Ended { term, .. } => match term {
                Some(term) => Some(&**term),
                None => None,
            },
            GrantState::Pending { .. } | GrantState::Requested => None,
        }
    }
}
