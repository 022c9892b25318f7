//! From a change of one file among ten thousand rules to its being live: when it is ordered, and when
//! it is only noticed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use portcullis::base::Clock;
use portcullis::config::{Outcome, Reloader, Sources};
use portcullis::pdp::Memory;
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::decide::{OPERATIONS, SERVICES, sources};

const RULES: usize = 10_000;

pub(crate) fn reload(criterion: &mut Criterion) {
    let directory = TempDir::new().unwrap();
    let policies = directory.path();
    fs::write(policies.join("house.toml"), tables()).unwrap();
    for source in sources(RULES) {
        fs::write(policies.join(&*source.file), &*source.text).unwrap();
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let clock = Clock::system();
    let sources = Sources {
        directories: vec![policies.to_owned()],
        credentials: std::iter::empty().collect(),
        stand_in: None,
    };
    let (reloader, watcher) = Reloader::open(sources, &clock, Memory::default()).unwrap();
    assert_eq!(reloader.status().rules, RULES);
    let watching = runtime.spawn(watcher.run());
    let mut turn = 0;
    let mut group = criterion.benchmark_group("reload");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    group.bench_function("ordered", |bencher| {
        bencher.iter_custom(|count| {
            let began = clock.now();
            for _ in 0..count {
                turn += 1;
                change(policies, turn);
                let outcome = runtime.block_on(reloader.reload()).unwrap();
                // Whoever notices may be faster.
                assert!(matches!(
                    outcome,
                    Outcome::Published(_) | Outcome::Unchanged
                ));
            }
            clock.now() - began
        });
    });
    group.bench_function("noticed", |bencher| {
        bencher.iter_custom(|count| {
            let mut status = reloader.watch_status();
            let began = clock.now();
            for _ in 0..count {
                let before = reloader.status().generation;
                turn += 1;
                change(policies, turn);
                let live = status.wait_for(|status| status.generation != before);
                assert!(runtime.block_on(live).is_ok());
            }
            clock.now() - began
        });
    });
    group.finish();
    watching.abort();
}

/// Another limit in one of the rules, by renaming a new file over the old.
fn change(policies: &Path, turn: u32) {
    let (file, new) = (policies.join("50.cedar"), policies.join("50.cedar.new"));
    let text = fs::read_to_string(&file).unwrap();
    let (first, rest) = text.split_once("amount <= ").unwrap();
    let (_, rest) = rest.split_once(' ').unwrap();
    fs::write(&new, format!("{first}amount <= {turn} {rest}")).unwrap();
    fs::rename(&new, &file).unwrap();
}

/// The services, operations and agents that the rules name.
fn tables() -> String {
    let mut text = String::new();
    for number in 0..SERVICES {
        let _ = write!(
            text,
            "[[service]]\nname = \"s{number}\"\nmatch = {{ host = \"s{number}.internal\" }}\n\
             upstreams = [\"http://127.0.0.1:9\"]\n"
        );
    }
    for number in 0..OPERATIONS {
        let (service, group) = (number % SERVICES, ["write", "read", "read"][number % 3]);
        let _ = write!(
            text,
            "[[operation]]\nid = \"s{service}.o{number}\"\nservice = \"s{service}\"\n\
             route = \"POST /o{number}\"\ngroups = [\"{group}\"]\nrisk = \"low\"\n\
             input = {{ amount = \"query:Long\" }}\n"
        );
    }
    for number in 0..100 {
        let group = number % 10;
        let _ = write!(
            text,
            "[[agent]]\nid = \"agent-{number}\"\ngroups = [\"group-{group}\"]\n\
             subject = \"agent-{number}\"\n"
        );
    }
    text.push_str(
        "[[entitlement]]\nid = \"everything\"\ngroups = [\"s0:write\"]\nmax_ttl = \"15m\"\n",
    );
    text
}
