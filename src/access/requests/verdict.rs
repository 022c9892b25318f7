//! What the rules and the entitlement say to a request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::access::next_step::as_wide_as;
use crate::access::{Asker, NextStep};
use crate::grants::GrantsError;
use crate::model::{Agreed, ApprovalRule, DenyReason, Entitlement, Shared};
use crate::pdp::{Decision, Denial, Permit, Requirement};

/// How long people may take where a rule, and not the entitlement, wants them asked.
const RULE_EXPIRES: Duration = Duration::from_mins(30);

/// Why a request did not become a grant.
#[derive(Debug)]
pub enum Refused {
    /// The request is malformed; nothing was decided.
    Malformed(String),
    /// The rules, or the entitlement, say no.
    No {
        /// Why.
        reason: DenyReason,
        /// What the agent is told.
        detail: String,
        /// The deciding rules.
        rules: Vec<Arc<str>>,
        /// All that the rule demands that would permit it, also what is met.
        demands: Vec<Requirement>,
        /// What would change the answer.
        next: Option<Box<NextStep>>,
    },
    /// The grants can't take it.
    NotKept(GrantsError),
    /// The decision can't be recorded, so none was made.
    Unrecorded(String),
}

impl Refused {
    /// Why the rules, or the entitlement, say no; none where it was not they.
    pub(in crate::access) const fn reason(&self) -> Option<DenyReason> {
        match self {
            Self::No { reason, .. } => Some(*reason),
            Self::Malformed(_) | Self::NotKept(_) | Self::Unrecorded(_) => None,
        }
    }

    /// A no by none of the rules.
    pub(in crate::access) const fn no(reason: DenyReason, detail: String) -> Self {
        Self::No {
            reason,
            detail,
            rules: Vec::new(),
            demands: Vec::new(),
            next: None,
        }
    }

    /// Tells whoever asks for `entitlement` what leads to what a rule demands.
    pub(in crate::access) fn advised(
        mut self,
        asker: &Asker<'_>,
        entitlement: &Entitlement,
        control_url: &str,
    ) -> Self {
        if let Self::No {
            reason,
            demands,
            next,
            ..
        } = &mut self
        {
            let wide = as_wide_as(asker.snapshot, entitlement);
            let step = asker.next_step(*reason, demands, wide, control_url);
            *next = step.map(Box::new);
        }
        self
    }
}

/// Whether the agent may have the entitlement, and who has to agree first: because the entitlement says
/// so, or a rule. What people could not bring into force either is refused before they are asked.
pub(in crate::access) fn judge(
    asker: &Asker<'_>,
    entitlement: &Entitlement,
) -> Result<(Permit, Option<Shared<ApprovalRule>>), Refused> {
    let decide = |agreed: Agreed<'_>| asker.decide_request(entitlement, agreed);
    who_agrees(entitlement, decide).map_err(|denial| denied(entitlement, denial))
}

/// The same, `decide` telling what the rules say once people have agreed in a way.
pub(in crate::access) fn who_agrees(
    entitlement: &Entitlement,
    decide: impl Fn(Agreed<'_>) -> Decision,
) -> Result<(Permit, Option<Shared<ApprovalRule>>), Denial> {
    let own = entitlement.approval.as_ref();
    let denial = match decide(own_agreement(entitlement)) {
        Decision::Allow(permit) => return Ok((permit, own.cloned())),
        Decision::Deny(denial) => denial,
    };
    let demanded = denial.demands.iter().find_map(|demand| match demand {
        Requirement::Approval(group) => Some(group),
        Requirement::Mfa | Requirement::Proof(_) => None,
    });
    let (Some(group), None) = (demanded, own) else {
        return Err(denial);
    };
    // A second factor is asked of people only where that makes the difference.
    let agree = |mfa| {
        decide(Agreed {
            groups: std::slice::from_ref(group),
            mfa,
        })
    };
    let (decision, mfa) = match agree(false) {
        Decision::Deny(denial) if denial.requires == Some(Requirement::Mfa) => (agree(true), true),
        decision => (decision, false),
    };
    let rule = ApprovalRule {
        group: group.clone(),
        quorum: 1,
        mfa,
        expires: RULE_EXPIRES,
    };
    match decision {
        Decision::Allow(permit) => Ok((permit, Some(rule.into()))),
        Decision::Deny(denial) => Err(denial),
    }
}

/// How people will have agreed where the entitlement says who is asked.
pub(in crate::access) fn own_agreement(entitlement: &Entitlement) -> Agreed<'_> {
    let rule = entitlement.approval.as_ref();
    rule.map_or_else(Agreed::default, |rule| Agreed {
        groups: std::slice::from_ref(&rule.group),
        mfa: rule.mfa,
    })
}

pub(in crate::access) fn unrecorded(unavailable: impl fmt::Display) -> Refused {
    Refused::Unrecorded(unavailable.to_string())
}

pub(in crate::access) fn no_rule(entitlement: &str) -> Refused {
    let detail = format!("no rule lets this agent ask for `{entitlement}` now");
    Refused::no(DenyReason::ConditionDenied, detail)
}

pub(in crate::access) fn denied(entitlement: &Entitlement, denial: Denial) -> Refused {
    let Refused::No { detail: silent, .. } = no_rule(entitlement.id.as_str()) else {
        return no_rule(entitlement.id.as_str());
    };
    let demanded = denial
        .requires
        .as_ref()
        .map(|requirement| match requirement {
            Requirement::Approval(group) => format!("a person of `{group}` has to approve this"),
            Requirement::Mfa => "a second factor is needed".to_owned(),
            Requirement::Proof(proof) => format!("a token bound by {} is needed", proof.as_str()),
        });
    let forbidden = denial.error.is_none() && !denial.rules.is_empty();
    let silent = if forbidden {
        let id = &entitlement.id;
        format!("a rule forbids this agent to ask for `{id}` now")
    } else {
        silent
    };
    let said = denial.message.map(|message| message.to_string());
    Refused::No {
        reason: denial.reason,
        detail: said.or(demanded).unwrap_or(silent),
        rules: denial.rules,
        demands: denial.demands,
        next: None,
    }
}
