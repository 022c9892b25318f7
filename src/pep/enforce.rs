//! The decision: of the grants that cover a call, the first that the rules permit and that has budget
//! left is used. Nothing is awaited here, so that no other call comes between deciding and reserving.

use std::sync::Arc;

use super::canonical::Canonical;
use super::recheck::Standing;
use super::refusal::Refusal;
use super::right::Right;
use crate::access::{Asker, whole};
use crate::config::Endpoint;
use crate::grants::{Closed, Exchange, LiveGrant, LiveTask};
use crate::model::{
    Ask, DenyReason, EndReason, GrantFacts, History, Holder, HttpFacts, Inputs, Proof,
};
use crate::pdp::{Decision, Denial, Depends, Permit, Requirement};

/// Proof that a call may pass. Only [`enforce`] makes one; its budget is reserved.
#[derive(Debug)]
pub(super) struct Permitted {
    exchange: Option<Exchange>,
    permit: Permit,
    inputs: Inputs,
}

impl Permitted {
    pub(super) fn rules(&self) -> &[Arc<str>] {
        self.permit.rules()
    }

    /// What the answer depends on that can change while the exchange runs.
    pub(super) const fn depends(&self) -> Depends {
        self.permit.depends()
    }

    /// The grant that the exchange runs under.
    pub(super) fn grant(&self) -> Option<&Arc<LiveGrant>> {
        self.exchange.as_ref().map(Exchange::grant)
    }

    pub(super) fn into_parts(self) -> (Option<Exchange>, Inputs) {
        (self.exchange, self.inputs)
    }
}

/// One call, described.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) canonical: &'a Canonical,
    pub(super) inputs: Inputs,
}

/// Decides, and reserves the call's place in budget and history.
pub(super) fn enforce(
    asker: &Asker<'_>,
    right: Right,
    call: Call<'_>,
) -> Result<Permitted, Refusal> {
    // Held until the call is counted, so that parallel calls can't both take the last place.
    let mut ledger = asker.task.map(|task| task.ledger());
    let none = History::new();
    let passed = {
        let history = match &mut ledger {
            Some(ledger) => ledger.history(asker.now),
            None => &none,
        };
        match right {
            Right::Baseline => decide(asker, &call, None, history).map(|permit| (None, permit)),
            Right::Grants(grants) => first_that_permits(asker, &call, &grants, history),
        }
    };
    let (exchange, permit) = passed?;
    if let Some(ledger) = &mut ledger {
        let operation = &call.endpoint.operation.id;
        ledger.reserve(operation, &call.inputs, asker.now);
    }
    Ok(Permitted {
        exchange,
        permit,
        inputs: call.inputs,
    })
}

type Passed = (Option<Exchange>, Permit);

fn first_that_permits(
    asker: &Asker<'_>,
    call: &Call<'_>,
    grants: &[Arc<LiveGrant>],
    history: &History,
) -> Result<Passed, Refusal> {
    let mut denied = None;
    let mut exhausted = None;
    for grant in grants {
        let permit = match permits(asker, call, grant, history) {
            Ok(permit) => permit,
            Err(refusal) => {
                denied.get_or_insert(refusal);
                continue;
            }
        };
        match grant.enter(asker.now) {
            Ok(exchange) => return Ok((Some(exchange), permit)),
            Err(closed) => {
                exhausted.get_or_insert(closed);
            }
        }
    }
    // A grant that the rules permit and that is only used up says more than one that they don't.
    Err(match (exhausted, denied) {
        (Some(closed), _) => refuse_closed(closed),
        (None, Some(refusal)) => refusal,
        (None, None) => refuse_closed(Closed::Ended(EndReason::Expired)),
    })
}

fn permits(
    asker: &Asker<'_>,
    call: &Call<'_>,
    grant: &LiveGrant,
    history: &History,
) -> Result<Permit, Refusal> {
    let request = grant.request();
    let differs = request
        .input
        .iter()
        .find(|(name, value)| call.inputs.get(*name).is_some_and(|given| given != *value));
    if let Some((name, _)) = differs {
        let detail = format!("the grant is for another `{name}`: request one for this");
        return Err(Refusal::new(DenyReason::ConditionDenied, detail));
    }
    check_proof(asker, request.proof)?;
    if let Some(holder) = request.asked.holder {
        check_holder(asker, holder)?;
    }
    decide(asker, call, Some(grant), history)
}

/// The entitlement's `proof` has to be met by how the token is bound; that the binding holds was
/// checked with the token.
fn check_proof(asker: &Asker<'_>, wanted: Proof) -> Result<(), Refusal> {
    let shown = asker.proof();
    let missing = |detail: &str| Refusal::new(DenyReason::ProofRequired, detail);
    match wanted {
        Proof::Bearer => Ok(()),
        wanted if wanted == shown => Ok(()),
        Proof::Dpop => Err(missing("the grant needs a token bound to a DPoP key")),
        Proof::Mtls => {
            Err(missing("the grant needs a token bound to a client certificate").for_certificate())
        }
    }
}

/// A grant that was asked for with a bound token is for the holder of the same key or certificate, so
/// that another token of the same agent, wherever it was stolen, does not reach it.
fn check_holder(asker: &Asker<'_>, holder: Holder) -> Result<(), Refusal> {
    if asker.holder == Some(holder) {
        return Ok(());
    }
    let detail =
        "the grant was asked for with a token that is bound to another key: use such a one";
    let refusal = Refusal::new(DenyReason::ProofRequired, detail);
    Err(match holder {
        Holder::Certificate(_) => refusal.for_certificate(),
        Holder::DpopKey(_) => refusal,
    })
}

fn decide(
    asker: &Asker<'_>,
    call: &Call<'_>,
    grant: Option<&LiveGrant>,
    history: &History,
) -> Result<Permit, Refusal> {
    let Call {
        endpoint,
        canonical,
        inputs,
    } = call;
    match ask(asker, endpoint, canonical, inputs, grant, history) {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(denial) => Err(refuse_denial(denial)),
    }
}

/// Whether what `standing` was permitted as is still permitted. A baseline operation that no longer is
/// one needs a grant, and has none.
pub(super) fn still_permits(
    asker: &Asker<'_>,
    endpoint: &Endpoint,
    standing: &Standing,
) -> Option<Permit> {
    let covered = match &standing.grant {
        Some(grant) => endpoint.covering.contains(&grant.request().entitlement),
        None => endpoint.operation.baseline,
    };
    let Standing {
        canonical, inputs, ..
    } = standing;
    if !covered {
        return None;
    }
    // It must not fail a condition for having been made.
    let without = |task: &Arc<LiveTask>| {
        let mut ledger = task.ledger();
        ledger.history_without(&standing.operation, inputs, asker.now)
    };
    let history = asker.task.map(without).unwrap_or_default();
    let grant = standing.grant.as_deref();
    match ask(asker, endpoint, canonical, inputs, grant, &history) {
        Decision::Allow(permit) => Some(permit),
        Decision::Deny(_) => None,
    }
}

fn ask(
    asker: &Asker<'_>,
    endpoint: &Endpoint,
    canonical: &Canonical,
    input: &Inputs,
    grant: Option<&LiveGrant>,
    history: &History,
) -> Decision {
    let facts = grant.map(|grant| GrantFacts {
        id: &grant.request().grant,
        entitlement: &grant.request().entitlement,
        age_seconds: whole(asker.now.saturating_since(grant.starts()).as_secs()),
        calls_left: grant.calls_left().map(whole),
        bytes_left: grant.bytes_left().map(whole),
        approved_by: grant.approved_by(),
    });
    let call = Ask::Call {
        operation: &endpoint.operation.id,
        grant: facts,
        http: HttpFacts {
            method: canonical.method().as_str(),
            host: canonical.host(),
            path: canonical.path(),
            content_length: canonical.content_length().map(whole),
        },
        input,
        history,
    };
    let question = asker.question(call, &endpoint.service.service.time_zone);
    asker.snapshot.policies().decide(&question)
}

fn refuse_denial(denial: Denial) -> Refusal {
    let said = denial.message.as_deref();
    let detail = match (&denial.requires, said) {
        (_, Some(message)) => message.to_owned(),
        (Some(Requirement::Approval(group)), None) => {
            format!("a person of the group `{group}` has to approve this")
        }
        (Some(Requirement::Mfa), None) => "a second factor is needed".to_owned(),
        (Some(Requirement::Proof(proof)), None) => {
            format!("a token bound by {} is needed", proof.as_str())
        }
        (None, None) => "no rule permits this call now".to_owned(),
    };
    let mut refusal = Refusal::new(denial.reason, detail).with_rules(&denial.rules);
    if let Some(Requirement::Proof(Proof::Mtls)) = denial.requires {
        refusal = refusal.for_certificate();
    }
    match denial.error {
        Some(error) => refusal.with_internal(error),
        None => refusal,
    }
}

/// The refusal of a call whose grant can't take it.
pub(super) fn refuse_closed(closed: Closed) -> Refusal {
    match closed {
        Closed::Busy => Refusal::new(
            DenyReason::BudgetExhausted,
            "as many calls of this grant run as may run at once: wait for one to end",
        ),
        Closed::Ended(reason) => refuse_ended(reason),
        Closed::Exhausted => Refusal::new(
            DenyReason::BudgetExhausted,
            "the grant's calls or bytes are used up: request another",
        ),
        Closed::Suspended => Refusal::new(
            DenyReason::ConditionDenied,
            "the grant is suspended: a condition it was given under no longer holds",
        ),
    }
}

/// The refusal of a call that new rules, or what they read, overtook before the answer began: its grant
/// still stands.
pub(super) fn refuse_withdrawn(reason: EndReason) -> Refusal {
    let detail = if reason == EndReason::PolicyChanged {
        "the rules changed while the call ran, and do not permit it any more"
    } else {
        "a condition that the call was permitted under turned false while it ran"
    };
    Refusal::new(DenyReason::ConditionDenied, detail)
}

/// The refusal of a call whose grant or task ended before the answer began.
pub(super) fn refuse_ended(reason: EndReason) -> Refusal {
    let detail = format!("what the call ran under has ended ({reason})");
    match reason {
        EndReason::Exhausted => Refusal::new(
            DenyReason::BudgetExhausted,
            "the grant's bytes were used up while the call ran",
        ),
        EndReason::AgentRevoked => Refusal::new(DenyReason::TokenInvalid, "the agent is revoked"),
        EndReason::Cancelled
        | EndReason::Completed
        | EndReason::Failed
        | EndReason::LeaseLapsed
        | EndReason::ParentEnded
        | EndReason::TaskMaxAge => Refusal::new(DenyReason::TaskEnded, detail),
        EndReason::ConditionChanged
        | EndReason::Declined
        | EndReason::Expired
        | EndReason::PolicyChanged
        | EndReason::Revoked
        | EndReason::Withdrawn => Refusal::new(DenyReason::GrantRequired, detail),
    }
}
