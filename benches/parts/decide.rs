//! What a decision costs among ten rules and among ten thousand, and what compiling them costs.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion};
use jiff::tz::TimeZone;
use portcullis::model::{
    Agent, Agreed, Ask, AuthFacts, Entitlement, GrantFacts, GrantId, History, HttpFacts, Input,
    InputKind, InputSource, InputValue, Inputs, Operation, OperationId, Proof, Protocol, Question,
    Risk, RiskFacts, Service, ServiceMatch, SourceFacts, TaskFacts, TaskId, Timeouts,
    UpstreamProtocol, UpstreamTls, UsualFacts,
};
use portcullis::pdp::{Catalogue, Decision, Kept, Memory, Policies, Source};

use crate::processor::Processor;

pub(crate) const SERVICES: usize = 20;
pub(crate) const OPERATIONS: usize = 200;

pub(crate) struct House {
    agents: Vec<Agent>,
    services: Vec<Service>,
    operations: Vec<Operation>,
    entitlements: Vec<Entitlement>,
}

pub(crate) fn house() -> House {
    let agents = (0..100).map(|number| Agent {
        id: format!("agent-{number}").parse().unwrap(),
        groups: [format!("group-{}", number % 10).parse().unwrap()].into(),
        owner: None,
        may_open_for: BTreeSet::new(),
        subject: None,
    });
    let services = (0..SERVICES).map(|number| Service {
        name: format!("s{number}").parse().unwrap(),
        matches: ServiceMatch::Host(format!("s{number}.internal").into()),
        upstreams: Vec::new(),
        tls: UpstreamTls::default(),
        protocol: UpstreamProtocol::default(),
        health: None,
        timeouts: Timeouts::default(),
        inject: None,
        time_zone: TimeZone::UTC,
    });
    let amount = || Input {
        source: InputSource::Query("amount".into()),
        kind: InputKind::Long,
    };
    let operations = (0..OPERATIONS).map(|number| Operation {
        id: operation_id(number),
        service: format!("s{}", number % SERVICES).parse().unwrap(),
        groups: [if number % 3 == 0 { "write" } else { "read" }
            .parse()
            .unwrap()]
        .into(),
        risk: Risk::Low,
        baseline: false,
        protocol: Protocol::Http,
        inputs: [(Arc::from("amount"), amount())].into(),
    });
    let entitlements = vec![Entitlement {
        id: "everything".parse().unwrap(),
        operations: (0..OPERATIONS).map(operation_id).collect(),
        max_ttl: Duration::from_secs(900),
        max_calls: None,
        max_bytes: None,
        max_concurrent: None,
        approval: None,
        proof: Proof::Bearer,
        reason_required: false,
    }];
    House {
        agents: agents.collect(),
        services: services.collect(),
        operations: operations.collect(),
        entitlements,
    }
}

fn operation_id(number: usize) -> OperationId {
    format!("s{}.o{number}", number % SERVICES).parse().unwrap()
}

impl House {
    fn catalogue(&self) -> Catalogue<'_> {
        Catalogue {
            agents: &self.agents,
            services: &self.services,
            operations: &self.operations,
            entitlements: &self.entitlements,
        }
    }
}

/// Seven rules that apply to the question, on time, address, task, risk, input, proof and grant; the
/// rest have scopes of their own. A hundred rules to a file.
pub(crate) fn sources(rules: usize) -> Vec<Source> {
    let applying = r#"
        @id("a1") permit(principal in AgentGroup::"group-0", action == Action::"s0.o0", resource)
        when { context.input.amount <= 500 };
        @id("a2") forbid(principal, action in Action::"call", resource)
        unless { context.risk.known && context.risk.score < 70 };
        @id("a3") forbid(principal, action in Action::"s0", resource)
        unless { context.local.hour >= 8 && context.local.hour < 18 && context.local.weekday <= 5 };
        @id("a4") forbid(principal, action in Action::"write", resource)
        unless { context.source.ip.isInRange(ip("10.0.0.0/8")) };
        @id("a5") forbid(principal, action in Action::"write", resource == Service::"s0")
        unless { context has task && context.task.kind == "support" };
        @id("a6") forbid(principal, action in Action::"risk:low", resource)
        unless { context.auth.factors >= 1 && context.auth.proof == "bearer" };
        @id("a7") forbid(principal == Agent::"agent-0", action, resource)
        when { context has grant && context.grant.age_seconds > 900 };
    "#;
    let other = |number: usize| {
        let operation = operation_id(number % (OPERATIONS - 1) + 1);
        let group = 1 + number % 9;
        format!(
            "@id(\"r{number}\") permit(principal in AgentGroup::\"group-{group}\", action == \
             Action::\"{operation}\", resource) when {{ context.input.amount <= {number} && \
             context.local.hour >= 8 && context.source.known && context.risk.score < 50 }};\n"
        )
    };
    let mut files = vec![applying.to_owned()];
    for start in (7..rules).step_by(100) {
        files.push((start..rules.min(start + 100)).map(other).collect());
    }
    let files = files.into_iter().enumerate();
    files
        .map(|(number, text)| Source {
            file: format!("{number}.cedar").into(),
            text: text.into(),
        })
        .collect()
}

pub(crate) fn ask<T>(answer: impl FnOnce(&Question<'_>) -> T) -> T {
    let grant: GrantId = "grt_1".parse().unwrap();
    let task: TaskId = "tsk_1".parse().unwrap();
    let input: Inputs = [(Arc::from("amount"), InputValue::Long(100))].into();
    answer(&Question {
        agent: &"agent-0".parse().unwrap(),
        ask: Ask::Call {
            operation: &operation_id(0),
            grant: Some(GrantFacts {
                id: &grant,
                entitlement: &"everything".parse().unwrap(),
                age_seconds: 60,
                calls_left: None,
                bytes_left: None,
                approved_by: Agreed::default(),
            }),
            http: HttpFacts {
                method: "POST",
                host: "s0.internal",
                path: "/orders/7/refund",
                content_length: None,
            },
            input: &input,
            history: &History::new(),
        },
        now: "2026-11-18T14:30:00Z".parse().unwrap(),
        time_zone: &TimeZone::UTC,
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
        task: Some(TaskFacts {
            id: &task,
            kind: "support",
            age_seconds: 120,
            depth: 0,
            opened_by: "ana@example.com",
        }),
        auth: AuthFacts {
            methods: &["private_key_jwt"],
            factors: 1,
            proof: Proof::Bearer,
        },
        usual: UsualFacts::default(),
    })
}

pub(crate) fn compile(house: &House, sources: &[Source], memory: &mut Memory) -> Policies {
    let compiled = Policies::compile(&house.catalogue(), sources, memory);
    let (policies, warnings) = compiled.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    policies
}

pub(crate) fn decide(criterion: &mut Criterion<Processor>) {
    let house = house();
    let mut group = criterion.benchmark_group("decide");
    for rules in [10, 1_000, 10_000] {
        let policies = compile(&house, &sources(rules), &mut Memory::default());
        assert_eq!(policies.rules().len(), rules);
        ask(|question| {
            let decision = policies.decide(question);
            assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
            // As a live grant is asked again and again.
            let kept = Kept::default();
            group.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
                bencher.iter(|| policies.decide_kept(black_box(question), &kept));
            });
        });
    }
    group.finish();
}

pub(crate) fn compiling(criterion: &mut Criterion) {
    let house = house();
    let before = sources(10_000);
    let mut group = criterion.benchmark_group("compile_10000");
    group.sample_size(10);
    group.bench_function("cold", |bencher| {
        bencher.iter_batched_ref(
            Memory::default,
            |memory| compile(&house, &before, memory),
            BatchSize::PerIteration,
        );
    });
    let mut memory = Memory::default();
    drop(compile(&house, &before, &mut memory));
    let mut turn = 0;
    group.bench_function("one_file_changed", |bencher| {
        bencher.iter_batched(
            || {
                turn += 1;
                let mut after = before.clone();
                let changed = format!("amount <= {turn}");
                if let Some(source) = after.get_mut(50) {
                    let text = source.text.replace("amount <= 4907", &changed);
                    source.text = format!("// {turn}\n{text}").into();
                }
                after
            },
            |after| compile(&house, &after, &mut memory),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
