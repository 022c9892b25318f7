//! A small house for the tests of this room: agents, operations and a question that can be bent.

pub(super) mod random;
pub(super) mod typed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Catalogue, Decision, Memory, Policies, Problem, Source};
use crate::model::{
    Agent, AgentId, Agreed, Ask, AuthFacts, Entitlement, EntitlementId, GrantFacts, GrantId,
    GroupName, History, HttpFacts, Input, InputKind, InputSource, InputValue, Inputs, Operation,
    OperationId, Proof, Protocol, Question, Risk, RiskFacts, Service, ServiceMatch, SourceFacts,
    TaskFacts, TaskId, UsualFacts,
};

/// The nouns of a catalogue.
#[derive(Clone)]
pub(super) struct House {
    pub(super) agents: Vec<Agent>,
    pub(super) services: Vec<Service>,
    pub(super) operations: Vec<Operation>,
    pub(super) entitlements: Vec<Entitlement>,
}

fn set<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(names: &[&str]) -> BTreeSet<T> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub(super) fn agent(id: &str, groups: &[&str]) -> Agent {
    Agent {
        id: id.parse().unwrap(),
        groups: set(groups),
        owner: None,
        may_open_for: BTreeSet::new(),
        subject: None,
    }
}

pub(super) fn service(name: &str) -> Service {
    Service {
        name: name.parse().unwrap(),
        matches: ServiceMatch::Host(name.into()),
        upstreams: Vec::new(),
        tls: Default::default(),
        protocol: Default::default(),
        health: None,
        timeouts: Default::default(),
        inject: None,
        time_zone: TimeZone::UTC,
    }
}

pub(super) fn operation(
    id: &str,
    groups: &[&str],
    risk: Risk,
    inputs: &[(&str, InputKind)],
) -> Operation {
    let input = |kind| Input {
        source: InputSource::Query("x".into()),
        kind,
    };
    Operation {
        id: id.parse().unwrap(),
        service: id.split('.').next().unwrap().parse().unwrap(),
        groups: set(groups),
        risk,
        baseline: id.ends_with(".ping"),
        protocol: Protocol::Http,
        inputs: inputs
            .iter()
            .map(|(name, kind)| (Arc::from(*name), input(*kind)))
            .collect(),
    }
}

pub(super) fn entitlement(id: &str, operations: &[&str]) -> Entitlement {
    Entitlement {
        id: id.parse().unwrap(),
        operations: set(operations).into(),
        max_ttl: Duration::from_secs(900),
        max_calls: None,
        max_bytes: None,
        max_concurrent: None,
        approval: None,
        proof: Proof::Bearer,
        reason_required: false,
    }
}

impl House {
    pub(super) fn new() -> Self {
        Self {
            agents: vec![
                agent("billing-bot", &["billing"]),
                agent("deploy-bot", &["ops", "night"]),
                agent("loner", &[]),
            ],
            services: vec![service("orders"), service("deploys")],
            operations: vec![
                operation("orders.list", &["read"], Risk::Low, &[]),
                operation(
                    "orders.refund",
                    &["write"],
                    Risk::High,
                    &[
                        ("amount", InputKind::Long),
                        ("currency", InputKind::String),
                        ("urgent", InputKind::Bool),
                    ],
                ),
                operation("orders.ping", &[], Risk::Low, &[]),
                operation("deploys.list", &["read"], Risk::Low, &[]),
                operation(
                    "deploys.start",
                    &["write"],
                    Risk::Medium,
                    &[("replicas", InputKind::Long)],
                ),
            ],
            entitlements: vec![
                entitlement("reading", &["orders.list", "deploys.list"]),
                entitlement("refunds", &["orders.refund", "orders.list"]),
                entitlement("releases", &["deploys.start"]),
            ],
        }
    }

    pub(super) fn catalogue(&self) -> Catalogue<'_> {
        Catalogue {
            agents: &self.agents,
            services: &self.services,
            operations: &self.operations,
            entitlements: &self.entitlements,
        }
    }

    /// Compiles texts, each a file called `a.cedar`, `b.cedar` and so on.
    pub(super) fn compile(&self, texts: &[&str]) -> Result<(Policies, Vec<Problem>), Vec<Problem>> {
        self.compile_with(texts, &mut Memory::default())
    }

    pub(super) fn compile_with(
        &self,
        texts: &[&str],
        memory: &mut Memory,
    ) -> Result<(Policies, Vec<Problem>), Vec<Problem>> {
        let names = ('a'..='z').map(|letter| Arc::from(format!("{letter}.cedar")));
        let sources: Vec<Source> = names
            .zip(texts)
            .map(|(file, text)| Source {
                file,
                text: Arc::from(*text),
            })
            .collect();
        let compiled = Policies::compile(&self.catalogue(), &sources, memory);
        compiled.map_err(|refused| refused.problems)
    }

    /// Compiles one text that has no errors.
    pub(super) fn policies(&self, text: &str) -> Policies {
        match self.compile(&[text]) {
            Ok((policies, _)) => policies,
            Err(problems) => panic!("{text}\n{problems:#?}"),
        }
    }
}

/// All that a question refers to, owned.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) agent: AgentId,
    /// An operation, or none to ask for the entitlement.
    pub(super) operation: Option<OperationId>,
    pub(super) entitlement: EntitlementId,
    pub(super) granted: bool,
    pub(super) grant_age: i64,
    pub(super) calls_left: Option<i64>,
    pub(super) approved_by: Vec<GroupName>,
    pub(super) approved_mfa: bool,
    pub(super) content_length: Option<i64>,
    pub(super) input: Inputs,
    pub(super) history: History,
    pub(super) now: Timestamp,
    pub(super) time_zone: TimeZone,
    pub(super) source: SourceFacts,
    pub(super) risk: RiskFacts,
    pub(super) task: Option<(TaskId, String, String)>,
    pub(super) auth: AuthFacts<'static>,
    pub(super) usual: UsualFacts,
}

impl Asked {
    /// `billing-bot` refunds 100 in a task of kind `support` on a Wednesday at 14:30 UTC.
    pub(super) fn refund() -> Self {
        let input: [(&str, InputValue); 3] = [
            ("amount", InputValue::Long(100)),
            ("currency", InputValue::String("EUR".into())),
            ("urgent", InputValue::Bool(false)),
        ];
        Self {
            agent: "billing-bot".parse().unwrap(),
            operation: Some("orders.refund".parse().unwrap()),
            entitlement: "refunds".parse().unwrap(),
            granted: true,
            grant_age: 60,
            calls_left: None,
            approved_by: Vec::new(),
            approved_mfa: false,
            content_length: None,
            input: input.map(|(name, value)| (name.into(), value)).into(),
            history: BTreeMap::new(),
            now: "2026-11-18T14:30:00Z".parse().unwrap(),
            time_zone: TimeZone::UTC,
            source: SourceFacts {
                ip: "10.1.2.3".parse().unwrap(),
                known: true,
                country: None,
            },
            risk: RiskFacts {
                score: 10,
                age_seconds: 5,
                known: true,
            },
            task: Some((
                "t-1".parse().unwrap(),
                "support".to_owned(),
                "ana@example.com".to_owned(),
            )),
            auth: AuthFacts {
                methods: &["private_key_jwt"],
                factors: 1,
                proof: Proof::Bearer,
            },
            usual: UsualFacts::default(),
        }
    }

    /// `orders.list`, which declares no inputs.
    pub(super) fn list() -> Self {
        Self {
            operation: Some("orders.list".parse().unwrap()),
            input: Inputs::new(),
            ..Self::refund()
        }
    }

    /// A request of `refunds`.
    pub(super) fn request() -> Self {
        Self {
            operation: None,
            ..Self::list()
        }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Runs `ask` on the question.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Question<'_>) -> T) -> T {
        let grant_id: GrantId = "g-1".parse().unwrap();
        let approved_by = Agreed {
            groups: &self.approved_by,
            mfa: self.approved_mfa,
        };
        let grant = self.granted.then_some(GrantFacts {
            id: &grant_id,
            entitlement: &self.entitlement,
            age_seconds: self.grant_age,
            calls_left: self.calls_left,
            bytes_left: None,
            approved_by,
        });
        let wanted = match &self.operation {
            Some(operation) => Ask::Call {
                operation,
                grant,
                http: HttpFacts {
                    method: "POST",
                    host: "orders.internal",
                    path: "/orders/7/refund",
                    content_length: self.content_length,
                },
                input: &self.input,
                history: &self.history,
            },
            None => Ask::Request {
                entitlement: &self.entitlement,
                approved_by,
            },
        };
        ask(&Question {
            agent: &self.agent,
            ask: wanted,
            now: self.now,
            time_zone: &self.time_zone,
            source: self.source.clone(),
            risk: self.risk,
            task: self.task.as_ref().map(|(id, kind, opened_by)| TaskFacts {
                id,
                kind,
                age_seconds: 120,
                depth: 0,
                opened_by,
            }),
            auth: self.auth.clone(),
            usual: self.usual,
        })
    }
}

/// A decision in one line: `allow a b` or `condition_denied a b "message"`.
pub(super) fn shown(decision: &Decision) -> String {
    let (word, rules, message) = match decision {
        Decision::Allow(permit) => ("allow", permit.rules(), None),
        Decision::Deny(denial) => (
            denial.reason.as_str(),
            denial.rules.as_slice(),
            denial.message.as_ref(),
        ),
    };
    let mut line = word.to_owned();
    for rule in rules {
        line.push_str(&format!(" {rule}"));
    }
    if let Some(message) = message {
        line.push_str(&format!(" {message:?}"));
    }
    line
}
