//! By what right: a baseline operation, or a live grant that covers the call. That there is no third
//! way is code, not policy.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use smallvec::SmallVec;

use super::gate::Facts;
use super::refusal::Refusal;
use crate::access::Asker;
use crate::audit::Written;
use crate::config::Endpoint;
use crate::grants::LiveGrant;
use crate::model::{Agreed, DenyReason, Entitlement, EntitlementId, Holder};
use crate::pdp::Requirement;

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

    /// Tells an agent of which a rule demands more what leads to it: a grant that people agree to as the rule
    /// wants, or another token of an issuer that can tell of more factors. Where nothing does, nothing is said.
    pub(super) fn advise(
        &self,
        refusal: Refusal,
        asker: &Asker<'_>,
        endpoint: &Endpoint,
    ) -> Refusal {
        match refusal.reason() {
            DenyReason::MfaRequired if !asker.acr.is_empty() => {
                let bound = matches!(asker.holder, Some(Holder::DpopKey(_)));
                return refusal.for_step_up(&asker.acr.join(" "), bound);
            }
            DenyReason::ApprovalRequired | DenyReason::MfaRequired => {}
            _ => return refusal,
        }
        let Some(entitlement) = narrowest_meeting(asker, endpoint, refusal.demanded()) else {
            return refusal;
        };
        let task = asker.task.map(|task| task.task().id.as_str());
        refusal.with_next(self.request_step(&entitlement.id, task, true))
    }

    /// What an agent without a grant can do about it.
    fn next_step(&self, asker: &Asker<'_>, endpoint: &Endpoint) -> Refusal {
        let Some((entitlement, approval)) = narrowest(asker, endpoint) else {
            let detail = "nothing that this agent may ask for covers this operation";
            return Refusal::new(DenyReason::NotEntitled, detail);
        };
        let task = asker.task;
        let next = self.request_step(
            &entitlement.id,
            task.map(|t| t.task().id.as_str()),
            approval,
        );
        let detail = if task.is_some() {
            format!("request the entitlement `{}` for your task", entitlement.id)
        } else {
            let id = &entitlement.id;
            format!("open a task, get a token for it and request the entitlement `{id}`")
        };
        Refusal::new(DenyReason::GrantRequired, detail)
            .with_scope(entitlement.id.as_str())
            .with_next(next)
    }

    /// The requests that lead to a grant of `entitlement`, in the order in which to make them.
    fn request_step(
        &self,
        entitlement: &EntitlementId,
        task: Option<&str>,
        approval: bool,
    ) -> Value {
        let control = &self.control_url;
        let mut details = Map::new();
        details.insert("type".to_owned(), "portcullis_grant".into());
        details.insert("entitlement".to_owned(), entitlement.as_str().into());
        let mut next = Map::new();
        match task {
            Some(task) => {
                details.insert("task".to_owned(), task.into());
            }
            None => {
                next.insert("task_url".to_owned(), format!("{control}/v1/tasks").into());
                next.insert(
                    "token_url".to_owned(),
                    format!("{control}/oauth/token").into(),
                );
            }
        }
        let request_url = format!("{control}/v1/requests");
        next.insert("request_url".to_owned(), request_url.into());
        next.insert("authorization_details".to_owned(), json!([details]));
        next.insert("approval".to_owned(), approval.into());
        next.into()
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

/// The narrowest of those whose grant, once people have agreed to it, has all that is demanded: one grant has
/// to, since what was agreed to of another does not count for it. How the token is bound is another matter.
fn narrowest_meeting<'s>(
    asker: &Asker<'s>,
    endpoint: &Endpoint,
    demands: &[Requirement],
) -> Option<&'s Entitlement> {
    let shown = asker.factors() >= 2 || !asker.acr.is_empty();
    endpoint.covering.iter().find_map(|id| {
        let entitlement = asker.snapshot.entitlement(id.as_str())?;
        let rule = asker.may_ask(entitlement)??;
        let met = demands.iter().all(|demand| match demand {
            Requirement::Approval(group) => rule.group == *group,
            Requirement::Mfa => shown || rule.mfa,
            Requirement::Proof(_) => true,
        });
        met.then_some(&**entitlement)
    })
}
