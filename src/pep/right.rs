//! By what right: a baseline operation, or a live grant that covers the call. That there is no third
//! way is code, not policy.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::gate::Gate;
use super::refusal::Refusal;
use super::session::Identity;
use crate::base::BootInstant;
use crate::config::{Endpoint, Snapshot};
use crate::grants::LiveGrant;
use crate::model::{
    Ask, AuthFacts, DenyReason, Entitlement, EntitlementId, Proof, Question, RiskFacts,
    SourceFacts, TaskFacts, TaskId, UsualFacts,
};
use crate::pdp::{Decision, Requirement};
use crate::tokens::Confirmation;

/// The right that a call is made by.
#[derive(Debug)]
pub(super) enum Right {
    /// The operation needs no grant.
    Baseline,
    /// Live grants that cover the call, the earliest deadline first; never empty.
    Grants(Vec<Arc<LiveGrant>>),
}

/// The facts about an agent that every question of one request shares.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    pub(super) identity: &'a Identity,
    pub(super) snapshot: &'a Snapshot,
    pub(super) source: IpAddr,
    pub(super) now: BootInstant,
    pub(super) wall: Timestamp,
}

impl<'a> Situation<'a> {
    /// A question about `ask`; the local time is that of `time_zone`.
    pub(super) fn question<'q>(
        &'q self,
        ask: Ask<'q>,
        time_zone: &'q TimeZone,
    ) -> Question<'q>
    where
        'a: 'q,
    {
        let task = self.identity.task().map(|live| {
            let task = live.task();
            let age = self.now.saturating_since(live.opened()).as_secs();
            TaskFacts {
                id: &task.id,
                kind: task.kind.as_deref().unwrap_or_default(),
                age_seconds: whole(age),
                depth: i64::from(task.depth),
                opened_by: &task.opened_by,
            }
        });
        let authenticated = self.identity.authenticated();
        let methods = authenticated.methods().to_vec();
        Question {
            agent: &self.identity.agent().agent.id,
            ask,
            now: self.wall,
            time_zone,
            source: SourceFacts {
                ip: self.source,
                // Nothing is known of an agent's addresses until they are learnt.
                known: false,
                country: None,
            },
            risk: RiskFacts::UNKNOWN,
            task,
            auth: AuthFacts {
                factors: whole(methods.len() as u64),
                methods,
                proof: proof(authenticated.confirmation()),
            },
            usual: UsualFacts::default(),
        }
    }

    /// Whether the agent may ask for `entitlement` now, and if so whether a person has to approve. An
    /// agent without a task is judged as if it had just opened one: that is what it is told to do.
    fn may_ask(&self, entitlement: &Entitlement) -> Option<bool> {
        let ask = Ask::Request {
            entitlement: &entitlement.id,
            approved_by: &[],
        };
        let mut question = self.question(ask, &TimeZone::UTC);
        let fresh = TaskId::random();
        question.task.get_or_insert(TaskFacts {
            id: &fresh,
            kind: "",
            age_seconds: 0,
            depth: 0,
            opened_by: self.identity.agent().agent.id.as_str(),
        });
        match self.snapshot.policies().decide(&question) {
            Decision::Allow(_) => Some(entitlement.approval.is_some()),
            Decision::Deny(denial) => match denial.requires {
                Some(Requirement::Approval(_)) => Some(true),
                Some(Requirement::Mfa | Requirement::Proof(_)) | None => None,
            },
        }
    }
}

impl Gate {
    /// The right to call `endpoint`, or the next step towards one.
    pub(super) fn right(
        &self,
        situation: &Situation<'_>,
        endpoint: &Endpoint,
    ) -> Result<Right, Refusal> {
        if endpoint.operation.baseline {
            return Ok(Right::Baseline);
        }
        let task = situation.identity.task();
        let grants = task.map(|task| task.grants()).unwrap_or_default();
        let covers = |grant: &&Arc<LiveGrant>| {
            let request = grant.request();
            grant.ended(situation.now).is_none()
                && request.operations.contains(&endpoint.operation.id)
                && endpoint.covering.contains(&request.entitlement)
        };
        let grants: Vec<_> = grants.iter().filter(covers).cloned().collect();
        if grants.is_empty() {
            return Err(self.next_step(situation, endpoint));
        }
        Ok(Right::Grants(grants))
    }

    /// What an agent without a grant can do about it: the narrowest entitlement that covers the
    /// operation and that it may ask for now.
    fn next_step(&self, situation: &Situation<'_>, endpoint: &Endpoint) -> Refusal {
        let snapshot = situation.snapshot;
        let narrowest = endpoint.covering.iter().find_map(|id| {
            let entitlement = snapshot.entitlement(id.as_str())?;
            Some((entitlement, situation.may_ask(entitlement)?))
        });
        let Some((entitlement, approval)) = narrowest else {
            let detail = "nothing that this agent may ask for covers this operation";
            return Refusal::new(DenyReason::NotEntitled, detail);
        };
        let task = situation.identity.task();
        let next = self.request_step(&entitlement.id, task.map(|t| t.task().id.as_str()), approval);
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
    fn request_step(&self, entitlement: &EntitlementId, task: Option<&str>, approval: bool) -> Value {
        let control = &self.facts.control_url;
        let mut details = json!({
            "type": "portcullis_grant",
            "entitlement": entitlement.as_str(),
        });
        let mut next = json!({
            "request_url": format!("{control}/v1/requests"),
            "approval": approval,
        });
        match task {
            Some(task) => details["task"] = json!(task),
            None => {
                next["task_url"] = json!(format!("{control}/v1/tasks"));
                next["token_url"] = json!(format!("{control}/oauth/token"));
            }
        }
        next["authorization_details"] = json!([details]);
        next
    }
}

pub(super) const fn proof(confirmation: Option<Confirmation>) -> Proof {
    match confirmation {
        Some(Confirmation::Jkt(_)) => Proof::Dpop,
        Some(Confirmation::X5tS256(_)) => Proof::Mtls,
        None => Proof::Bearer,
    }
}

pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
