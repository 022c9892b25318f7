//! What many rules, grants and connections cost: time to load, memory, time to decide, time of a call.
//!
//! `cargo bench --bench scale`, about a minute. Each line is a process of its own, so that its memory is
//! its own. Calls are one after the other over one connection, the server behind included.
//!
//! `cargo bench --bench scale -- rest` compares a gateway with 1,000,000 grants at rest with one with ten, and
//! `cargo bench --bench scale -- idle` says what a connection costs that waits for its next request; each some
//! minutes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark stops where its own fixture is wrong"
)]

#[path = "scale/child.rs"]
mod child;
#[path = "support/control.rs"]
mod control;
#[path = "support/gateway.rs"]
mod gateway;
#[path = "scale/idle.rs"]
mod idle;
#[path = "scale/rest.rs"]
mod rest;
#[path = "support/server.rs"]
mod server;

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use control::{Client, grant, request};
use gateway::Gateway;
use http::Method;
use jiff::tz::TimeZone;
use mimalloc::MiMalloc;
use portcullis::base::Clock;
use portcullis::config::{Snapshot, Sources, compile};
use portcullis::model::{
    Agreed, Ask, AuthFacts, GrantFacts, GrantId, History, HttpFacts, InputValue, Inputs, Proof,
    Question, RiskFacts, SourceFacts, TaskFacts, TaskId, UsualFacts,
};
use portcullis::pdp::{Decision, Memory};
use server::{ANSWER, serve};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A task has at most so many.
const GRANTS_PER_TASK: usize = 64;
const ASKING_AT_ONCE: usize = 8;
/// Decisions are timed in batches short enough that most are not interrupted.
const BATCHES: usize = 400;
const BATCH: u32 = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse::<usize>().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // `cargo test --benches` only wants to know that it builds.
        ["--test"] => {}
        ["rules", rules] => with_rules(number(rules)),
        ["grants", grants] => with_grants(number(grants)),
        ["gateway", directory, listen] => child::serve(directory.as_ref(), listen),
        ["fill", directory, grants] => rest::fill(directory.as_ref(), number(grants)),
        ["rest", ..] => rest::rest(),
        ["idle", ..] => idle::idle(),
        _ => {
            println!("\n  rules  load ms  one file changed ms  memory MiB  decision µs  call µs");
            for rules in ["10", "1000", "10000"] {
                line_of("rules", rules);
            }
            println!("\n grants  made in ms  memory MiB  KiB per grant  call µs  end of a task µs");
            for grants in ["64", "100000"] {
                line_of("grants", grants);
            }
        }
    }
}

fn line_of(what: &str, number: &str) {
    let program = std::env::current_exe().unwrap();
    let status = Command::new(program).args([what, number]).status().unwrap();
    assert!(status.success(), "{what} {number}: {status}");
}

fn with_rules(rules: usize) {
    let runtime = runtime();
    let gateway = runtime.block_on(gateway(rules));
    let policies = gateway.directory.path().join("policies");
    let changed = policies.join("0.cedar");
    let sources = Sources {
        directories: vec![policies],
        credentials: std::iter::empty().collect(),
        stand_in: None,
    };
    let mut memory = Memory::default();
    let (cold, snapshot) = timed(|| compile(&sources, &mut memory).unwrap().0);
    assert_eq!(snapshot.policies().rules().len(), rules);
    let text = fs::read_to_string(&changed).unwrap();
    fs::write(&changed, format!("// changed\n{text}")).unwrap();
    let (warm, _) = timed(|| compile(&sources, &mut memory).unwrap());
    drop(memory);
    let decision = decision(&snapshot);
    drop(snapshot);
    let call = runtime.block_on(async {
        let (task, token) = gateway.control.task().await;
        let mut control = gateway.control.connect().await;
        grant(&mut control, &task, &token).await;
        call(gateway.address, &token).await
    });
    println!(
        "{rules:>7}  {:>7.0}  {:>19.0}  {:>10.0}  {:>11.2}  {:>7.0}",
        millis(cold),
        millis(warm),
        resident() as f64 / 1024.0,
        micros(decision),
        micros(call),
    );
    runtime.block_on(gateway.stop());
}

fn with_grants(grants: usize) {
    let runtime = runtime();
    runtime.block_on(async {
        let gateway = gateway(100).await;
        let (first, token) = gateway.control.task().await;
        let mut control = gateway.control.connect().await;
        grant(&mut control, &first, &token).await;
        let before = resident();
        let clock = Clock::system();
        let began = clock.now();
        let tasks = grants.div_ceil(GRANTS_PER_TASK);
        let mut made = 0;
        while made < tasks {
            let group = ASKING_AT_ONCE.min(tasks - made);
            let group = (0..group).map(|_| fill_a_task(&gateway));
            made += group.len();
            futures(group).await;
        }
        let took = clock.now() - began;
        let after = resident();
        let call = call(gateway.address, &token).await;
        let end = end_of_a_task(&gateway).await;
        let held = tasks * GRANTS_PER_TASK;
        println!(
            "{held:>7}  {:>10.0}  {:>10.0}  {:>13.1}  {:>7.0}  {:>16}",
            millis(took),
            after as f64 / 1024.0,
            after.saturating_sub(before) as f64 / held as f64,
            micros(call),
            end,
        );
        gateway.stop().await;
    });
}

/// Opens a task with as many grants as it may have.
async fn fill_a_task(gateway: &Gateway) -> (String, String) {
    let (task, token) = gateway.control.task().await;
    let mut control = gateway.control.connect().await;
    for _ in 0..GRANTS_PER_TASK {
        grant(&mut control, &task, &token).await;
    }
    (task, token)
}

/// The longest time from a task's end to the last exchange of one of its grants gone.
async fn end_of_a_task(gateway: &Gateway) -> u64 {
    let (task, token) = fill_a_task(gateway).await;
    let mut control = gateway.control.connect().await;
    let path = format!("/v1/tasks/{task}/complete");
    let receipt = control.json(&path, Some(&token), "{}").await;
    let grants = receipt["grants"].as_array().unwrap();
    let micros = grants.iter().filter_map(|grant| grant["micros"].as_u64());
    micros.max().unwrap()
}

/// The median time of a call through the gate.
async fn call(gate: SocketAddr, token: &str) -> Duration {
    let clock = Clock::system();
    let mut client = Client::connect(gate).await;
    let mut times = Vec::new();
    for _ in 0..3000 {
        let request = request(Method::GET, "/things/17", Some(token), "");
        let began = clock.now();
        let (status, body) = client.send(request).await;
        times.push(clock.now() - began);
        assert!(status.is_success() && body == ANSWER, "{status} {body:?}");
    }
    times.sort();
    times[times.len() / 2]
}

/// The median time of a decision on a call under a grant.
fn decision(snapshot: &Snapshot) -> Duration {
    let grant: GrantId = "grt_1".parse().unwrap();
    let task: TaskId = "tsk_1".parse().unwrap();
    let input: Inputs = [("id".into(), InputValue::String("17".into()))].into();
    let none = History::new();
    let question = Question {
        agent: &"bench-bot".parse().unwrap(),
        ask: Ask::Call {
            operation: &"things.read".parse().unwrap(),
            grant: Some(GrantFacts {
                id: &grant,
                entitlement: &"everything".parse().unwrap(),
                age_seconds: 60,
                calls_left: None,
                bytes_left: None,
                approved_by: Agreed::default(),
            }),
            http: HttpFacts {
                method: "GET",
                host: "localhost",
                path: "/things/17",
                content_length: None,
            },
            input: &input,
            history: &none,
        },
        now: "2026-11-18T14:30:00Z".parse().unwrap(),
        time_zone: &TimeZone::UTC,
        source: SourceFacts {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            known: true,
            country: None,
        },
        risk: RiskFacts {
            score: 0,
            age_seconds: 0,
            known: false,
        },
        task: Some(TaskFacts {
            id: &task,
            kind: "",
            age_seconds: 120,
            depth: 0,
            opened_by: "bench-bot",
        }),
        auth: AuthFacts {
            methods: &["private_key_jwt"],
            factors: 1,
            proof: Proof::Bearer,
        },
        usual: UsualFacts::default(),
    };
    let decided = snapshot.policies().decide(&question);
    assert!(matches!(decided, Decision::Allow(_)), "{decided:?}");
    let mut batches: Vec<_> = (0..BATCHES)
        .map(|_| {
            let (took, ()) = timed(|| {
                for _ in 0..BATCH {
                    let _ = black_box(snapshot.policies().decide(black_box(&question)));
                }
            });
            took / BATCH
        })
        .collect();
    batches.sort();
    batches[batches.len() / 2]
}

/// A gateway with `rules` rules, all but two of them with scopes and conditions of their own.
async fn gateway(rules: usize) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    let others: Vec<String> = (2..rules)
        .map(|number| {
            format!(
                "@id(\"r{number}\") permit (principal == Agent::\"bench-bot\", \
                 action == Action::\"things.write\", resource) when {{ context.input.id == \
                 \"{number}\" && context.local.hour >= 8 && context.source.known }};\n"
            )
        })
        .collect();
    Gateway::start(upstream, &others).await
}

async fn futures<F: Future>(group: impl Iterator<Item = F>) {
    let mut group: Vec<_> = group.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        group.retain_mut(|one| one.as_mut().poll(context).is_pending());
        match group.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let clock = Clock::system();
    let began = clock.now();
    let made = run();
    (clock.now() - began, made)
}

/// Resident memory, in KiB.
fn resident() -> usize {
    child::resident_of("self")
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
