//! Whose agreement counts.

#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

use super::digest;
use crate::base::Digest;
use crate::model::{
    Approval, ApprovalRule, Entitlement, GrantRequest, GroupName, PersonId, Right, Shared,
};

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

/// All that is known of one person's agreement when it is judged: the same wherever that is, at the moment
/// or from a record of it.
#[derive(Clone, Copy, Debug)]
pub struct ConsentFacts<'a> {
    /// The group that has to agree.
    pub group: &'a GroupName,
    /// Whether the person is in it.
    pub member: bool,
    /// Whose request it is, where that is the person's own.
    pub party: Option<&'a PersonId>,
    /// Whether the person has agreed before.
    pub again: bool,
    /// Whether what the person was shown is this request.
    pub shown: bool,
    /// Whether the live definition would make another request of it.
    pub changed: bool,
    /// The life that was asked for.
    pub asked: Duration,
    /// The life that the person agrees to; the one asked for where absent.
    pub duration: Option<Duration>,
}

impl ConsentFacts<'_> {
    /// Whether it counts; gives the longest life agreed to, where that is shorter than asked.
    ///
    /// # Errors
    ///
    /// See [`Unfit`].
    pub fn judge(&self) -> Result<Option<Duration>, Unfit> {
        if !self.member {
            return Err(Unfit::NotAsked(self.group.clone()));
        }
        if let Some(party) = self.party {
            return Err(Unfit::Own(party.clone()));
        }
        if self.again {
            return Err(Unfit::Again);
        }
        if !self.shown {
            return Err(Unfit::Digest);
        }
        if self.changed {
            return Err(Unfit::Changed);
        }
        match self.duration {
            Some(duration) if duration > self.asked => Err(Unfit::Longer(self.asked.as_secs())),
            Some(duration) if duration < self.asked => Ok(Some(duration)),
            Some(_) | None => Ok(None),
        }
    }
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
    let asked = digest(request);
    let facts = ConsentFacts {
        group: &rule.group,
        member: consent.member,
        party: consent.party,
        again: approvals.iter().any(|one| one.person == *consent.person),
        shown: consent.digest == Some(asked),
        changed: digest(now) != asked || now.right.budget != request.right.budget,
        asked: request.duration,
        duration: consent.duration,
    };
    facts.judge()
}

/// The same request as it would be under `entitlement` as that is now, `approval` having to agree.
#[must_use]
pub fn redefined(
    request: &GrantRequest,
    entitlement: &Entitlement,
    approval: Option<Shared<ApprovalRule>>,
) -> GrantRequest {
    GrantRequest {
        right: Right {
            approval,
            ..entitlement.right()
        }
        .into(),
        duration: request.duration.min(entitlement.max_ttl),
        ..request.clone()
    }
}
