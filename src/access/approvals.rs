//! People's decisions about requests that wait: who may make them, what they are bound to, and the
//! record of each, also of those that are refused.

mod anew;
mod error;
mod recorded;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anew::Looked;
pub use error::NotDecided;
use recorded::{about, agreement_of, change_step, describe_refusal};

use super::again::party;
use super::people::{Known, People, PersonalError};
use crate::approvals::{Consent, Unfit, check_consent, digest};
use crate::audit::{
    AskedAgreement, AskedCode, AskedStep, Audit, Place, Record, RecordKind, Verdict,
};
use crate::base::{Clock, Digest, Live};
use crate::config::Snapshot;
use crate::grants::{Approved, Grants, PendingGrant};
use crate::model::{Approval, DenyReason, EndReason, Grant, GrantRequest, GrantState, RequestId};

/// The longest comment or reason, in characters.
const LONGEST_WORDS: usize = 1000;

/// Takes people's decisions about requests.
#[derive(Clone)]
pub struct Approvals {
    snapshot: Arc<Live<Snapshot>>,
    grants: Grants,
    people: Arc<People>,
    audit: Audit,
    clock: Clock,
}

/// A person's agreement as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    /// The digest of what the person was shown, in hexadecimal.
    pub digest: Option<String>,
    /// A one-time code.
    pub totp: Option<String>,
    /// The life agreed to.
    pub duration_seconds: Option<i64>,
    /// Anything else, for the record.
    pub comment: Option<String>,
}

impl Approvals {
    /// Decisions about the requests of `grants`.
    #[must_use]
    pub const fn new(
        snapshot: Arc<Live<Snapshot>>,
        grants: Grants,
        people: Arc<People>,
        audit: Audit,
        clock: Clock,
    ) -> Self {
        Self {
            snapshot,
            grants,
            people,
            audit,
            clock,
        }
    }

    /// A person agrees. Where that is the last agreement needed, the rules are asked again and the grant
    /// is in force when this returns. What is answered is durable.
    ///
    /// # Errors
    ///
    /// See [`NotDecided`]. Each is recorded; nothing has changed then, but that after
    /// [`NotDecided::RulesRefuse`] the request is over.
    pub async fn approve(
        &self,
        who: &Known,
        source: IpAddr,
        id: &RequestId,
        agreement: &Agreement,
    ) -> Result<Grant, NotDecided> {
        let (place, mut record) = self.open(who, source, id)?;
        let rules = Arc::new(OnceLock::new());
        let agreed = self.agree(who, id, agreement, &mut record, &rules).await;
        if let Some(looked) = rules.get().cloned() {
            looked.describe(&mut record);
        }
        match &agreed {
            Ok(grant) => {
                record.verdict = Verdict::Allow;
                record.grant = grant.term().map(|_| grant.request.grant.clone());
            }
            Err(error) => describe_refusal(&mut record, "approve", error),
        }
        place.write(record);
        agreed
    }

    /// A person who is asked, or an operator, says no. The request is over when this returns.
    ///
    /// # Errors
    ///
    /// See [`NotDecided`]. Each is recorded; nothing has changed then.
    pub async fn deny(
        &self,
        who: &Known,
        source: IpAddr,
        id: &RequestId,
        reason: &str,
    ) -> Result<Grant, NotDecided> {
        let (place, mut record) = self.open(who, source, id)?;
        let denied = self.decline(who, id, reason, &mut record).await;
        match &denied {
            Ok(_) => {
                record.end = Some(EndReason::Declined);
                record.detail = Some(format!("denied with {}: {reason}", who.key));
            }
            Err(error) => describe_refusal(&mut record, "deny", error),
        }
        place.write(record);
        denied
    }

    /// The agent takes its request back; it is over when this returns. Taking back what was taken back
    /// gives the same answer again.
    ///
    /// # Errors
    ///
    /// When it was decided before, or can't be recorded or kept.
    pub async fn withdraw(&self, grant: &Grant, source: IpAddr) -> Result<Grant, NotDecided> {
        let request = &grant.request;
        if let GrantState::Ended {
            reason: EndReason::Withdrawn,
            term: None,
            ..
        } = grant.state
        {
            return Ok(grant.clone());
        }
        let place = self.audit.reserve();
        let place = place.map_err(|why| NotDecided::Unrecorded(why.to_string()))?;
        let mut record = Record::new(RecordKind::Request, self.clock.wall());
        about(&mut record, request);
        record.source = Some(source);
        let withdrawn = match self.waiting(&request.id).await {
            Ok(pending) => self.refuse(&pending, EndReason::Withdrawn, None).await,
            Err(error) => Err(error),
        };
        match &withdrawn {
            Ok(_) => record.end = Some(EndReason::Withdrawn),
            Err(error) => describe_refusal(&mut record, "withdraw", error),
        }
        place.write(record);
        withdrawn
    }

    /// Records that somebody who is no person at all tried to decide.
    ///
    /// # Errors
    ///
    /// When that can't be recorded.
    pub fn record_intruder(&self, grant: &Grant, source: IpAddr) -> Result<(), NotDecided> {
        let place = self.audit.reserve();
        let place = place.map_err(|why| NotDecided::Unrecorded(why.to_string()))?;
        let mut record = Record::new(RecordKind::Request, self.clock.wall());
        about(&mut record, &grant.request);
        record.source = Some(source);
        record.verdict = Verdict::Deny(DenyReason::ApprovalRequired);
        record.detail = Some("an agent tried to decide: only people do".to_owned());
        place.write(record);
        Ok(())
    }

    fn open(
        &self,
        who: &Known,
        source: IpAddr,
        id: &RequestId,
    ) -> Result<(Place, Record), NotDecided> {
        let place = self.audit.reserve();
        let place = place.map_err(|why| NotDecided::Unrecorded(why.to_string()))?;
        let mut record = Record::new(RecordKind::Request, self.clock.wall());
        record.person = Some(who.id().clone());
        record.request = Some(id.clone());
        record.source = Some(source);
        Ok((place, record))
    }

    async fn agree(
        &self,
        who: &Known,
        id: &RequestId,
        agreement: &Agreement,
        record: &mut Record,
        rules: &Arc<OnceLock<Looked>>,
    ) -> Result<Grant, NotDecided> {
        let comment = words("comment", agreement.comment.as_deref().unwrap_or_default())?;
        let snapshot = self.snapshot.current();
        record.generation = Some(snapshot.generation().clone());
        let pending = self.waiting(id).await?;
        let request = pending.request();
        about(record, request);
        let at_most = self.check(&snapshot, who, &pending, agreement, record)?;
        let mfa = self.second_factor(who, request, agreement).await;
        let code = match &mfa {
            Ok(true) => AskedCode::Good,
            Err(_) if agreement.totp.is_some() => AskedCode::Refused(match &mfa {
                Err(NotDecided::Factor(PersonalError::Locked(_))) => DenyReason::RateLimited,
                Ok(_) | Err(_) => DenyReason::MfaRequired,
            }),
            Ok(false) | Err(_) => AskedCode::None,
        };
        change_step(record, |step| step.code = code);
        let mfa = mfa?;
        let approval = Approval {
            person: who.id().clone(),
            at: self.clock.wall(),
            mfa,
            at_most,
        };
        let last_look = {
            let (this, request) = (self.clone(), Arc::clone(request));
            let rules = Arc::clone(rules);
            move || this.last_look(&request, &rules)
        };
        change_step(record, |step| step.taken = true);
        let approved = self.grants.approve(&pending, approval, last_look).await;
        let approved = approved.map_err(|error| NotDecided::not_kept(error, id))?;
        let factor = if mfa { ", second factor shown" } else { "" };
        let (grant, led_to) = match approved {
            Approved::Active(live) => (live.record(), "in force".to_owned()),
            Approved::Refused(note) => return Err(NotDecided::RulesRefuse(note)),
            Approved::Waits(missing) => (pending.record(), format!("{missing} more to agree")),
        };
        let (key, digest) = (&who.key, digest(request));
        let said = format!("approved {digest} with {key}{factor}: {led_to}");
        record.detail = Some(match comment {
            "" => said,
            comment => format!("{said}; {comment}"),
        });
        Ok(grant)
    }

    /// Whether the agreement counts; gives the life agreed to where that is shorter than asked.
    fn check(
        &self,
        snapshot: &Snapshot,
        who: &Known,
        pending: &PendingGrant,
        agreement: &Agreement,
        record: &mut Record,
    ) -> Result<Option<Duration>, NotDecided> {
        let request = pending.request();
        let rule = request.right.approval.as_ref();
        let rule = rule.ok_or(NotDecided::NotAsked)?;
        let duration = match agreement.duration_seconds {
            None => None,
            Some(seconds @ 1..) => Some(Duration::from_secs(seconds.unsigned_abs())),
            Some(_) => {
                let detail = "`duration_seconds` is a positive whole number";
                return Err(NotDecided::Malformed(detail.to_owned()));
            }
        };
        let approvals = pending.approvals();
        let openers = self.openers(request);
        let shown = agreement.digest.as_deref().and_then(Digest::from_hex);
        let again = approvals.iter().any(|one| one.person == *who.id());
        // Where the agent, the task or the entitlement is gone, nothing is as it was asked for.
        let anew = self.anew(snapshot, request).ok_or(Unfit::Changed)?;
        record.asked = anew.asked.map(|mut asked| {
            asked.step = Some(Box::new(AskedStep::Agreement(AskedAgreement {
                declines: false,
                again,
                shown: shown == Some(digest(request)),
                at_most: duration,
                code: match agreement.totp {
                    Some(_) => AskedCode::Unseen,
                    None => AskedCode::None,
                },
                last: approvals.len() + 1 >= usize::try_from(rule.quorum).unwrap_or(usize::MAX),
                ..agreement_of(who, request, rule, openers.clone())
            })));
            asked
        });
        let agent = request.agent.as_str();
        let consent = Consent {
            person: who.id(),
            member: who.person.groups.contains(&rule.group),
            party: party(snapshot, who.behind(), agent, &openers),
            digest: shown,
            duration,
        };
        let now = &anew.request;
        Ok(check_consent(&consent, request, rule, &approvals, now)?)
    }

    async fn second_factor(
        &self,
        who: &Known,
        request: &GrantRequest,
        agreement: &Agreement,
    ) -> Result<bool, NotDecided> {
        let wanted = request.right.approval.as_ref().is_some_and(|rule| rule.mfa);
        match &agreement.totp {
            Some(code) => {
                self.people.check_code(who.id(), code).await?;
                Ok(true)
            }
            None if wanted && !self.people.has_factor(who.id()) => {
                Err(PersonalError::FactorMissing.into())
            }
            None if wanted => Err(NotDecided::MfaRequired),
            None => Ok(false),
        }
    }

    async fn decline(
        &self,
        who: &Known,
        id: &RequestId,
        reason: &str,
        record: &mut Record,
    ) -> Result<Grant, NotDecided> {
        let reason = words("reason", reason)?;
        if reason.is_empty() {
            let detail = "say why: `reason`".to_owned();
            return Err(NotDecided::Malformed(detail));
        }
        let pending = self.waiting(id).await?;
        let request = pending.request();
        about(record, request);
        let snapshot = self.snapshot.current();
        record.generation = Some(snapshot.generation().clone());
        let rule = request.right.approval.as_ref();
        let member = rule.is_some_and(|rule| who.person.groups.contains(&rule.group));
        let anew = self.anew(&snapshot, request).zip(rule);
        record.asked = anew.and_then(|(anew, rule)| {
            let mut asked = anew.asked?;
            asked.step = Some(Box::new(AskedStep::Agreement(AskedAgreement {
                declines: true,
                ..agreement_of(who, request, rule, Vec::new())
            })));
            Some(asked)
        });
        if !member && !who.is_operator() {
            return Err(NotDecided::NotAsked);
        }
        change_step(record, |step| step.taken = true);
        self.refuse(&pending, EndReason::Declined, Some(reason.into()))
            .await
    }

    async fn refuse(
        &self,
        pending: &Arc<PendingGrant>,
        reason: EndReason,
        note: Option<Arc<str>>,
    ) -> Result<Grant, NotDecided> {
        let id = &pending.request().id;
        let refused = self.grants.refuse(pending, reason, note).await;
        refused.map_err(|error| NotDecided::not_kept(error, id))
    }

    /// The request, while it waits; why not, where it does not.
    async fn waiting(&self, id: &RequestId) -> Result<Arc<PendingGrant>, NotDecided> {
        if let Some(pending) = self.grants.pending(id) {
            if self.clock.now() >= pending.until() {
                return Err(NotDecided::Expired);
            }
            return Ok(pending);
        }
        let stored = self.grants.find_request(id).await;
        let stored = stored.map_err(NotDecided::NotKept)?;
        let stored = stored.ok_or_else(|| NotDecided::Unknown(id.clone()))?;
        Err(match &stored.state {
            GrantState::Ended {
                reason: EndReason::Expired,
                term: None,
                ..
            } => NotDecided::Expired,
            GrantState::Ended {
                reason: EndReason::PolicyChanged,
                term: None,
                ..
            } => Unfit::Changed.into(),
            GrantState::Ended { reason, .. } => NotDecided::Over(reason.as_str()),
            // It waits no more, and the store is about to learn why.
            GrantState::Pending { until, .. } if self.clock.wall() >= *until => NotDecided::Expired,
            GrantState::Pending { .. } => NotDecided::Over("at this moment"),
            state @ (GrantState::Active(_) | GrantState::Requested | GrantState::Suspended(_)) => {
                NotDecided::Over(state.as_str())
            }
        })
    }
}

fn words<'a>(name: &str, text: &'a str) -> Result<&'a str, NotDecided> {
    let text = text.trim();
    if text.chars().count() > LONGEST_WORDS {
        let detail = format!("`{name}` has at most {LONGEST_WORDS} characters");
        return Err(NotDecided::Malformed(detail));
    }
    Ok(text)
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").finish_non_exhaustive()
    }
}
