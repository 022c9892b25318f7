//! What leads an agent on where a rule demands more than it has shown. Calls and requests for grants are told
//! the same, in the same shape.

use serde_json::{Map, Value, json};

use super::Asker;
use crate::config::Snapshot;
use crate::model::{DenyReason, Entitlement, EntitlementId, Holder, Proof};
use crate::pdp::Requirement;
use crate::wire::{Challenge, DPOP_ALGORITHMS};

/// The one type of authorization details (RFC 9396 §2).
pub const DETAILS_TYPE: &str = "portcullis_grant";

/// What an agent can do about a refusal.
#[derive(Clone, Debug, PartialEq)]
pub enum NextStep {
    /// Ask for a grant that people agree to as the rule wants: the requests to make, as JSON.
    Ask(Value),
    /// Come with a token that is bound to its holder in this way.
    Proof(Proof),
    /// Come with another token of the same issuer.
    StepUp(StepUp),
}

/// A token that tells of more factors (RFC 9470 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// The values of `acr` that do, with blanks between them.
    acr_values: String,
    /// Whether such tokens come bound to a DPoP key, as this one did.
    dpop: bool,
}

impl NextStep {
    /// The step as JSON, for who is told it in a body: the requests to make, the `proof` or the `acr_values`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Ask(requests) => requests.clone(),
            Self::Proof(proof) => json!({ "proof": proof.as_str() }),
            Self::StepUp(step_up) => step_up.to_json(),
        }
    }
}

impl StepUp {
    /// The step as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "acr_values": self.acr_values })
    }

    /// The challenge, `bearer` being how one begins where tokens are bound to no key.
    #[must_use]
    pub fn challenge(&self, bearer: Challenge, description: &str) -> Challenge {
        let challenge = if self.dpop {
            Challenge::dpop().with("algs", DPOP_ALGORITHMS)
        } else {
            bearer
        };
        challenge
            .with("error", "insufficient_user_authentication")
            .with("error_description", description)
            .with("acr_values", &self.acr_values)
    }
}

impl Asker<'_> {
    /// What leads to what a rule `demands`: a token that shows it, or a grant of one of these entitlements that
    /// people agree to as the rule wants. Where nothing does, nothing is said.
    #[must_use]
    pub fn next_step<'e>(
        &self,
        reason: DenyReason,
        demands: &[Requirement],
        entitlements: impl IntoIterator<Item = &'e EntitlementId>,
        control_url: &str,
    ) -> Option<NextStep> {
        match reason {
            DenyReason::MfaRequired if !self.acr.is_empty() => {
                return Some(NextStep::StepUp(StepUp {
                    acr_values: self.acr.join(" "),
                    dpop: matches!(self.holder, Some(Holder::DpopKey(_))),
                }));
            }
            DenyReason::ProofRequired => {
                let missing = demands.iter().find_map(|demand| match demand {
                    Requirement::Proof(proof) if *proof != self.proof() => Some(*proof),
                    Requirement::Approval(_) | Requirement::Mfa | Requirement::Proof(_) => None,
                });
                return missing.map(NextStep::Proof);
            }
            DenyReason::ApprovalRequired | DenyReason::MfaRequired => {}
            _ => return None,
        }
        let entitlement = self.narrowest_meeting(entitlements, demands)?;
        let task = self.task.map(|task| task.task().id.as_str());
        let requests = request_step(control_url, &entitlement.id, task, true);
        Some(NextStep::Ask(requests))
    }

    /// The first of those whose grant, once people have agreed to it, has all that is demanded: one grant has
    /// to, since what was agreed to of another does not count for it. How the token is bound is another matter.
    fn narrowest_meeting<'e>(
        &self,
        entitlements: impl IntoIterator<Item = &'e EntitlementId>,
        demands: &[Requirement],
    ) -> Option<&Entitlement> {
        let shown = self.factors() >= 2 || !self.acr.is_empty();
        entitlements.into_iter().find_map(|id| {
            let entitlement = self.snapshot.entitlement(id.as_str())?;
            let rule = self.may_ask(entitlement)??;
            let met = demands.iter().all(|demand| match demand {
                Requirement::Approval(group) => rule.group == *group,
                Requirement::Mfa => shown || rule.mfa,
                Requirement::Proof(_) => true,
            });
            met.then_some(&**entitlement)
        })
    }
}

/// The entitlements that cover all that this one does, the narrowest first.
pub(super) fn as_wide_as<'s>(
    snapshot: &'s Snapshot,
    entitlement: &Entitlement,
) -> impl Iterator<Item = &'s EntitlementId> {
    let one = entitlement.operations.first();
    let endpoint = one.and_then(|operation| snapshot.operation(operation.as_str()));
    let covering = endpoint.into_iter().flat_map(|endpoint| &endpoint.covering);
    covering.filter(move |id| {
        let other = snapshot.entitlement(id.as_str());
        other.is_some_and(|other| other.operations.is_superset(&entitlement.operations))
    })
}

/// The requests that lead to a grant of `entitlement`, in the order in which to make them.
#[must_use]
pub fn request_step(
    control_url: &str,
    entitlement: &EntitlementId,
    task: Option<&str>,
    approval: bool,
) -> Value {
    let mut details = Map::new();
    details.insert("type".to_owned(), DETAILS_TYPE.into());
    details.insert("entitlement".to_owned(), entitlement.as_str().into());
    let mut next = Map::new();
    let mut url = |name: &str, path: &str| {
        next.insert(name.to_owned(), format!("{control_url}{path}").into());
    };
    match task {
        Some(task) => {
            details.insert("task".to_owned(), task.into());
        }
        None => {
            url("task_url", "/v1/tasks");
            url("token_url", "/oauth/token");
        }
    }
    url("request_url", "/v1/requests");
    next.insert("authorization_details".to_owned(), json!([details]));
    next.insert("approval".to_owned(), approval.into());
    next.into()
}
