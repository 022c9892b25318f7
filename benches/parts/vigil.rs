//! What changes cost among 100,000 grants at rest, of which one in a thousand has a rule that reads the time:
//! a second that passes, a moment at which those turn, and a new generation whose rules are the same, with which
//! all of them are compared and none is asked about.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use portcullis::access::Vigil;
use portcullis::audit::{Options, open};
use portcullis::base::{Clock, ManualClock};
use portcullis::config::{Reloader, Sources};
use portcullis::grants::{Asking, Grants, Limits, LiveGrant, OpenTask};
use portcullis::model::{Circumstances, Entitlement, Inputs};
use portcullis::pdp::Memory;
use portcullis::store::MemoryStore;
use portcullis::telemetry::Metrics;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::yield_now;

use crate::processor::Processor;

const GRANTS: usize = 100_000;

/// One in so many has a rule that reads the time.
const TIMED: usize = 1000;

/// Of one task.
const OF_A_TASK: usize = 50;

const AGENTS: usize = 20;

/// So often others get a turn while all are compared or asked about, at least: twice for each 64.
const ROUNDS_OF_ALL: usize = 4 * GRANTS / 64;

/// Longer than the bench moves the clock.
const LONG: Duration = Duration::from_hours(10_000_000);

pub(crate) fn vigil(criterion: &mut Criterion<Processor>) {
    let directory = TempDir::new().unwrap();
    write_policies(&directory.path().join("policies"));
    let (clock, hand) = Clock::manual("2026-11-23T09:00:00Z".parse().unwrap());
    let sources = Sources {
        directories: vec![directory.path().join("policies")],
        credentials: std::iter::empty().collect(),
        stand_in: None,
    };
    let (reloader, _watcher) = Reloader::open(sources, &clock, Memory::default()).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let options = Options::new(directory.path().join("audit"));
    let (audit, writer) = open(&options, clock.clone()).unwrap();
    let writer = std::thread::spawn(move || writer.run());
    let limits = Limits {
        lease: LONG,
        longest_lease: LONG,
        task_max_age: LONG,
        ..Limits::default()
    };
    let metrics = Arc::new(Metrics::new(std::iter::empty(), std::iter::empty()));
    let store = Arc::new(MemoryStore::default());
    let handle = runtime.handle().clone();
    let grants = Grants::new(clock.clone(), store, limits, Arc::clone(&metrics), handle);
    let snapshot = reloader.live().current();
    let entitlement = snapshot.entitlement("rest").unwrap();
    let timed = runtime.block_on(activate(&grants, entitlement));
    let vigil = Vigil::new(reloader.live(), grants, audit, metrics, clock);
    let (publish, published) = watch::channel(());
    let watching = runtime.spawn(vigil.run(published));
    pass(&runtime, ROUNDS_OF_ALL);

    let mut group = criterion.benchmark_group("vigil_100000");
    // The grants have to outlive it.
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(1));
    group.bench_function("second_passes", |bencher| {
        bencher.iter(|| {
            hand.advance(Duration::from_millis(1000));
            pass(&runtime, 8);
        });
    });
    group.bench_function("100_turn", |bencher| {
        bencher.iter(|| turn(&runtime, &hand, &timed));
    });
    group.bench_function("all_are_compared", |bencher| {
        bencher.iter(|| {
            publish.send_replace(());
            pass(&runtime, ROUNDS_OF_ALL);
        });
    });
    group.finish();
    watching.abort();
    drop(runtime);
    drop(writer);
}

/// Lets the vigil do its work, which it does in so many steps.
fn pass(runtime: &Runtime, rounds: usize) {
    runtime.block_on(async {
        for _ in 0..rounds {
            yield_now().await;
        }
    });
}

/// Half an hour later those are suspended that were not, and the other way round.
fn turn(runtime: &Runtime, hand: &ManualClock, timed: &[Arc<LiveGrant>]) {
    let suspended = timed[0].is_suspended();
    hand.advance(Duration::from_mins(30));
    runtime.block_on(async {
        while timed.iter().any(|one| one.is_suspended() == suspended) {
            yield_now().await;
        }
    });
}

async fn activate(grants: &Grants, entitlement: &Entitlement) -> Vec<Arc<LiveGrant>> {
    let mut timed = Vec::new();
    let mut rest = GRANTS;
    let mut number = 0;
    while rest > 0 {
        let is_timed = timed.len() < GRANTS / TIMED;
        let agent = match is_timed {
            true => "timed".to_owned(),
            false => format!("agent-{}", number % AGENTS),
        };
        number += 1;
        let open = OpenTask {
            id: None,
            agent: agent.parse().unwrap(),
            kind: None,
            description: None,
            parent: None,
            opened_by: agent,
            lease: Some(LONG),
        };
        let task = grants.open_task(open).await.unwrap();
        for _ in 0..OF_A_TASK.min(rest) {
            let asking = Asking {
                entitlement,
                task: &task,
                reason: None,
                duration: None,
                input: Inputs::new(),
                asked: Circumstances::UNKNOWN,
            };
            let grant = grants.activate(asking).await.unwrap();
            if is_timed {
                timed.push(grant);
            }
            rest -= 1;
        }
    }
    timed
}

fn write_policies(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let mut table = "[[service]]\nname = \"s\"\nmatch = { path = \"/s\" }\n\
         upstreams = [\"http://127.0.0.1:9\"]\n\
         [[operation]]\nid = \"s.read\"\nservice = \"s\"\nroute = \"GET /s/read\"\n\
         [[entitlement]]\nid = \"rest\"\noperations = [\"s.read\"]\nmax_ttl = \"8000h\"\n"
        .to_owned();
    for number in 0..AGENTS {
        table.push_str(&format!(
            "[[agent]]\nid = \"agent-{number}\"\ngroups = [\"many\"]\nsubject = \"agent-{number}\"\n"
        ));
    }
    table.push_str("[[agent]]\nid = \"timed\"\ngroups = [\"few\"]\nsubject = \"timed\"\n");
    fs::write(directory.join("house.toml"), table).unwrap();
    let rules = r#"
@id("all") permit (principal, action, resource);
@id("risky") @on_change("suspend") forbid (principal in AgentGroup::"many", action in Action::"call", resource)
when { context.risk.known && context.risk.score > 70 };
@id("half") @on_change("suspend") forbid (principal in AgentGroup::"few", action in Action::"call", resource)
when { context.local.minute >= 30 };
"#;
    fs::write(directory.join("rules.cedar"), rules).unwrap();
}
