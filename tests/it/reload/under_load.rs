//! Reloads ten times a second while calls run: no call fails, none sees two generations, and files that
//! can't be used change nothing.
//!
//! `PORTCULLIS_TEST_RELOAD_SECONDS` says how long, `PORTCULLIS_TEST_RELOAD_RULES` of how many rules a
//! generation consists. How long calls took is printed, not judged: machines of tests are busy.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use portcullis::config::Outcome;

use crate::harness::{Client, Gateway, Plan, run_for, within};

/// How many connections are busy, and how often each of them calls.
const LANES: usize = 8;
const PACE: Duration = Duration::from_millis(10);

/// How often files change, and every which change can't be used.
const CHANGES: Duration = Duration::from_millis(100);
const BROKEN: u64 = 5;

/// The fewest changes, however slow the machine is.
const FEWEST: usize = 10;

/// How many operations the rules are about that never change.
const OPERATIONS: usize = 50;

/// What the connections know of the changes.
#[derive(Default)]
struct Course {
    /// The last version that was seen to be live.
    live: AtomicU64,
    /// The last version that was written.
    written: AtomicU64,
    over: AtomicBool,
}

/// What a connection saw: the time of each call, and the versions by which it was refused.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    versions: BTreeSet<u64>,
}

fn asked(name: &str, default: u64) -> u64 {
    let text = env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// A gateway whose rules are about many operations, but for two that are in files of their own.
async fn start(rules: u64) -> Gateway {
    let (mut operations, mut cedar) = (String::new(), String::new());
    for number in 0..OPERATIONS {
        write!(
            operations,
            "[[operation]]\nid = \"shop.many{number}\"\nservice = \"shop\"\nroute = \"GET /shop/many/{number}\"\n\n"
        )
        .unwrap();
    }
    for number in 0..rules.saturating_sub(2) {
        let (operation, network) = (number as usize % OPERATIONS, number % 65_536);
        writeln!(
            cedar,
            "@id(\"many-{number}\")\nforbid (principal, action == Action::\"shop.many{operation}\", resource)\n\
             when {{ context.source.ip.isInRange(ip(\"10.{}.{}.0/24\")) }};",
            network / 256,
            network % 256
        )
        .unwrap();
    }
    let plan = Plan::new().file("many.toml", &operations);
    let gate = plan.file("many.cedar", &cedar).start().await;
    version(&gate, 1, false);
    for name in ["first.cedar", "second.cedar"] {
        symlink(format!("..data/{name}"), gate.policies().join(name)).unwrap();
    }
    gate.publish().await;
    gate
}

/// Puts a version of the two rules in the place of the one before, both files in one step.
fn version(gate: &Gateway, number: u64, broken: bool) {
    let policies = gate.policies();
    let directory = format!("..v{number}");
    fs::create_dir(policies.join(&directory)).unwrap();
    for name in ["first", "second"] {
        let end = if broken && name == "second" { "" } else { ";" };
        let rule = format!(
            "@id(\"{name}-{number}\")\n@message(\"version {number}\")\n\
             forbid (principal, action == Action::\"shop.pay\", resource) when {{ context.input.amount > 50 }}{end}\n"
        );
        fs::write(
            policies.join(&directory).join(format!("{name}.cedar")),
            rule,
        )
        .unwrap();
    }
    symlink(&directory, policies.join("..data_tmp")).unwrap();
    fs::rename(policies.join("..data_tmp"), policies.join("..data")).unwrap();
    // Whoever reads now may still be in the one before.
    if let Some(old) = number.checked_sub(3).filter(|old| *old > 0) {
        fs::remove_dir_all(policies.join(format!("..v{old}"))).unwrap();
    }
}

/// The version in the id of a rule.
fn version_of(rule: &Value) -> u64 {
    let rule = rule.as_str().expect("a rule");
    let (_, number) = rule.rsplit_once('-').expect("a version");
    number.parse().unwrap()
}

/// Calls until it is over, what is allowed and what is refused in turn.
async fn busy(gate: Arc<Gateway>, course: Arc<Course>, token: String) -> Seen {
    let mut client = Client::http1(&gate).await;
    let mut seen = Seen::default();
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !course.over.load(Ordering::SeqCst) {
        ticks.tick().await;
        let begun = Instant::now();
        let list = gate.call("GET", "/shop/items").bearer(&token);
        list.send_on(&mut client).await.expect(200);
        seen.times.push(begun.elapsed());

        let at_least = course.live.load(Ordering::SeqCst);
        let begun = Instant::now();
        let pay = gate.call("POST", "/shop/pay").bearer(&token);
        let pay = pay
            .json(&json!({ "amount": 60 }))
            .send_on(&mut client)
            .await;
        seen.times.push(begun.elapsed());
        let problem = pay.refusal(403, "condition_denied");
        let by = version_of(&problem["rule"]);
        assert_eq!(problem["detail"], format!("version {by}"), "{problem}");
        let at_most = course.written.load(Ordering::SeqCst);
        assert!(
            (at_least..=at_most).contains(&by),
            "{by} of {at_least} to {at_most}"
        );
        seen.versions.insert(by);
    }
    seen
}

/// Keeps the connections busy while `meanwhile` runs.
async fn load<T>(
    gate: &Arc<Gateway>,
    course: &Arc<Course>,
    token: &str,
    meanwhile: impl Future<Output = T>,
) -> (Seen, T) {
    course.over.store(false, Ordering::SeqCst);
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        lanes.spawn(busy(gate.clone(), course.clone(), token.to_owned()));
    }
    let output = meanwhile.await;
    course.over.store(true, Ordering::SeqCst);
    let mut all = Seen::default();
    while let Some(seen) = within("a connection ends", lanes.join_next()).await {
        let seen = seen.unwrap();
        all.times.extend(seen.times);
        all.versions.extend(seen.versions);
    }
    all.times.sort_unstable();
    (all, output)
}

/// What became of the changes.
#[derive(Default)]
struct Changes {
    /// The version of each generation.
    published: BTreeMap<String, u64>,
    broken: BTreeSet<u64>,
    took: Vec<Duration>,
}

/// Changes the files again and again, `for_so_long`.
async fn changes(gate: &Gateway, course: &Course, for_so_long: Duration) -> Changes {
    let mut changes = Changes::default();
    changes
        .published
        .insert(gate.status().generation.to_string(), 1);
    let end = Instant::now() + for_so_long;
    // A tick that comes late is made up for.
    let mut ticks = interval(CHANGES);
    while Instant::now() < end || changes.took.len() < FEWEST {
        ticks.tick().await;
        let number = course.written.fetch_add(1, Ordering::SeqCst) + 1;
        let broken = number.is_multiple_of(BROKEN);
        let before = gate.status().generation;
        version(gate, number, broken);
        let begun = Instant::now();
        let outcome = gate.reload().await;
        changes.took.push(begun.elapsed());
        let generation = gate.status().generation;
        if broken {
            assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
            assert_eq!(
                generation, before,
                "files that can't be used change nothing"
            );
            assert!(gate.status().last_refused.is_some());
            changes.broken.insert(number);
        } else {
            // Unchanged, where it was noticed before it was asked for.
            assert!(
                matches!(outcome, Outcome::Published(_) | Outcome::Unchanged),
                "{outcome:?}"
            );
            assert_ne!(generation, before, "version {number} is live");
            course.live.store(number, Ordering::SeqCst);
            changes.published.insert(generation.to_string(), number);
        }
    }
    changes.took.sort_unstable();
    changes
}

#[test]
fn reloads_under_load_fail_no_call_and_mix_no_generations() {
    let (seconds, rules) = (
        asked("PORTCULLIS_TEST_RELOAD_SECONDS", 2),
        asked("PORTCULLIS_TEST_RELOAD_RULES", 1_000),
    );
    let long = Duration::from_secs(seconds);
    run_for(4 * long + Duration::from_secs(120), async {
        let gate = Arc::new(start(rules).await);
        let course = Arc::new(Course::default());
        course.live.store(1, Ordering::SeqCst);
        course.written.store(1, Ordering::SeqCst);
        let work = gate.agent("bot").works("work").await;
        let (quiet, ()) = load(&gate, &course, &work.token, sleep(long / 2)).await;
        let meanwhile = changes(&gate, &course, long);
        let (busy, changes) = load(&gate, &course, &work.token, meanwhile).await;
        report(rules, (&quiet, &busy), &changes);
        assert!(!changes.broken.is_empty(), "some changes can't be used");
        assert!(busy.versions.len() > 2, "{:?}", busy.versions);
        let unusable: Vec<_> = busy.versions.intersection(&changes.broken).collect();
        assert!(unusable.is_empty(), "{unusable:?} never went live");

        let mut gate = Arc::into_inner(gate).expect("the last handle");
        let lines = gate.stop().await;
        let calls: Vec<_> = lines.iter().filter(|line| line["kind"] == "call").collect();
        assert_eq!(calls.len(), quiet.times.len() + busy.times.len());
        for line in calls {
            let generation = line["generation"].as_str().unwrap();
            let version = changes.published.get(generation);
            let version = version.unwrap_or_else(|| panic!("{generation} was never live: {line}"));
            if line["verdict"] == "deny" {
                let both = line["rules"].as_array().unwrap();
                let both: BTreeSet<_> = both.iter().map(|rule| rule.as_str().unwrap()).collect();
                let wanted = [format!("first-{version}"), format!("second-{version}")];
                let wanted = wanted.iter().map(String::as_str).collect();
                assert_eq!(both, wanted, "one generation decides: {line}");
            }
        }
    });
}

fn report(rules: u64, (quiet, busy): (&Seen, &Seen), changes: &Changes) {
    let at = |times: &[Duration], share: f64| {
        let last = times.len().saturating_sub(1);
        times[(last as f64 * share).round() as usize]
    };
    println!("{rules} rules, {LANES} connections");
    println!(
        "{:<18}{:>8}{:>12}{:>12}{:>12}",
        "", "calls", "p50", "p99", "max"
    );
    for (name, seen) in [("without reloads", quiet), ("with reloads", busy)] {
        let times = &seen.times;
        println!(
            "{name:<18}{:>8}{:>12.2?}{:>12.2?}{:>12.2?}",
            times.len(),
            at(times, 0.5),
            at(times, 0.99),
            at(times, 1.0)
        );
    }
    println!(
        "{} reloads, {} of them refused; a reload took {:.2?} (p50), {:.2?} (p99)",
        changes.took.len(),
        changes.broken.len(),
        at(&changes.took, 0.5),
        at(&changes.took, 0.99)
    );
}
