//! Asking for a right: the rules are asked, then the grant is brought into force, and either way it is
//! recorded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Asker;
use crate::audit::{Audit, Record, RecordKind, Verdict};
use crate::base::Clock;
use crate::config::Snapshot;
use crate::grants::{Asking, Grants, GrantsError, LiveGrant, LiveTask};
use crate::model::{
    AgentId, DenyReason, EndReason, Entitlement, InputKind, InputValue, Inputs, TaskId,
};
use crate::pdp::{Decision, Denial, Permit, Requirement};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;

/// Takes requests for grants.
#[derive(Clone)]
pub struct Requests {
    grants: Grants,
    audit: Audit,
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

/// A request that is well-formed and permitted, and has not been acted on.
struct Permitted {
    entitlement: Arc<Entitlement>,
    reason: Option<String>,
    duration: Option<Duration>,
    input: Inputs,
    permit: Permit,
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
    pub async fn submit(&self, asker: &Asker<'_>, ask: Ask) -> Result<Granted, Refused> {
        let mut granted = self.submit_all(asker, vec![ask]).await?;
        let none = || Refused::Malformed("nothing was asked for".to_owned());
        granted.pop().ok_or_else(none)
    }

    /// Asks for several grants for the asker's task: all come into force, or none.
    ///
    /// # Errors
    ///
    /// See [`Refused`]; nothing is created then.
    pub async fn submit_all(
        &self,
        asker: &Asker<'_>,
        asks: Vec<Ask>,
    ) -> Result<Vec<Granted>, Refused> {
        let no_task = || Refused::Malformed("a grant needs an open task".to_owned());
        let task = asker.task.ok_or_else(no_task)?;
        let mut permitted = Vec::with_capacity(asks.len());
        for ask in asks {
            permitted.push(self.decide(asker, ask)?);
        }
        let mut granted: Vec<Granted> = Vec::with_capacity(permitted.len());
        for one in permitted {
            match self.activate(asker, task, one).await {
                Ok(one) => granted.push(one),
                Err(refused) => {
                    for earlier in granted {
                        let id = &earlier.grant.request().grant;
                        // One that has ended meanwhile is as good as taken back.
                        let _ = self.grants.end_grant(id, EndReason::Withdrawn).await;
                    }
                    return Err(refused);
                }
            }
        }
        Ok(granted)
    }

    fn decide(&self, asker: &Asker<'_>, ask: Ask) -> Result<Permitted, Refused> {
        // Unknown entitlements and those of others answer alike.
        let Some(entitlement) = asker.snapshot.entitlement(&ask.entitlement) else {
            let refused = no_rule(&ask.entitlement);
            return Err(self.record_refusal(asker, None, refused));
        };
        let refuse = |refused| self.record_refusal(asker, Some(entitlement), refused);
        let permit = match asker.decide_request(entitlement) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => return Err(refuse(denied(entitlement, denial))),
        };
        if let Some(rule) = &entitlement.approval {
            let detail = format!(
                "`{}` needs the approval of a person of `{}`",
                entitlement.id, rule.group
            );
            return Err(refuse(Refused::No {
                reason: DenyReason::ApprovalRequired,
                detail,
                rules: permit.rules().to_vec(),
            }));
        }
        let well_formed = well_formed(asker.snapshot, entitlement, ask);
        let (reason, duration, input) = well_formed.map_err(Refused::Malformed)?;
        Ok(Permitted {
            entitlement: Arc::clone(entitlement),
            reason,
            duration,
            input,
            permit,
        })
    }

    async fn activate(
        &self,
        asker: &Asker<'_>,
        task: &Arc<LiveTask>,
        permitted: Permitted,
    ) -> Result<Granted, Refused> {
        let place = self.audit.reserve().map_err(unrecorded)?;
        let asking = Asking {
            entitlement: &permitted.entitlement,
            task,
            reason: permitted.reason,
            duration: permitted.duration,
            input: permitted.input,
        };
        let activated = self.grants.activate(asking).await;
        let mut record = self.record(asker, Some(&permitted.entitlement));
        record.rules = permitted.permit.rules().to_vec();
        match activated {
            Ok(grant) => {
                record.kind = RecordKind::Grant;
                record.verdict = Verdict::Allow;
                record.grant = Some(grant.request().grant.clone());
                record.request = Some(grant.request().id.clone());
                record.detail.clone_from(&grant.request().reason);
                place.write(record);
                let rules = permitted.permit.rules().to_vec();
                Ok(Granted { grant, rules })
            }
            Err(error) => {
                record.detail = Some(error.to_string());
                place.write(record);
                Err(Refused::NotKept(error))
            }
        }
    }

    fn record_refusal(
        &self,
        asker: &Asker<'_>,
        entitlement: Option<&Arc<Entitlement>>,
        refused: Refused,
    ) -> Refused {
        let place = match self.audit.reserve() {
            Ok(place) => place,
            Err(unavailable) => return unrecorded(unavailable),
        };
        let mut record = self.record(asker, entitlement);
        if let Refused::No {
            reason,
            rules,
            detail,
        } = &refused
        {
            record.verdict = Verdict::Deny(*reason);
            record.rules.clone_from(rules);
            record.detail = Some(detail.clone());
        }
        place.write(record);
        refused
    }

    fn record(&self, asker: &Asker<'_>, entitlement: Option<&Arc<Entitlement>>) -> Record {
        let mut record = Record::new(RecordKind::Request, self.clock.wall());
        record.agent = Some(AgentId::clone(&asker.agent.agent.id));
        record.task = asker.task.map(|task| TaskId::clone(&task.task().id));
        record.entitlement = entitlement.map(|entitlement| entitlement.id.clone());
        record.generation = Some(asker.snapshot.generation().clone());
        record.source = Some(asker.source);
        record
    }
}

fn unrecorded(unavailable: impl fmt::Display) -> Refused {
    Refused::Unrecorded(unavailable.to_string())
}

fn no_rule(entitlement: &str) -> Refused {
    Refused::No {
        reason: DenyReason::ConditionDenied,
        detail: format!("no rule lets this agent ask for `{entitlement}` now"),
        rules: Vec::new(),
    }
}

fn denied(entitlement: &Entitlement, denial: Denial) -> Refused {
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
