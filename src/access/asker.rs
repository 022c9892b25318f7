//! The facts about whoever asks, as questions to the decision point.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::requests::who_agrees;
use super::{Identity, SupposedSignals};
use crate::authn::factors;
use crate::base::BootInstant;
use crate::config::{EnrolledAgent, Snapshot};
use crate::grants::LiveTask;
use crate::model::{
    Agreed, ApprovalRule, Ask, AuthFacts, Circumstances, Entitlement, Holder, Proof, Question,
    RiskFacts, Shared, SourceFacts, TaskFacts, TaskId, UsualFacts,
};
use crate::pdp::Decision;
use crate::signals::Signals;
use crate::tokens::Confirmation;

/// Who asks, where from, when, and under which configuration. Every question of one request is put
/// with the same.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The live configuration.
    pub snapshot: &'a Snapshot,
    /// The agent.
    pub agent: &'a EnrolledAgent,
    /// What it works on.
    pub task: Option<&'a Arc<LiveTask>>,
    /// How it proved who it is.
    pub methods: &'a [&'a str],
    /// The `acr` values by which its token's issuer can tell of several factors; none where it can't.
    pub acr: &'a [String],
    /// What its token is bound to.
    pub holder: Option<Holder>,
    /// Its address.
    pub source: IpAddr,
    /// How risky it looks.
    pub risk: RiskFacts,
    /// Where it can be looked up what is usual for it, and which country its address is in; nothing is
    /// usual, and no country known, where it can't.
    pub habits: Option<&'a Signals>,
    /// The moment, on the boot clock.
    pub now: BootInstant,
    /// The same moment, on the wall clock.
    pub wall: Timestamp,
    /// What is taken for true instead of what is measured, for what is only supposed.
    pub supposed: Option<&'a SupposedSignals>,
}

impl<'a> Asker<'a> {
    /// The holder of a verified token.
    #[must_use]
    pub fn new(
        snapshot: &'a Snapshot,
        identity: &'a Identity,
        source: IpAddr,
        (now, wall): (BootInstant, Timestamp),
        signals: &'a Signals,
    ) -> Self {
        let task = identity.task.as_ref();
        Self {
            snapshot,
            agent: &identity.agent,
            task,
            risk: risk_of(snapshot, signals, &identity.agent, task),
            habits: Some(signals),
            methods: identity.authenticated.methods(),
            acr: identity.authenticated.acr(),
            holder: identity.authenticated.confirmation().map(holder),
            source,
            now,
            wall,
            supposed: None,
        }
    }

    /// How its token is bound.
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.holder.map_or(Proof::Bearer, Holder::proof)
    }

    /// A question about `ask`; the local time is that of `time_zone`.
    #[must_use]
    pub fn question<'q>(&'q self, ask: Ask<'q>, time_zone: &'q TimeZone) -> Question<'q> {
        let usual = self.usual(&ask);
        let mut question = Question {
            agent: &self.agent.agent.id,
            ask,
            now: self.wall,
            time_zone,
            source: SourceFacts {
                ip: self.source,
                known: usual.network,
                country: self.country(),
            },
            risk: self.risk,
            task: self.task.map(|live| self.task_facts(live)),
            auth: AuthFacts {
                methods: self.methods,
                factors: factors(self.methods),
                proof: self.proof(),
            },
            usual,
        };
        if let Some(supposed) = self.supposed {
            supposed.replace(&mut question);
        }
        question
    }

    /// The country of its address, where any rule reads it and it is known.
    fn country(&self) -> Option<Arc<str>> {
        let read = self.snapshot.policies().reads_country();
        self.habits.filter(|_| read)?.country(self.source)
    }

    /// What is usual for it, where any rule reads it. Of an entitlement, every operation has to be.
    fn usual(&self, ask: &Ask<'_>) -> UsualFacts {
        let policies = self.snapshot.policies();
        let Some(habits) = self.habits.filter(|_| policies.reads_habits()) else {
            return UsualFacts::default();
        };
        let agent = &self.agent.agent.id;
        match ask {
            Ask::Call { operation, .. } => {
                habits.usual(agent, self.source, [*operation], self.wall)
            }
            Ask::Request { entitlement, .. } => {
                let entitlement = self.snapshot.entitlement(entitlement.as_str());
                let operations = entitlement.into_iter().flat_map(|one| &one.operations);
                habits.usual(agent, self.source, operations, self.wall)
            }
        }
    }

    /// How many factors count as shown.
    #[must_use]
    pub fn factors(&self) -> i64 {
        let supposed = self.supposed.and_then(|supposed| supposed.factors);
        supposed.unwrap_or_else(|| factors(self.methods))
    }

    /// Decides whether the agent may have `entitlement`, people having agreed as `approved_by` tells.
    pub fn decide_request(&self, entitlement: &Entitlement, approved_by: Agreed<'_>) -> Decision {
        let ask = Ask::Request {
            entitlement: &entitlement.id,
            approved_by,
        };
        let utc = TimeZone::UTC;
        let question = self.question(ask, &utc);
        self.decide(&question)
    }

    fn decide(&self, question: &Question<'_>) -> Decision {
        let policies = self.snapshot.policies();
        if self.is_judged_by_cedar() {
            policies.decide_by_cedar(question)
        } else {
            policies.decide(question)
        }
    }

    /// Whether it is supposed that Cedar's own authorizer judges what the rules say.
    #[must_use]
    pub fn is_judged_by_cedar(&self) -> bool {
        self.supposed.is_some_and(|supposed| supposed.by_cedar)
    }

    /// Whether the agent may ask for `entitlement` now, and if so whom that asks to approve it. An agent
    /// without a task is judged as if it had just opened one: that is what it is told to do.
    #[must_use]
    pub fn may_ask(&self, entitlement: &Entitlement) -> Option<Option<Shared<ApprovalRule>>> {
        let (utc, fresh) = (TimeZone::UTC, TaskId::random());
        let decide = |approved_by: Agreed<'_>| {
            let ask = Ask::Request {
                entitlement: &entitlement.id,
                approved_by,
            };
            let mut question = self.question(ask, &utc);
            question.task.get_or_insert(TaskFacts {
                id: &fresh,
                kind: "",
                age_seconds: 0,
                depth: 0,
                opened_by: self.agent.agent.id.as_str(),
            });
            self.decide(&question)
        };
        let (_, approval) = who_agrees(entitlement, decide).ok()?;
        Some(approval)
    }

    /// What is known of the asker besides its name, to be kept with what it asks for.
    #[must_use]
    pub fn circumstances(&self) -> Circumstances {
        Circumstances {
            source: self.source,
            methods: self
                .methods
                .iter()
                .map(|method| Arc::from(*method))
                .collect(),
            holder: self.holder,
        }
    }

    fn task_facts<'t>(&self, live: &'t LiveTask) -> TaskFacts<'t> {
        let task = live.task();
        TaskFacts {
            id: &task.id,
            kind: task.kind.as_deref().unwrap_or_default(),
            age_seconds: whole(self.now.saturating_since(live.opened()).as_secs()),
            depth: i64::from(task.depth),
            opened_by: &task.opened_by,
        }
    }
}

/// How risky an agent looks in a task, where any rule reads it.
#[must_use]
pub fn risk_of(
    snapshot: &Snapshot,
    signals: &Signals,
    agent: &EnrolledAgent,
    task: Option<&Arc<LiveTask>>,
) -> RiskFacts {
    if !snapshot.policies().reads_risk() {
        return RiskFacts::UNKNOWN;
    }
    signals.risk(&agent.agent.id, task.map(|task| &task.task().id))
}

/// What a token's confirmation makes of whoever asks with it.
#[must_use]
pub const fn holder(confirmation: Confirmation) -> Holder {
    match confirmation {
        Confirmation::Jkt(key) => Holder::DpopKey(key),
        Confirmation::X5tS256(certificate) => Holder::Certificate(certificate),
    }
}

/// A count as a Cedar `Long`.
#[must_use]
pub fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
