//! Whose agreement counts.

#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

use super::digest;
use crate::base::Digest;
use crate::model::{Approval, ApprovalRule, Entitlement, GrantRequest, GroupName, PersonId};

/// One person's agreement to one request, with what is known of the person at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Consent<'a> {
    /// Who agrees.
    pub person: &'a PersonId,
    /// Whether the person is in the group that has to agree.
    pub member: bool,
    /// Whose request it is, where that is the person's own, or that of somebody who has had the
    /// person's key in hand.
    pub party: Option<&'a PersonId>,
    /// The digest of what the person was shown.
    pub digest: Option<Digest>,
    /// The life that the person agrees to; the one asked for where absent.
    pub duration: Option<Duration>,
}

/// Why an agreement does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// One person's agreement counts once.
    #[error("you have approved this request already: another person has to")]
    Again,
    /// What it would bring into force is not what was asked for.
    #[error(
        "what the entitlement means has changed since this was asked for: the agent has to ask anew"
    )]
    Changed,
    /// The person was shown something else, or nothing.
    #[error(
        "`digest` is not that of this request: look at it again, then approve what it says now"
    )]
    Digest,
    /// People can only shorten.
    #[error("people can only shorten: {0} seconds were asked for")]
    Longer(u64),
    /// The person is not one of those asked.
    #[error("this is for the people of `{0}` to approve")]
    NotAsked(GroupName),
    /// Nobody approves what is their own.
    #[error(
        "nobody approves what they, or an agent they own, asked for or opened; this is `{0}`'s"
    )]
    Own(PersonId),
}

/// Judges one person's agreement. `now` is the same request as the live definition would make it; gives
/// the longest life agreed to, where that is shorter than asked.
///
/// # Errors
///
/// See [`Unfit`].
pub fn check_consent(
    consent: &Consent<'_>,
    request: &GrantRequest,
    rule: &ApprovalRule,
    approvals: &[Approval],
    now: &GrantRequest,
) -> Result<Option<Duration>, Unfit> {
    if !consent.member {
        return Err(Unfit::NotAsked(rule.group.clone()));
    }
    if let Some(party) = consent.party {
        return Err(Unfit::Own(party.clone()));
    }
    if approvals.iter().any(|one| one.person == *consent.person) {
        return Err(Unfit::Again);
    }
    let asked = digest(request);
    if consent.digest != Some(asked) {
        return Err(Unfit::Digest);
    }
    if digest(now) != asked || now.budget != request.budget {
        return Err(Unfit::Changed);
    }
    match consent.duration {
        Some(duration) if duration > request.duration => {
            Err(Unfit::Longer(request.duration.as_secs()))
        }
        Some(duration) if duration < request.duration => Ok(Some(duration)),
        Some(_) | None => Ok(None),
    }
}

/// The same request as it would be under `entitlement` as that is now, `approval` having to agree.
#[must_use]
pub fn redefined(
    request: &GrantRequest,
    entitlement: &Entitlement,
    approval: Option<ApprovalRule>,
) -> GrantRequest {
    GrantRequest {
        operations: entitlement.operations.clone(),
        duration: request.duration.min(entitlement.max_ttl),
        budget: entitlement.budget(),
        proof: entitlement.proof,
        approval,
        ..request.clone()
    }
}
