//! What an agent does with a grant that is in force: renew it, and hand a part of it down. The rules are
//! asked again, and it is recorded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::requests::{denied, judge, no_rule, unrecorded};
use super::{Asker, Refused, Requests, risk_of};
use crate::audit::{Asked, AskedExtent, AskedPart, AskedRenewal, AskedStep, RecordKind, Verdict};
use crate::config::EnrolledAgent;
use crate::grants::{Carving, Extent, GrantsError, LiveGrant, LiveTask, agreed_life};
use crate::model::{
    Agreed, Circumstances, DenyReason, Entitlement, EntitlementId, Grant, GrantRequest, OperationId,
};
use crate::pdp::Decision;

/// The part of a grant that is handed down. What is absent is as in the grant.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Which operations.
    pub operations: Option<Vec<String>>,
    /// For how long.
    pub duration_seconds: Option<i64>,
    /// How many calls.
    pub max_calls: Option<u64>,
    /// How many bytes.
    pub max_bytes: Option<u64>,
    /// Why.
    pub reason: Option<String>,
}

impl Requests {
    /// Moves the end of a grant of the asker's: to `duration_seconds` from now, or by as much as it was
    /// asked for, within what its entitlement and the people who agreed allow from its first activation.
    ///
    /// # Errors
    ///
    /// See [`Refused`]; the grant is as it was then.
    pub async fn renew(
        &self,
        asker: &Asker<'_>,
        grant: &Arc<LiveGrant>,
        duration_seconds: Option<i64>,
    ) -> Result<Grant, Refused> {
        let request = grant.request();
        let duration = seconds(duration_seconds)?.unwrap_or(request.duration);
        let entitlement = asker
            .snapshot
            .entitlement(request.right.entitlement.as_str());
        let approvals = grant.record().term().map(|term| term.approvals.clone());
        let agreed = agreed_life(request, &approvals.unwrap_or_default());
        let asked = |ruled, seen: Option<Extent>, no_longer| {
            let step = AskedStep::Renewal(AskedRenewal {
                held: holds(asker, request),
                duration,
                agreed,
                extent: seen.map(|seen| AskedExtent {
                    age: seen.age,
                    left: seen.left,
                    at_most: seen.at_most,
                }),
                no_longer,
            });
            asked_about(asker, (&request.right.entitlement, grant), ruled, step)
        };
        let refuse = |refused: Refused| {
            let asked = asked(refused.reason(), self.grants.extent(grant), false);
            self.record_refusal(asker, Some(&request.right.entitlement), asked, refused)
        };
        let gone = || no_rule(request.right.entitlement.as_str());
        let entitlement = entitlement.ok_or_else(|| refuse(gone()))?;
        let rules = permitted(asker, entitlement, grant)
            .map_err(|refused| refuse(refused.advised(asker, entitlement, &self.control_url)))?;
        let longest = entitlement.max_ttl.min(agreed.unwrap_or(Duration::MAX));
        let place = self.audit.reserve().map_err(unrecorded)?;
        let (renewed, seen) = self.grants.renew_seen(grant, duration, longest).await;
        let mut record = self.record(asker, Some(&entitlement.id));
        record.kind = RecordKind::Grant;
        record.grant = Some(request.grant.clone());
        record.rules = rules;
        let no_longer = matches!(renewed, Err(GrantsError::NoLonger(_)));
        record.asked = asked(None, seen, no_longer);
        match renewed {
            Ok(renewed) => {
                record.verdict = Verdict::Allow;
                let until = renewed.term().map(|term| term.expires_at.to_string());
                let until = until.unwrap_or_default();
                record.detail = Some(format!("renewed until {until}"));
                place.write(record);
                Ok(renewed)
            }
            Err(error) => {
                record.detail = Some(format!("renew refused: {error}"));
                place.write(record);
                Err(Refused::NotKept(error))
            }
        }
    }

    /// Hands a part of a grant of the asker's down to `task`, which is another of its own or one that it
    /// has opened. The rules are asked about the receiver.
    ///
    /// # Errors
    ///
    /// See [`Refused`]; nothing is handed down then.
    pub async fn delegate(
        &self,
        asker: &Asker<'_>,
        grant: &Arc<LiveGrant>,
        (receiver, task): (&EnrolledAgent, &Arc<LiveTask>),
        part: Part,
    ) -> Result<Arc<LiveGrant>, Refused> {
        let request = grant.request();
        let own = receiver.agent.id == request.agent;
        let asked = Circumstances {
            // Another agent has another key.
            holder: request.asked.holder.filter(|_| own),
            ..asker.circumstances()
        };
        let carving = Carving {
            from: Arc::clone(grant),
            task: Arc::clone(task),
            operations: part.operations.map(operations).transpose()?,
            duration: seconds(part.duration_seconds)?,
            calls: part.max_calls,
            bytes: part.max_bytes,
            asked,
            reason: part.reason,
        };
        let entitlement = asker
            .snapshot
            .entitlement(request.right.entitlement.as_str());
        let signals = self.grants.signals();
        let receiving = Asker {
            agent: receiver,
            task: Some(task),
            risk: risk_of(asker.snapshot, signals, receiver, Some(task)),
            ..*asker
        };
        let held = holds(&receiving, request);
        let described = |ruled| {
            let step = AskedStep::Part(AskedPart { own, held });
            asked_about(&receiving, (&request.right.entitlement, grant), ruled, step)
        };
        let refuse = |refused: Refused| {
            let asked = described(refused.reason());
            self.record_refusal(&receiving, Some(&request.right.entitlement), asked, refused)
        };
        let gone = || no_rule(request.right.entitlement.as_str());
        let entitlement = entitlement.ok_or_else(|| refuse(gone()))?;
        check_holder(held).map_err(refuse)?;
        let approved_by = grant.approved_by();
        let received = may_receive(&receiving, entitlement, approved_by, own);
        let rules = received.map_err(refuse)?;
        let place = self.audit.reserve().map_err(unrecorded)?;
        let delegated = self.grants.delegate(carving).await;
        let mut record = self.record(&receiving, Some(&entitlement.id));
        record.kind = RecordKind::Grant;
        record.rules = rules;
        record.asked = described(None);
        match delegated {
            Ok(part) => {
                record.verdict = Verdict::Allow;
                record.grant = Some(part.request().grant.clone());
                record.request = Some(part.request().id.clone());
                let (agent, from) = (&request.agent, &request.grant);
                record.detail = Some(format!("handed down by `{agent}` from {from}"));
                place.write(record);
                Ok(part)
            }
            Err(error) => {
                record.detail = Some(format!("delegate refused: {error}"));
                place.write(record);
                Err(Refused::NotKept(error))
            }
        }
    }
}

type Rules = Vec<Arc<str>>;

/// The rules that let the grant go on.
fn permitted(
    asker: &Asker<'_>,
    entitlement: &Entitlement,
    grant: &LiveGrant,
) -> Result<Rules, Refused> {
    check_holder(holds(asker, grant.request()))?;
    match asker.decide_request(entitlement, grant.approved_by()) {
        Decision::Allow(permit) => Ok(permit.rules().to_vec()),
        Decision::Deny(denial) => Err(denied(entitlement, denial)),
    }
}

/// The rules that let the receiver have a part. Where people have to agree to what it would have, only
/// the agent that they have agreed about may.
pub(super) fn may_receive(
    receiving: &Asker<'_>,
    entitlement: &Entitlement,
    approved_by: Agreed<'_>,
    own: bool,
) -> Result<Rules, Refused> {
    let (permit, approval) = judge(receiving, entitlement)?;
    let agreed = |group| own && approved_by.groups.contains(group);
    match approval {
        None => Ok(permit.rules().to_vec()),
        Some(rule) if !agreed(&rule.group) => Err(Refused::No {
            reason: DenyReason::ApprovalRequired,
            detail: format!(
                "the people of `{}` have not agreed to this for the receiver: it has to ask itself",
                rule.group
            ),
            rules: permit.rules().to_vec(),
            demands: Vec::new(),
            next: None,
        }),
        // A second factor that is demanded now has to have been shown then.
        Some(_) => match receiving.decide_request(entitlement, approved_by) {
            Decision::Allow(permit) => Ok(permit.rules().to_vec()),
            Decision::Deny(denial) => Err(denied(entitlement, denial)),
        },
    }
}

/// Whether whoever asks holds the key that the grant is for, where it is for one.
fn holds(asker: &Asker<'_>, request: &GrantRequest) -> bool {
    let holder = request.asked.holder;
    holder.is_none_or(|holder| asker.holder == Some(holder))
}

/// A grant that is for one holder is renewed and handed down by that one alone.
fn check_holder(held: bool) -> Result<(), Refused> {
    if held {
        return Ok(());
    }
    let detail = "the grant is for the holder of another key".to_owned();
    Err(Refused::no(DenyReason::ProofRequired, detail))
}

/// What is asked about a step of a grant, for the record.
fn asked_about(
    asker: &Asker<'_>,
    (entitlement, grant): (&EntitlementId, &LiveGrant),
    ruled: Option<DenyReason>,
    step: AskedStep,
) -> Option<Box<Asked>> {
    let mut asked = asker.asked(entitlement, grant.approved_by(), ruled)?;
    asked.step = Some(Box::new(step));
    Some(asked)
}

fn seconds(asked: Option<i64>) -> Result<Option<Duration>, Refused> {
    match asked {
        None => Ok(None),
        Some(seconds @ 1..) => Ok(Some(Duration::from_secs(seconds.unsigned_abs()))),
        Some(_) => Err(Refused::Malformed(
            "`duration_seconds` is a positive whole number".to_owned(),
        )),
    }
}

fn operations(names: Vec<String>) -> Result<BTreeSet<OperationId>, Refused> {
    let parse = |name: String| {
        let id = name.parse::<OperationId>();
        id.map_err(|_| Refused::Malformed(format!("there is no operation `{name}`")))
    };
    names.into_iter().map(parse).collect()
}
