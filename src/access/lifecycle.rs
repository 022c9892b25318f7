//! What an agent does with a grant that is in force: renew it, and hand a part of it down. The rules are
//! asked again, and it is recorded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::requests::{denied, judge, no_rule, unrecorded};
use super::{Asker, Refused, Requests, risk_of};
use crate::audit::{RecordKind, Verdict};
use crate::config::EnrolledAgent;
use crate::grants::{Carving, LiveGrant, LiveTask, agreed_life};
use crate::model::{Circumstances, DenyReason, Entitlement, Grant, GrantRequest, OperationId};
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
        let entitlement = asker.snapshot.entitlement(request.entitlement.as_str());
        let refuse = |refused| self.record_refusal(asker, entitlement, None, refused);
        let gone = || no_rule(request.entitlement.as_str());
        let entitlement = entitlement.ok_or_else(|| refuse(gone()))?;
        let rules = permitted(asker, entitlement, grant).map_err(refuse)?;
        let approvals = grant.record().term().map(|term| term.approvals.clone());
        let agreed = agreed_life(request, &approvals.unwrap_or_default());
        let longest = entitlement.max_ttl.min(agreed.unwrap_or(Duration::MAX));
        let place = self.audit.reserve().map_err(unrecorded)?;
        let renewed = self.grants.renew(grant, duration, longest).await;
        let mut record = self.record(asker, Some(entitlement));
        record.kind = RecordKind::Grant;
        record.grant = Some(request.grant.clone());
        record.rules = rules;
        record.asked = asker.asked(&entitlement.id, grant.approved_by(), None);
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
        let entitlement = asker.snapshot.entitlement(request.entitlement.as_str());
        let signals = self.grants.signals();
        let receiving = Asker {
            agent: receiver,
            task: Some(task),
            risk: risk_of(asker.snapshot, signals, receiver, Some(task)),
            ..*asker
        };
        let refuse = |refused| self.record_refusal(&receiving, entitlement, None, refused);
        let gone = || no_rule(request.entitlement.as_str());
        let entitlement = entitlement.ok_or_else(|| refuse(gone()))?;
        let rules = may_receive(&receiving, entitlement, grant, own).map_err(refuse)?;
        let place = self.audit.reserve().map_err(unrecorded)?;
        let delegated = self.grants.delegate(carving).await;
        let mut record = self.record(&receiving, Some(entitlement));
        record.kind = RecordKind::Grant;
        record.rules = rules;
        record.asked = receiving.asked(&entitlement.id, grant.approved_by(), None);
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
    let request = grant.request();
    check_holder(asker, request)?;
    match asker.decide_request(entitlement, grant.approved_by()) {
        Decision::Allow(permit) => Ok(permit.rules().to_vec()),
        Decision::Deny(denial) => Err(denied(entitlement, denial)),
    }
}

/// The rules that let the receiver have a part. Where people have to agree to what it would have, only
/// the agent that they have agreed about may.
fn may_receive(
    receiving: &Asker<'_>,
    entitlement: &Entitlement,
    grant: &LiveGrant,
    own: bool,
) -> Result<Rules, Refused> {
    check_holder(receiving, grant.request())?;
    let (permit, approval) = judge(receiving, entitlement)?;
    let agreed = |group| own && grant.approved_by().contains(group);
    match approval {
        Some(rule) if !agreed(&rule.group) => Err(Refused::No {
            reason: DenyReason::ApprovalRequired,
            detail: format!(
                "the people of `{}` have not agreed to this for the receiver: it has to ask itself",
                rule.group
            ),
            rules: permit.rules().to_vec(),
        }),
        Some(_) | None => Ok(permit.rules().to_vec()),
    }
}

/// A grant that is for one holder is renewed and handed down by that one alone.
fn check_holder(asker: &Asker<'_>, request: &GrantRequest) -> Result<(), Refused> {
    match request.asked.holder {
        Some(holder) if asker.holder != Some(holder) => Err(Refused::No {
            reason: DenyReason::ProofRequired,
            detail: "the grant is for the holder of another key".to_owned(),
            rules: Vec::new(),
        }),
        Some(_) | None => Ok(()),
    }
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
