//! The decision: of the grants that cover a call, the first that the rules permit and that has budget
//! left is used. Nothing is awaited here, so that no other call comes between deciding and reserving.

use std::sync::Arc;

use super::canonical::Canonical;
use super::recheck::Standing;
use super::refusal::Refusal;
use super::right::{Covering, Right};
use crate::access::{Asker, whole};
use crate::audit::Written;
use crate::config::Endpoint;
use crate::grants::{Closed, Exchange, Ledger, LiveGrant, LiveTask, Reserved};
use crate::model::{
    Ask, DenyReason, EndReason, GrantFacts, History, Holder, HttpFacts, Inputs, Proof, Question,
};
use crate::pdp::{Decision, Denial, Depends, Kept, Permit, Requirement};

/// Proof that a call may pass. Only [`enforce`] makes one; its budget is reserved.
#[derive(Debug)]
pub(super) struct Permitted {
    exchange: Option<Exchange>,
    permit: Permit,
    asked: Option<Written>,
    inputs: Inputs,
    reserved: Option<Reserved>,
}

impl Permitted {
    pub(super) fn rules(&self) -> &[Arc<str>] {
        self.permit.rules()
    }

    /// What the answer depends on that can change while the exchange runs.
    pub(super) const fn depends(&self) -> Depends {
        self.permit.depends()
    }

    /// What the rules were asked.
    pub(super) fn take_asked(&mut self) -> Option<Written> {
        self.asked.take()
    }

    /// The grant that the exchange runs under.
    pub(super) fn grant(&self) -> Option<&Arc<LiveGrant>> {
        self.exchange.as_ref().map(Exchange::grant)
    }

    /// The call's place in the task's history; none without a task.
    pub(super) const fn reserved(&self) -> Option<Reserved> {
        self.reserved
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

/// How a decision is come to: for a call that passes if it may, or for one that is only supposed.
pub(super) trait Deciding {
    /// What stands for a place in a grant's budget.
    type Place;

    /// Puts a question to the rules.
    fn ask(&mut self, asker: &Asker<'_>, question: &Question<'_>, kept: &Kept) -> Decision;

    /// Takes a place in a grant's budget, or says why there is none.
    fn enter(&mut self, asker: &Asker<'_>, grant: &Arc<LiveGrant>) -> Result<Self::Place, Closed>;

    /// What was last asked, for the record.
    fn asked(&mut self) -> Option<Written>;
}

/// Decides on calls that pass.
#[derive(Debug, Default)]
struct Serving {
    asked: Option<Written>,
}

impl Deciding for Serving {
    type Place = Exchange;

    fn ask(&mut self, asker: &Asker<'_>, question: &Question<'_>, kept: &Kept) -> Decision {
        let decision = asker.snapshot.policies().decide_kept(question, kept);
        let ruled = match &decision {
            Decision::Allow(_) => None,
            Decision::Deny(denial) => Some(denial.reason),
        };
        self.asked = Written::of(question, ruled);
        decision
    }

    fn enter(&mut self, asker: &Asker<'_>, grant: &Arc<LiveGrant>) -> Result<Exchange, Closed> {
        grant.enter(asker.now)
    }

    fn asked(&mut self) -> Option<Written> {
        self.asked.take()
    }
}

/// Decides, and reserves the call's place in budget and history.
pub(super) fn enforce(
    asker: &Asker<'_>,
    right: &Right,
    call: Call<'_>,
) -> Result<Permitted, Refusal> {
    let mut serving = Serving::default();
    // Held until the call is counted, so that parallel calls can't both take the last place.
    let mut ledger = asker.task.map(|task| task.ledger());
    let (exchange, permit) = weigh(&mut serving, asker, right, &call, ledger.as_deref_mut())?;
    let operation = &call.endpoint.operation.id;
    let reserve = |ledger: &mut Ledger| ledger.reserve(operation, &call.inputs, asker.now);
    let reserved = ledger.as_deref_mut().map(reserve);
    Ok(Permitted {
        exchange,
        permit,
        asked: serving.asked(),
        inputs: call.inputs,
        reserved,
    })
}

/// A place under a grant, where there is one, and the rules' permit.
type Weighed<P> = (Option<P>, Permit);

/// Decides, in the one way that there is.
pub(super) fn weigh<D: Deciding>(
    deciding: &mut D,
    asker: &Asker<'_>,
    right: &Right,
    call: &Call<'_>,
    ledger: Option<&mut Ledger>,
) -> Result<Weighed<D::Place>, Refusal> {
    let none = History::new();
    let history = match ledger {
        Some(ledger) => ledger.history(asker.now),
        None => &none,
    };
    match right {
        Right::Baseline => {
            let permit = decide(deciding, asker, call, None, history);
            let permit = permit.map_err(|refusal| refusal.with_asked(deciding.asked()))?;
            Ok((None, permit))
        }
        Right::Grants(covering) => first_that_permits(deciding, asker, call, covering, history),
    }
}

fn first_that_permits<D: Deciding>(
    deciding: &mut D,
    asker: &Asker<'_>,
    call: &Call<'_>,
    covering: &Covering,
    history: &History,
) -> Result<Weighed<D::Place>, Refusal> {
    let mut denied = None;
    let mut exhausted = None;
    for grant in covering.iter(call.endpoint, asker.now) {
        let permit = match permits(deciding, asker, call, grant, history) {
            Ok(permit) => permit,
            Err(refusal) => {
                let asked = deciding.asked();
                denied.get_or_insert_with(|| refusal.with_asked(asked));
                continue;
            }
        };
        match deciding.enter(asker, grant) {
            Ok(place) => return Ok((Some(place), permit)),
            Err(closed) => {
                let asked = deciding.asked();
                let refusal = refuse_closed_grant(closed, grant);
                exhausted.get_or_insert_with(|| refusal.with_asked(asked));
            }
        }
    }
    // A grant that the rules permit and that is only used up says more than one that they don't.
    Err(exhausted
        .or(denied)
        .unwrap_or_else(|| refuse_closed(Closed::Ended(EndReason::Expired))))
}

fn permits<D: Deciding>(
    deciding: &mut D,
    asker: &Asker<'_>,
    call: &Call<'_>,
    grant: &LiveGrant,
    history: &History,
) -> Result<Permit, Refusal> {
    let request = grant.request();
    let differs = request
        .input
        .iter()
        .find(|(name, value)| call.inputs.get(name).is_some_and(|given| given != *value));
    if let Some((name, _)) = differs {
        let detail = format!("the grant is for another `{name}`: request one for this");
        return Err(Refusal::new(DenyReason::ConditionDenied, detail));
    }
    check_proof(asker, request.right.proof)?;
    if let Some(holder) = request.asked.holder {
        check_holder(asker, holder)?;
    }
    decide(deciding, asker, call, Some(grant), history)
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

fn decide<D: Deciding>(
    deciding: &mut D,
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
    let put = |question: &Question<'_>, kept: &Kept| deciding.ask(asker, question, kept);
    match ask(asker, endpoint, canonical, inputs, (grant, history), put) {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(denial) => Err(refuse_denial(denial)),
    }
}

/// Whether what `standing` was permitted as is still permitted. A baseline operation that no longer is
/// one needs a grant, and has none.
///
/// # Errors
///
/// What the rules say, where they were asked.
pub(super) fn still_permits(
    asker: &Asker<'_>,
    endpoint: &Endpoint,
    standing: &Standing,
) -> Result<Permit, Option<Denial>> {
    let covered = match &standing.grant {
        Some(grant) => endpoint
            .covering
            .contains(&grant.request().right.entitlement),
        None => endpoint.operation.baseline,
    };
    let Standing {
        canonical, inputs, ..
    } = standing;
    if !covered {
        return Err(None);
    }
    // It must not fail a condition for having been made.
    let without = |(task, reserved): (&Arc<LiveTask>, Reserved)| {
        let mut ledger = task.ledger();
        ledger.history_without(&standing.operation, inputs, reserved, asker.now)
    };
    let counted = asker.task.zip(standing.reserved);
    let history = counted.map(without).unwrap_or_default();
    let right = (standing.grant.as_deref(), &history);
    let policies = asker.snapshot.policies();
    let put = |question: &Question<'_>, kept: &Kept| policies.decide_kept(question, kept);
    match ask(asker, endpoint, canonical, inputs, right, put) {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(denial) => Err(Some(denial)),
    }
}

fn ask(
    asker: &Asker<'_>,
    endpoint: &Endpoint,
    canonical: &Canonical,
    input: &Inputs,
    (grant, history): (Option<&LiveGrant>, &History),
    put: impl FnOnce(&Question<'_>, &Kept) -> Decision,
) -> Decision {
    let facts = grant.map(|grant| GrantFacts {
        id: &grant.request().grant,
        entitlement: &grant.request().right.entitlement,
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
    let kept = grant.map_or(&asker.agent.rules, LiveGrant::rules);
    put(&question, kept)
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
        (None, None) if denial.rules.is_empty() || denial.error.is_some() => {
            "no rule permits this call now".to_owned()
        }
        (None, None) => "a rule forbids this call now".to_owned(),
    };
    let mut refusal = Refusal::new(denial.reason, detail).with_rules(&denial.rules);
    if let Some(Requirement::Proof(Proof::Mtls)) = denial.requires {
        refusal = refusal.for_certificate();
    }
    refusal = refusal.with_demands(denial.demands);
    match denial.error {
        Some(error) => refusal.with_internal(error),
        None => refusal,
    }
}

/// The refusal of a call whose grant can't take it. Of a suspended one it names the rule that it rests by.
pub(super) fn refuse_closed_grant(closed: Closed, grant: &LiveGrant) -> Refusal {
    let suspender = match closed {
        Closed::Suspended => grant.suspender(),
        Closed::Busy | Closed::Ended(_) | Closed::Exhausted => None,
    };
    let Some(rule) = suspender else {
        return refuse_closed(closed);
    };
    let silent = "the grant is suspended: a condition it was given under no longer holds";
    let detail = match &rule.message {
        Some(message) => format!("the grant is suspended: {message}"),
        None => silent.to_owned(),
    };
    let rules = [Arc::clone(&rule.id)];
    Refusal::new(DenyReason::ConditionDenied, detail).with_rules(&rules)
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
/// still stands. What a rule demands is told as to a call that begins.
pub(super) fn refuse_withdrawn(reason: EndReason, denial: Option<Denial>) -> Refusal {
    let error = match denial {
        Some(denial) if denial.requires.is_some() => return refuse_denial(denial),
        Some(denial) => denial.error,
        None => None,
    };
    let detail = if reason == EndReason::PolicyChanged {
        "the rules changed while the call ran, and do not permit it any more"
    } else {
        "a condition that the call was permitted under turned false while it ran"
    };
    let refusal = Refusal::new(DenyReason::ConditionDenied, detail);
    match error {
        Some(error) => refusal.with_internal(error),
        None => refusal,
    }
}

/// The refusal of a call whose grant or task ended before the answer began.
pub(super) fn refuse_ended(reason: EndReason) -> Refusal {
    let detail = format!("what the call ran under has ended ({reason})");
    match reason {
        EndReason::Exhausted => Refusal::new(
            DenyReason::BudgetExhausted,
            "the grant's bytes were used up while the call ran",
        ),
        EndReason::AgentRevoked
        | EndReason::Cancelled
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
