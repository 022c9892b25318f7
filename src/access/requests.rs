//! Asking for a right: the rules are asked, then the grant is brought into force, and either way it is
//! recorded.

mod ask;
mod verdict;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use ask::Ask;
use ask::well_formed;
pub use verdict::Refused;
use verdict::own_agreement;
pub(super) use verdict::{denied, judge, no_rule, unrecorded, who_agrees};

use super::Asker;
use crate::audit::{Asked, Audit, Record, RecordKind, Verdict};
use crate::base::Clock;
use crate::grants::{Asking, Grants, LiveGrant, LiveTask, PendingGrant};
use crate::model::{
    AgentId, Agreed, ApprovalRule, DenyReason, EndReason, Entitlement, EntitlementId, Inputs,
    Shared, TaskId,
};
use crate::pdp::Permit;
use crate::signals::{Became, Numbers, Seen};

/// Takes requests for grants.
#[derive(Clone)]
pub struct Requests {
    pub(super) grants: Grants,
    pub(super) audit: Audit,
    clock: Clock,
    pub(super) control_url: Arc<str>,
}

/// A grant in force, and the rules that let it come into force.
#[derive(Debug)]
pub struct Granted {
    /// The grant.
    pub grant: Arc<LiveGrant>,
    /// The deciding rules.
    pub rules: Vec<Arc<str>>,
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The grant is in force.
    Granted(Granted),
    /// People have to agree first.
    Pending {
        /// The request that waits; the same one where it was asked for before in the same words.
        request: Arc<PendingGrant>,
        /// The rules that will let it come into force.
        rules: Vec<Arc<str>>,
    },
}

/// A request that is well-formed and permitted, and has not been acted on.
struct Permitted {
    entitlement: Arc<Entitlement>,
    reason: Option<String>,
    duration: Option<Duration>,
    input: Inputs,
    permit: Permit,
    /// Who has to agree first.
    approval: Option<Shared<ApprovalRule>>,
}

/// An outcome, and whether it was brought about just now.
struct Done {
    outcome: Outcome,
    fresh: bool,
}

impl Requests {
    /// Requests that become grants of `grants`. Refusals name next steps at `control_url`.
    #[must_use]
    pub const fn new(grants: Grants, audit: Audit, clock: Clock, control_url: Arc<str>) -> Self {
        Self {
            grants,
            audit,
            clock,
            control_url,
        }
    }

    /// Asks for one grant for the asker's task.
    ///
    /// # Errors
    ///
    /// See [`Refused`]; nothing is created then.
    pub async fn submit(&self, asker: &Asker<'_>, ask: Ask) -> Result<Outcome, Refused> {
        let mut outcomes = self.submit_all(asker, vec![ask]).await?;
        let none = || Refused::Malformed("nothing was asked for".to_owned());
        outcomes.pop().ok_or_else(none)
    }

    /// Asks for several grants for the asker's task, in order: all are taken, or none. Where some wait
    /// for people, asking for all of it again makes nothing new: the grants of the rest that are in
    /// force are the answer.
    ///
    /// # Errors
    ///
    /// See [`Refused`]; nothing is created then.
    pub async fn submit_all(
        &self,
        asker: &Asker<'_>,
        asks: Vec<Ask>,
    ) -> Result<Vec<Outcome>, Refused> {
        let no_task = || Refused::Malformed("a grant needs an open task".to_owned());
        let task = asker.task.ok_or_else(no_task)?;
        let mut permitted = Vec::with_capacity(asks.len());
        for ask in asks {
            permitted.push(self.decide(asker, ask)?);
        }
        let waits = permitted.iter().any(|one| one.approval.is_some());
        let mut done: Vec<Done> = Vec::with_capacity(permitted.len());
        for one in permitted {
            let earlier = waits.then(|| in_force(task, &one, asker)).flatten();
            let outcome = match (&one.approval, earlier) {
                (None, Some(grant)) => Ok(Done {
                    outcome: Outcome::Granted(Granted {
                        rules: one.permit.rules().to_vec(),
                        grant,
                    }),
                    fresh: false,
                }),
                (None, None) => self.activate(asker, task, one).await,
                (Some(_), _) => self.ask_people(asker, task, one).await,
            };
            match outcome {
                Ok(one) => done.push(one),
                Err(refused) => {
                    self.take_back(done).await;
                    return Err(refused);
                }
            }
        }
        Ok(done.into_iter().map(|done| done.outcome).collect())
    }

    /// One that has ended meanwhile is as good as taken back.
    async fn take_back(&self, done: Vec<Done>) {
        for done in done.into_iter().filter(|done| done.fresh) {
            match done.outcome {
                Outcome::Granted(granted) => {
                    let id = &granted.grant.request().grant;
                    let _ = self.grants.end_grant(id, EndReason::Withdrawn).await;
                }
                Outcome::Pending { request, .. } => {
                    let reason = EndReason::Withdrawn;
                    let _ = self.grants.refuse(&request, reason, None).await;
                }
            }
        }
    }

    fn decide(&self, asker: &Asker<'_>, ask: Ask) -> Result<Permitted, Refused> {
        // Unknown entitlements and those of others answer alike.
        let Some(entitlement) = asker.snapshot.entitlement(&ask.entitlement) else {
            let refused = no_rule(&ask.entitlement);
            // Where it could be the name of one, what was asked can be asked of policies that have it.
            let id = ask.entitlement.parse::<EntitlementId>().ok();
            let asked = |id| asker.asked(id, Agreed::default(), Some(DenyReason::ConditionDenied));
            let asked = id.as_ref().and_then(asked);
            return Err(self.record_refusal(asker, id.as_ref(), asked, refused));
        };
        let (permit, approval) = judge(asker, entitlement).map_err(|refused| {
            let asked =
                |reason| asker.asked(&entitlement.id, own_agreement(entitlement), Some(reason));
            let asked = refused.reason().and_then(asked);
            let refused = refused.advised(asker, entitlement, &self.control_url);
            self.record_refusal(asker, Some(&entitlement.id), asked, refused)
        })?;
        let well_formed = well_formed(asker.snapshot, entitlement, ask);
        let (reason, duration, input) = well_formed.map_err(Refused::Malformed)?;
        Ok(Permitted {
            entitlement: Arc::clone(entitlement),
            reason,
            duration,
            input,
            permit,
            approval,
        })
    }

    async fn activate(
        &self,
        asker: &Asker<'_>,
        task: &Arc<LiveTask>,
        permitted: Permitted,
    ) -> Result<Done, Refused> {
        let place = self.audit.reserve().map_err(unrecorded)?;
        let activated = self.grants.activate(permitted.asking(asker, task)).await;
        let mut record = self.record(asker, Some(&permitted.entitlement.id));
        record.rules = permitted.permit.rules().to_vec();
        record.asked = permitted.asked(asker);
        match activated {
            Ok(grant) => {
                record.kind = RecordKind::Grant;
                record.verdict = Verdict::Allow;
                record.grant = Some(grant.request().grant.clone());
                record.request = Some(grant.request().id.clone());
                record.detail = grant.request().reason.as_deref().map(ToOwned::to_owned);
                place.write(record);
                let rules = permitted.permit.rules().to_vec();
                let outcome = Outcome::Granted(Granted { grant, rules });
                Ok(Done {
                    outcome,
                    fresh: true,
                })
            }
            Err(error) => {
                record.detail = Some(error.to_string());
                place.write(record);
                Err(Refused::NotKept(error))
            }
        }
    }

    async fn ask_people(
        &self,
        asker: &Asker<'_>,
        task: &Arc<LiveTask>,
        permitted: Permitted,
    ) -> Result<Done, Refused> {
        let place = self.audit.reserve().map_err(unrecorded)?;
        let mut record = self.record(asker, Some(&permitted.entitlement.id));
        let rules = permitted.permit.rules().to_vec();
        record.rules.clone_from(&rules);
        record.asked = permitted.asked(asker);
        let Some(rule) = permitted.approval.clone() else {
            return Err(Refused::Malformed("nobody has to agree to this".to_owned()));
        };
        let group = rule.group.clone();
        let asking = permitted.asking(asker, task);
        match self.grants.ask_people(asking, rule).await {
            Ok((request, fresh)) => {
                record.request = Some(request.request().id.clone());
                let again = if fresh { "" } else { "asked again: " };
                record.detail = Some(format!("{again}waits for the people of `{group}`"));
                place.write(record);
                let outcome = Outcome::Pending { request, rules };
                Ok(Done { outcome, fresh })
            }
            Err(error) => {
                record.detail = Some(error.to_string());
                place.write(record);
                Err(Refused::NotKept(error))
            }
        }
    }

    pub(super) fn record_refusal(
        &self,
        asker: &Asker<'_>,
        entitlement: Option<&EntitlementId>,
        asked: Option<Box<Asked>>,
        refused: Refused,
    ) -> Refused {
        let place = match self.audit.reserve() {
            Ok(place) => place,
            Err(unavailable) => return unrecorded(unavailable),
        };
        let mut record = self.record(asker, entitlement);
        record.asked = asked;
        if let Refused::No {
            reason,
            rules,
            detail,
            ..
        } = &refused
        {
            record.verdict = Verdict::Deny(*reason);
            record.rules.clone_from(rules);
            record.detail = Some(detail.clone());
            if reason.tells_of_agent() {
                self.show_refusal(asker);
            }
        }
        place.write(record);
        refused
    }

    /// A request that is refused tells of its agent as a refused call does.
    fn show_refusal(&self, asker: &Asker<'_>) {
        let seen = Seen {
            agent: asker.agent.agent.id.clone(),
            task: asker.task.map(|task| task.task().id.clone()),
            source: asker.source,
            operation: None,
            numbers: Numbers::new(),
            at: self.clock.wall(),
            became: Became::Refused,
            again: false,
        };
        // It is counted; where there is no room it is not compared with what is usual.
        let counts = Some(&asker.agent.calls);
        let _ = self.grants.signals().observe_at(seen, counts);
    }

    pub(super) fn record(&self, asker: &Asker<'_>, entitlement: Option<&EntitlementId>) -> Record {
        let mut record = Record::new(RecordKind::Request, self.clock.wall());
        record.agent = Some(AgentId::clone(&asker.agent.agent.id));
        record.task = asker.task.map(|task| TaskId::clone(&task.task().id));
        record.entitlement = entitlement.cloned();
        record.generation = Some(asker.snapshot.generation().clone());
        record.source = Some(asker.source);
        record
    }
}

impl Permitted {
    fn asked(&self, asker: &Asker<'_>) -> Option<Box<Asked>> {
        let entitlement = &self.entitlement;
        asker.asked(&entitlement.id, own_agreement(entitlement), None)
    }

    fn asking<'a>(&'a self, asker: &Asker<'_>, task: &'a Arc<LiveTask>) -> Asking<'a> {
        Asking {
            entitlement: &self.entitlement,
            task,
            reason: self.reason.clone(),
            duration: self.duration,
            input: self.input.clone(),
            asked: asker.circumstances(),
        }
    }
}

/// The grant in force that the same request has become before.
fn in_force(task: &LiveTask, asked: &Permitted, asker: &Asker<'_>) -> Option<Arc<LiveGrant>> {
    let grants = task.grants();
    let same = |grant: &&Arc<LiveGrant>| {
        let request = grant.request();
        grant.ended(asker.now).is_none()
            && request.right.entitlement == asked.entitlement.id
            && *request.input == asked.input
            && request.reason.as_deref() == asked.reason.as_deref()
            && request.asked.holder == asker.holder
    };
    grants.iter().find(same).cloned()
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl fmt::Debug for Permitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permitted")
            .field("entitlement", &self.entitlement.id)
            .finish_non_exhaustive()
    }
}
