//! Steps that were decided before, decided once more from what their record says was asked: people's
//! agreements, renewals, and parts that are handed down. The judging is that of the steps themselves.

use std::sync::Arc;
use std::time::Duration;

use super::lifecycle::may_receive;
use super::requests::{denied, judge};
use super::{Asker, Explanation, People, Refused};
use crate::approvals::{ConsentFacts, Unfit, definition, redefined};
use crate::audit::{AskedAgreement, AskedCode, AskedExtent, AskedPart, AskedRenewal};
use crate::config::Snapshot;
use crate::grants::{Extent, Renewed};
use crate::model::{
    AgentId, Agreed, ApprovalRule, Budget, Circumstances, DenyReason, Entitlement, GrantId,
    GrantRequest, PersonId, Proof, RequestId, Right, Shared, TaskId,
};
use crate::pdp::Decision;

/// What a step that is decided once more comes to.
#[derive(Clone, Debug)]
pub enum Again {
    /// A person agrees, and others have to as well.
    Agreed,
    /// A person says no.
    Declined,
    /// The end of the grant can't be moved any further.
    NoLonger(Explanation),
    /// It is done, or refused.
    Told(Explanation),
    /// It turns on something that nobody looked at then.
    Unseen(&'static str),
}

impl Again {
    fn refused(code: DenyReason, detail: impl Into<String>) -> Self {
        Self::Told(Explanation::refused(code, detail))
    }
}

impl Asker<'_> {
    /// What would become of a person's decision about a request for `entitlement`.
    #[must_use]
    pub fn agree_again(
        &self,
        entitlement: &Entitlement,
        (request, person): (&RequestId, &PersonId),
        asked: &AskedAgreement,
    ) -> Again {
        let enrolled = self.snapshot.person(person.as_str()).map(Arc::clone);
        let built_in = || People::built_in(person).map(Arc::new);
        let Some(person) = enrolled.or_else(built_in) else {
            return Again::refused(DenyReason::TokenInvalid, "there is no such person");
        };
        let member = person.groups.contains(&asked.rule.group);
        if asked.declines {
            return if member || People::is_operator(&person) {
                Again::Declined
            } else {
                Again::refused(DenyReason::ApprovalRequired, "nobody asks this person")
            };
        }
        let judged = judge(self, entitlement);
        let approval = match &judged {
            Ok((_, approval)) => approval.clone(),
            // As when people are asked: silence of the rules changes nothing of who has to agree.
            Err(_) => {
                let own = || asked.rule.clone().into();
                Some(entitlement.approval.clone().unwrap_or_else(own))
            }
        };
        let behind = std::iter::once(&person.id).chain(&asked.hands);
        let agent = self.agent.agent.id.as_str();
        let facts = ConsentFacts {
            group: &asked.rule.group,
            member,
            party: party(self.snapshot, behind, agent, &asked.openers),
            again: asked.again,
            shown: asked.shown,
            changed: self.is_redefined(entitlement, approval, (request, asked)),
            asked: asked.duration,
            duration: asked.at_most,
        };
        if let Err(unfit) = facts.judge() {
            // Looked at once more at the last moment, a change counts as the rules' no.
            let code = match unfit {
                Unfit::Changed if asked.taken && asked.last => DenyReason::ConditionDenied,
                _ => DenyReason::ApprovalRequired,
            };
            return Again::refused(code, unfit.to_string());
        }
        match asked.code {
            AskedCode::Good => {}
            AskedCode::None if !asked.rule.mfa => {}
            AskedCode::None => {
                return Again::refused(DenyReason::MfaRequired, "a second factor is needed");
            }
            AskedCode::Refused(code) => return Again::refused(code, "the code is not good"),
            AskedCode::Unseen => return Again::Unseen("code_not_checked"),
        }
        match judged {
            _ if !asked.last => Again::Agreed,
            Ok((permit, _)) => Again::Told(Explanation {
                rules: permit.rules().to_vec(),
                ..Explanation::default()
            }),
            // However they say no, people's agreement is over.
            Err(refused) => Again::Told(Explanation {
                code: Some(DenyReason::ConditionDenied),
                ..explained(refused)
            }),
        }
    }

    /// Whether the definition would make another request of what was asked for.
    fn is_redefined(
        &self,
        entitlement: &Entitlement,
        approval: Option<Shared<ApprovalRule>>,
        (id, asked): (&RequestId, &AskedAgreement),
    ) -> bool {
        let Some(request) = self.as_asked(entitlement, id, asked) else {
            return true;
        };
        let now = redefined(&request, entitlement, approval);
        definition(&now) != asked.definition || now.right.budget.concurrent != asked.max_concurrent
    }

    /// The request, as far as its definition does not say what it is.
    fn as_asked(
        &self,
        entitlement: &Entitlement,
        id: &RequestId,
        asked: &AskedAgreement,
    ) -> Option<GrantRequest> {
        let task: TaskId = self.task?.task().id.clone();
        Some(GrantRequest {
            id: id.clone(),
            grant: GrantId::random(),
            agent: AgentId::clone(&self.agent.agent.id),
            task,
            right: Right {
                entitlement: entitlement.id.clone(),
                operations: entitlement.operations.clone(),
                budget: Budget::default(),
                proof: Proof::Bearer,
                approval: None,
            }
            .into(),
            input: Shared::default(),
            reason: None,
            duration: asked.duration,
            requested_at: self.wall,
            parent: None,
            asked: Circumstances::UNKNOWN.into(),
        })
    }

    /// What would become of a renewal of a grant of `entitlement`.
    #[must_use]
    pub fn renew_again(
        &self,
        entitlement: &Entitlement,
        approved_by: Agreed<'_>,
        asked: &AskedRenewal,
    ) -> Again {
        if !asked.held {
            return Again::refused(DenyReason::ProofRequired, "it is another key's");
        }
        let permit = match self.decide_request(entitlement, approved_by) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => return Again::Told(explained(denied(entitlement, denial))),
        };
        let told = Explanation {
            rules: permit.rules().to_vec(),
            ..Explanation::default()
        };
        // What was over then is over under any policies.
        let Some(AskedExtent { age, left, at_most }) = asked.extent else {
            return Again::Told(told);
        };
        let extent = Extent { age, left, at_most };
        let longest = entitlement
            .max_ttl
            .min(asked.agreed.unwrap_or(Duration::MAX));
        match extent.renewed(asked.duration, longest) {
            Renewed::NoLonger => Again::NoLonger(told),
            Renewed::Moved(_) | Renewed::Same => Again::Told(told),
        }
    }

    /// What would become of a part of a grant of `entitlement` that is handed down to whoever asks.
    #[must_use]
    pub fn receive_again(
        &self,
        entitlement: &Entitlement,
        approved_by: Agreed<'_>,
        asked: AskedPart,
    ) -> Again {
        if !asked.held {
            return Again::refused(DenyReason::ProofRequired, "it is another key's");
        }
        Again::Told(
            match may_receive(self, entitlement, approved_by, asked.own) {
                Ok(rules) => Explanation {
                    rules,
                    ..Explanation::default()
                },
                Err(refused) => explained(refused),
            },
        )
    }
}

/// Who of those `behind` a key asked for this or opened its task, alone or through an agent.
pub(super) fn party<'w>(
    snapshot: &Snapshot,
    mut behind: impl Iterator<Item = &'w PersonId>,
    agent: &str,
    openers: &[Arc<str>],
) -> Option<&'w PersonId> {
    behind.find(|person| {
        let owns = |agent: &str| {
            let agent = snapshot.agent(agent);
            agent.is_some_and(|one| snapshot.owns(person.as_str(), &one.agent))
        };
        owns(agent)
            || openers
                .iter()
                .any(|opener| **opener == *person.as_str() || owns(opener))
    })
}

/// A refusal, as it is told.
pub(super) fn explained(refused: Refused) -> Explanation {
    match refused {
        Refused::No {
            reason,
            detail,
            rules,
            ..
        } => Explanation {
            rules,
            ..Explanation::refused(reason, detail)
        },
        // Nothing is kept or recorded where something is only supposed.
        Refused::Malformed(why) | Refused::Unrecorded(why) => {
            Explanation::refused(DenyReason::RequestMalformed, why)
        }
        Refused::NotKept(error) => {
            Explanation::refused(DenyReason::RequestMalformed, error.to_string())
        }
    }
}
