//! The real program under mixed traffic, while its rules are reloaded each second, grants are revoked,
//! services restart and clients leave: each answer is its own, and nothing is left behind.
//!
//! `PORTCULLIS_TEST_SOAK_SECONDS` says for how long. What the process holds meanwhile is printed.

mod stage;
mod traffic;
mod upstream;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::harness::{run_for, within};
use stage::{Held, Stage};
use traffic::{Counts, Kind, Outcome, Traffic};
use upstream::Upstream;

/// Where nothing else is asked for.
const SECONDS: u64 = 8;

/// Agents at work at the same time: one half over HTTP/1.1, the other over HTTP/2.
const AGENTS: usize = 16;

/// What comes first fills pools, caches and allocators, and counts for nothing.
const WARM_UP: f64 = 0.25;

/// How often what the process holds is looked at, at least so many times.
const LOOKS: u32 = 20;

/// What is remembered up to a bound (events, tokens that live, pages of the store) fills in the first
/// minutes, and an allocator has its own ideas: by so much may memory grow after the warm-up, in KiB, and
/// of that in the second half of the time. What leaked a kilobyte for each task would pass the latter within
/// ten minutes, four times over.
const SLACK: u64 = 16 << 10;
const SLACK_OF_HALF: u64 = 4 << 10;

/// Of what is kept for a time, so much is there after so many times of it.
const KEPT_AT_MOST: u64 = 3;

/// Connections to services that are kept for the next exchange.
const KEPT: usize = 24;

/// Threads that read files are made when they are needed.
const HELPERS: usize = 8;

/// Runs the traffic for so long, with everything that disturbs it; returns how it went.
async fn plays(
    stage: &Arc<Stage>,
    services: &mut [Upstream; 2],
    time: Duration,
    looks: &mut Vec<Held>,
) -> Counts {
    let until = Instant::now() + time;
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        agents.spawn(Traffic::new(Arc::clone(stage), number).runs(until));
    }
    let reloads = async {
        let mut each = interval(Duration::from_secs(1));
        for number in 1.. {
            each.tick().await;
            stage.reloads(number).await;
        }
    };
    let restarts = async {
        let [shop, calls] = services;
        for number in 0.. {
            sleep(Duration::from_millis(1500)).await;
            let service = if number % 2 == 0 {
                &mut *shop
            } else {
                &mut *calls
            };
            service.restarts(Duration::from_millis(100)).await;
        }
    };
    let watches = async {
        let mut each = interval((time / LOOKS).max(Duration::from_secs(1)));
        loop {
            each.tick().await;
            let held = stage.holds().await;
            println!("{held:?}");
            looks.push(held);
        }
    };
    let mut counts = Counts::new();
    let all = async {
        while let Some(done) = agents.join_next().await {
            for (key, count) in done.unwrap() {
                *counts.entry(key).or_default() += count;
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = reloads => {}
        () = restarts => {}
        () = watches => {}
    }
    counts
}

/// What the process holds once nobody is connected any more.
async fn at_rest(stage: &Stage) -> Held {
    within("the gateway comes to rest", async {
        loop {
            let held = stage.holds().await;
            if held.connections == 0 && held.exchanges == 0 {
                return held;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[test]
fn mixed_traffic_leaves_nothing_behind() {
    let asked = env::var("PORTCULLIS_TEST_SOAK_SECONDS").ok();
    let seconds = asked.map_or(SECONDS, |text| text.parse().expect("a number"));
    let time = Duration::from_secs(seconds);
    run_for(2 * time + Duration::from_secs(60), async {
        let mut services = [Upstream::start(false).await, Upstream::start(true).await];
        let addresses = [services[0].address(), services[1].address()];
        let stage = Arc::new(Stage::start(addresses).await);
        let mut looks = Vec::new();
        let warm_up = time.mul_f64(WARM_UP);
        plays(&stage, &mut services, warm_up, &mut looks).await;
        looks.clear();
        let before = at_rest(&stage).await;
        let counts = plays(&stage, &mut services, time - warm_up, &mut looks).await;
        let after = at_rest(&stage).await;
        println!("after the warm-up {before:?}\nat the end        {after:?}");
        for ((kind, outcome), count) in &counts {
            println!("{kind:?} {outcome:?}: {count}");
        }
        let of = |wanted: &Outcome| {
            let those = counts.iter().filter(|((_, outcome), _)| outcome == wanted);
            those.map(|(_, count)| count).sum::<u64>()
        };
        let (right, all) = (of(&Outcome::Right), counts.values().sum::<u64>());
        println!("{right} of {all} exchanges had their own answer; the others met a restart");
        assert!(right * 10 > all * 7, "{right} of {all}");
        let kinds = |outcome: Outcome| move |kind| counts.contains_key(&(kind, outcome.clone()));
        let revoked = kinds(Outcome::Right)(Kind::Revoked);
        assert!(revoked, "a revocation");

        // Those that read files come and go.
        assert!(after.threads <= before.threads + HELPERS);
        assert!(after.descriptors <= before.descriptors + KEPT);
        assert_eq!(after.entries, 0, "what lives: {after:?}");
        let most = before.resident + SLACK;
        assert!(after.resident <= most, "{before:?}, then {after:?}");
        let half = looks[looks.len() / 2];
        println!("at half of the time {half:?}");
        let most = half.resident + SLACK_OF_HALF;
        assert!(after.resident <= most, "{half:?}, then {after:?}");
        // Each round of the kinds ends a task.
        let rate = all as f64 / 9.0 / time.mul_f64(1.0 - WARM_UP).as_secs_f64();
        let kept = rate * (KEPT_AT_MOST * stage::KEPT) as f64;
        assert!(after.ended as f64 <= kept + AGENTS as f64, "{after:?}");
        let stage = Arc::into_inner(stage).expect("nobody else has it");
        stage.stops();
    });
}
