//! Entitlements: standing rights to *ask*. None of them lets a call pass by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Budget, EntitlementId, GroupName, OperationId, Right, Shared};
use crate::base::Digest;

/// A right to ask for a named set of operations, and the limits of what may be got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Its name.
    pub id: EntitlementId,
    /// What a grant of it covers; groups are resolved when the files are compiled.
    pub operations: Shared<BTreeSet<OperationId>>,
    /// The longest life of a grant, from first activation, renewals included.
    pub max_ttl: Duration,
    /// How many calls a grant is good for.
    pub max_calls: Option<u64>,
    /// How many bytes a grant may move, both directions counted.
    pub max_bytes: Option<u64>,
    /// How many calls may run at once.
    pub max_concurrent: Option<u32>,
    /// Who has to agree before a grant becomes active.
    pub approval: Option<Shared<ApprovalRule>>,
    /// How tokens that use a grant must be bound to their holder.
    pub proof: Proof,
    /// Whether a request must say why.
    pub reason_required: bool,
}

impl Entitlement {
    /// The right as it stands now.
    #[must_use]
    pub fn right(&self) -> Right {
        Right {
            entitlement: self.id.clone(),
            operations: self.operations.clone(),
            budget: self.budget(),
            proof: self.proof,
            approval: self.approval.clone(),
        }
    }

    /// What a grant of it may use up.
    #[must_use]
    pub const fn budget(&self) -> Budget {
        Budget {
            calls: self.max_calls,
            bytes: self.max_bytes,
            concurrent: self.max_concurrent,
        }
    }
}

/// Who has to agree to a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApprovalRule {
    /// The people's group whose members may approve.
    pub group: GroupName,
    /// How many distinct people have to.
    pub quorum: u32,
    /// Whether each needs a second factor at the moment of approval.
    pub mfa: bool,
    /// How long a request waits for them.
    pub expires: Duration,
}

/// How a token is bound to its holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Not at all: whoever holds it may use it.
    #[default]
    Bearer,
    /// To a key, proved on each request (RFC 9449).
    Dpop,
    /// To a client certificate (RFC 8705).
    Mtls,
}

impl Proof {
    /// The word in files, answers and conditions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
        }
    }
}

/// What a token is bound to. A grant that was asked for with it can be used only with tokens that are
/// bound to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A client certificate, by its SHA-256 (RFC 8705 §3.1).
    Certificate(Digest),
    /// A DPoP key, by its thumbprint (RFC 9449 §6.1).
    DpopKey(Digest),
}

impl Holder {
    /// How such a token is bound.
    #[must_use]
    pub const fn proof(self) -> Proof {
        match self {
            Self::Certificate(_) => Proof::Mtls,
            Self::DpopKey(_) => Proof::Dpop,
        }
    }
}
