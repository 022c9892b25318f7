//! Asking for a right: the rules are asked, then the grant is brought into force, and either way it is
//! recorded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Asker;
use crate::audit::{Asked, Audit, Record, RecordKind, Verdict};
use crate::base::Clock;
use crate::config::Snapshot;
use crate::grants::{Asking, Grants, GrantsError, LiveGrant, LiveTask, PendingGrant};
use crate::model::{
    AgentId, ApprovalRule, DenyReason, EndReason, Entitlement, EntitlementId, GroupName, InputKind,
    InputValue, Inputs, Shared, TaskId,
};
use crate::pdp::{Decision, Denial, Permit, Requirement};
use crate::signals::{Became, Seen};

/// How long people may take where a rule, and not the entitlement, wants them asked.
const RULE_EXPIRES: Duration = Duration::from_mins(30);

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;

/// Takes requests for grants.
#[derive(Clone)]
pub struct Requests {
    pub(super) grants: Grants,
    pub(super) audit: Audit,
    clock: Clock,
}

/// What is asked for, not yet compared with anything.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The entitlement's id.
    pub entitlement: String,
    /// Why, in the agent's words.
    pub reason: Option<String>,
    /// For how long.
    pub duration_seconds: Option<i64>,
    /// What calls will have to agree with.
    pub input: Option<Map<String, Value>>,
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

/// Why a request did not become a grant.
#[derive(Debug)]
pub enum Refused {
    /// The request is malformed; nothing was decided.
    Malformed(String),
    /// The rules, or the entitlement, say no.
    No {
        /// Why.
        reason: DenyReason,
        /// What the agent is told.
        detail: String,
        /// The deciding rules.
        rules: Vec<Arc<str>>,
    },
    /// The grants can't take it.
    NotKept(GrantsError),
    /// The decision can't be recorded, so none was made.
    Unrecorded(String),
}

impl Refused {
    /// Why the rules, or the entitlement, say no; none where it was not they.
    pub(super) const fn reason(&self) -> Option<DenyReason> {
        match self {
            Self::No { reason, .. } => Some(*reason),
            Self::Malformed(_) | Self::NotKept(_) | Self::Unrecorded(_) => None,
        }
    }
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
    /// Requests that become grants of `grants`.
    #[must_use]
    pub const fn new(grants: Grants, audit: Audit, clock: Clock) -> Self {
        Self {
            grants,
            audit,
            clock,
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
            let asked = |id| asker.asked(id, &[], Some(DenyReason::ConditionDenied));
            let asked = id.as_ref().and_then(asked);
            return Err(self.record_refusal(asker, id.as_ref(), asked, refused));
        };
        let (permit, approval) = judge(asker, entitlement).map_err(|refused| {
            let asked = |reason| asker.asked(&entitlement.id, own_group(entitlement), Some(reason));
            let asked = refused.reason().and_then(asked);
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
                record.detail.clone_from(&grant.request().reason);
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
            numbers: Vec::new(),
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

/// In whose name people are asked because the entitlement says so.
fn own_group(entitlement: &Entitlement) -> &[GroupName] {
    let group = entitlement.approval.as_ref().map(|rule| &rule.group);
    group.map_or(&[], std::slice::from_ref)
}

impl Permitted {
    fn asked(&self, asker: &Asker<'_>) -> Option<Box<Asked>> {
        let entitlement = &self.entitlement;
        asker.asked(&entitlement.id, own_group(entitlement), None)
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

/// Whether the agent may have the entitlement, and who has to agree first: because the entitlement says
/// so, or a rule. What people could not bring into force either is refused before they are asked.
pub(super) fn judge(
    asker: &Asker<'_>,
    entitlement: &Entitlement,
) -> Result<(Permit, Option<Shared<ApprovalRule>>), Refused> {
    let own = entitlement.approval.as_ref();
    let groups = own.map(|rule| rule.group.clone());
    let denial = match asker.decide_request(entitlement, groups.as_slice()) {
        Decision::Allow(permit) => return Ok((permit, own.cloned())),
        Decision::Deny(denial) => denial,
    };
    let (Some(Requirement::Approval(group)), None) = (&denial.requires, own) else {
        return Err(denied(entitlement, denial));
    };
    let rule = ApprovalRule {
        group: group.clone(),
        quorum: 1,
        mfa: false,
        expires: RULE_EXPIRES,
    };
    match asker.decide_request(entitlement, std::slice::from_ref(group)) {
        Decision::Allow(permit) => Ok((permit, Some(rule.into()))),
        Decision::Deny(denial) => Err(denied(entitlement, denial)),
    }
}

/// The grant in force that the same request has become before.
fn in_force(task: &LiveTask, asked: &Permitted, asker: &Asker<'_>) -> Option<Arc<LiveGrant>> {
    let grants = task.grants();
    let same = |grant: &&Arc<LiveGrant>| {
        let request = grant.request();
        grant.ended(asker.now).is_none()
            && request.entitlement == asked.entitlement.id
            && *request.input == asked.input
            && request.reason == asked.reason
            && request.asked.holder == asker.holder
    };
    grants.iter().find(same).cloned()
}

pub(super) fn unrecorded(unavailable: impl fmt::Display) -> Refused {
    Refused::Unrecorded(unavailable.to_string())
}

pub(super) fn no_rule(entitlement: &str) -> Refused {
    Refused::No {
        reason: DenyReason::ConditionDenied,
        detail: format!("no rule lets this agent ask for `{entitlement}` now"),
        rules: Vec::new(),
    }
}

pub(super) fn denied(entitlement: &Entitlement, denial: Denial) -> Refused {
    let Refused::No { detail: silent, .. } = no_rule(entitlement.id.as_str()) else {
        return no_rule(entitlement.id.as_str());
    };
    let demanded = denial
        .requires
        .as_ref()
        .map(|requirement| match requirement {
            Requirement::Approval(group) => format!("a person of `{group}` has to approve this"),
            Requirement::Mfa => "a second factor is needed".to_owned(),
            Requirement::Proof(proof) => format!("a token bound by {} is needed", proof.as_str()),
        });
    let said = denial.message.map(|message| message.to_string());
    Refused::No {
        reason: denial.reason,
        detail: said.or(demanded).unwrap_or(silent),
        rules: denial.rules,
    }
}

type WellFormed = (Option<String>, Option<Duration>, Inputs);

fn well_formed(
    snapshot: &Snapshot,
    entitlement: &Entitlement,
    ask: Ask,
) -> Result<WellFormed, String> {
    let reason = ask.reason.filter(|reason| !reason.trim().is_empty());
    if entitlement.reason_required && reason.is_none() {
        let id = &entitlement.id;
        return Err(format!(
            "`{id}` is granted only with a `reason`: say what for"
        ));
    }
    if reason
        .as_ref()
        .is_some_and(|reason| reason.chars().count() > LONGEST_REASON)
    {
        return Err(format!(
            "a `reason` has at most {LONGEST_REASON} characters"
        ));
    }
    let duration = match ask.duration_seconds {
        None => None,
        Some(seconds @ 1..) => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(_) => return Err("`duration_seconds` is a positive whole number".to_owned()),
    };
    let input = inputs(snapshot, entitlement, ask.input.unwrap_or_default())?;
    Ok((reason, duration, input))
}

/// The inputs that a request fixes: each has to be one that an operation of the entitlement declares,
/// with its type.
fn inputs(
    snapshot: &Snapshot,
    entitlement: &Entitlement,
    given: Map<String, Value>,
) -> Result<Inputs, String> {
    let mut inputs = Inputs::new();
    for (name, value) in given {
        let declared = entitlement.operations.iter().find_map(|operation| {
            let endpoint = snapshot.operation(operation.as_str())?;
            endpoint.operation.inputs.get_key_value(name.as_str())
        });
        let Some((name, input)) = declared else {
            return Err(format!(
                "no operation of `{}` has an input `{name}`",
                entitlement.id
            ));
        };
        let value = match (input.kind, &value) {
            (InputKind::Bool, Value::Bool(value)) => Some(InputValue::Bool(*value)),
            (InputKind::Long, Value::Number(number)) => number.as_i64().map(InputValue::Long),
            (InputKind::String, Value::String(text)) => {
                Some(InputValue::String(text.as_str().into()))
            }
            (InputKind::Bool | InputKind::Long | InputKind::String, _) => None,
        };
        let kind = input.kind.as_str();
        let value = value.ok_or_else(|| format!("the input `{name}` is a {kind}"))?;
        inputs.insert(Arc::clone(name), value);
    }
    Ok(inputs)
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
