//! By what right: a baseline operation, or a live grant that covers the call. That there is no third
//! way is code, not policy.

use std::sync::Arc;

use smallvec::SmallVec;

use super::gate::Facts;
use super::refusal::Refusal;
use crate::access::{Asker, NextStep, request_step};
use crate::audit::Written;
use crate::config::Endpoint;
use crate::grants::LiveGrant;
use crate::model::{Agreed, DenyReason, Entitlement};

/// The right that a call is made by.
#[derive(Debug)]
pub(super) enum Right {
    /// The operation needs no grant.
    Baseline,
    /// Live grants that cover the call, the earliest deadline first; never empty.
    Grants(SmallVec<[Arc<LiveGrant>; 2]>),
}

impl Facts {
    /// The right to call `endpoint`, or the next step towards one.
    pub(super) fn right(&self, asker: &Asker<'_>, endpoint: &Endpoint) -> Result<Right, Refusal> {
        if endpoint.operation.baseline {
            return Ok(Right::Baseline);
        }
        let task = asker.task;
        let grants = task.map(|task| task.grants()).unwrap_or_default();
        let covers = |grant: &&Arc<LiveGrant>| {
            let request = grant.request();
            grant.ended(asker.now).is_none()
                && request.right.operations.contains(&endpoint.operation.id)
                && endpoint.covering.contains(&request.right.entitlement)
        };
        let grants: SmallVec<_> = grants.iter().filter(covers).cloned().collect();
        if grants.is_empty() {
            let refusal = self.next_step(asker, endpoint);
            let asked = endpoint.covering.first();
            let asked =
                asked.and_then(|id| asker.asked(id, Agreed::default(), Some(refusal.reason())));
            return Err(refusal.with_asked(asked.as_deref().map(Written::from)));
        }
        Ok(Right::Grants(grants))
    }

    /// Tells an agent of which a rule demands more what leads to it, and one whose grant has ended meanwhile what
    /// leads to another. Where nothing does, nothing is said; how to show what a token is bound to is said by the
    /// refusal's challenge.
    pub(super) fn advise(
        &self,
        refusal: Refusal,
        asker: &Asker<'_>,
        endpoint: &Endpoint,
    ) -> Refusal {
        let (reason, control) = (refusal.reason(), &self.control_url);
        if reason == DenyReason::GrantRequired {
            return match narrowest(asker, endpoint) {
                Some(found) => self.with_request(refusal, asker, found),
                None => refusal,
            };
        }
        let step = asker.next_step(reason, refusal.demanded(), &endpoint.covering, control);
        match step {
            Some(NextStep::Ask(requests)) => refusal.with_next(requests),
            Some(NextStep::StepUp(step_up)) => refusal.for_step_up(step_up),
            Some(NextStep::Proof(_)) | None => refusal,
        }
    }

    /// What an agent without a grant can do about it.
    fn next_step(&self, asker: &Asker<'_>, endpoint: &Endpoint) -> Refusal {
        let Some(found) = narrowest(asker, endpoint) else {
            let detail = "nothing that this agent may ask for covers this operation";
            return Refusal::new(DenyReason::NotEntitled, detail);
        };
        let id = &found.0.id;
        let detail = if asker.task.is_some() {
            format!("request the entitlement `{id}` for your task")
        } else {
            format!("open a task, get a token for it and request the entitlement `{id}`")
        };
        let refusal = Refusal::new(DenyReason::GrantRequired, detail);
        self.with_request(refusal, asker, found)
    }

    /// The refusal with the requests that lead to a grant of an entitlement.
    fn with_request(
        &self,
        refusal: Refusal,
        asker: &Asker<'_>,
        (entitlement, approval): (&Entitlement, bool),
    ) -> Refusal {
        let task = asker.task.map(|task| task.task().id.as_str());
        let next = request_step(&self.control_url, &entitlement.id, task, approval);
        refusal.with_scope(entitlement.id.as_str()).with_next(next)
    }
}

/// The narrowest entitlement that covers the operation and that the agent may ask for now, and whether
/// a person has to approve it.
fn narrowest<'s>(asker: &Asker<'s>, endpoint: &Endpoint) -> Option<(&'s Entitlement, bool)> {
    endpoint.covering.iter().find_map(|id| {
        let entitlement = asker.snapshot.entitlement(id.as_str())?;
        let approval = asker.may_ask(entitlement)?;
        Some((&**entitlement, approval.is_some()))
    })
}
