//! By what right: a baseline operation, or a live grant that covers the call. That there is no third
//! way is code, not policy.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::gate::Facts;
use super::refusal::Refusal;
use crate::access::{Asker, NextStep, request_step};
use crate::audit::Written;
use crate::base::BootInstant;
use crate::config::Endpoint;
use crate::grants::LiveGrant;
use crate::model::{Agreed, DenyReason, Entitlement};

/// The right that a call is made by.
#[derive(Debug)]
pub(super) enum Right {
    /// The operation needs no grant.
    Baseline,
    /// Live grants cover the call.
    Grants(Covering),
}

/// The live grants of a task that cover a call, the earliest deadline first; there is one. A task has up to 64 and
/// most calls are made under the first: those behind it are not looked at before they are asked for.
#[derive(Debug)]
pub(super) struct Covering {
    grants: Arc<Vec<Arc<LiveGrant>>>,
    first: usize,
}

impl Covering {
    fn of(grants: Arc<Vec<Arc<LiveGrant>>>, endpoint: &Endpoint, now: BootInstant) -> Option<Self> {
        let first = grants
            .iter()
            .position(|grant| covers(grant, endpoint, now))?;
        Some(Self { grants, first })
    }

    /// One after the other, for the same `endpoint`.
    pub(super) fn iter<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        now: BootInstant,
    ) -> impl Iterator<Item = &'a Arc<LiveGrant>> {
        let from_first = self.grants.iter().skip(self.first).enumerate();
        from_first
            .filter(move |(place, grant)| *place == 0 || covers(grant, endpoint, now))
            .map(|(_, grant)| grant)
    }
}

fn covers(grant: &LiveGrant, endpoint: &Endpoint, now: BootInstant) -> bool {
    let right = &grant.request().right;
    grant.ended(now).is_none()
        && right.operations.contains(&endpoint.operation.id)
        && endpoint.covering.contains(&right.entitlement)
}

impl Facts {
    /// The right to call `endpoint`, or the next step towards one.
    pub(super) fn right(&self, asker: &Asker<'_>, endpoint: &Endpoint) -> Result<Right, Refusal> {
        if endpoint.operation.baseline {
            return Ok(Right::Baseline);
        }
        let task = asker.task;
        let grants = task.map(|task| task.grants()).unwrap_or_default();
        let Some(covering) = Covering::of(grants, endpoint, asker.now) else {
            let refusal = self.next_step(asker, endpoint);
            let asked = endpoint.covering.first();
            let asked =
                asked.and_then(|id| asker.asked(id, Agreed::default(), Some(refusal.reason())));
            return Err(refusal.with_asked(asked.as_deref().map(Written::from)));
        };
        Ok(Right::Grants(covering))
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
