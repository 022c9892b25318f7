//! A day at the gate: attacks of every class, made from a seed, between the task runs of honest agents.
//! Each attack is refused for what it is and nothing of it arrives; no honest call is refused.
//!
//! `PORTCULLIS_TEST_ATTACKS` says how many attacks there are, and as many task runs;
//! `PORTCULLIS_TEST_SEED` makes another day. The table is printed: `cargo nextest run --no-capture`.

mod classes;
mod dice;
mod scene;

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::harness::{Gateway, Plan, Work, run_for};
use classes::Class;
use dice::Dice;
use scene::{ATTACK, RACE, Scene};

/// Each grant of the `race` entitlement has so many calls.
const RACE_CALLS: usize = 3;

const ENTITLEMENTS: &str = r#"
[[entitlement]]
id = "items"
operations = ["shop.list", "shop.read"]
max_ttl = "30m"

[[entitlement]]
id = "work"
operations = ["shop.data", "shop.find", "shop.list", "shop.pay", "shop.read", "shop.sealed", "shop.stream"]
max_ttl = "1h"

[[entitlement]]
id = "dpop"
operations = ["shop.dpop"]
max_ttl = "30m"
proof = "dpop"

[[entitlement]]
id = "race"
operations = ["shop.list"]
max_ttl = "30m"
max_calls = 3
"#;

const CONDITIONS: &str = r#"
@id("known-network")
@message("agents call from their own network")
forbid (principal, action in Action::"open", resource) unless { context.source.ip.isInRange(ip("10.20.0.0/16")) };

@id("office-hours")
@message("the shop is open from 6 to 18")
forbid (principal, action in Action::"open", resource) unless { context.local.hour >= 6 && context.local.hour < 18 };

@id("not-when-risky")
forbid (principal, action in Action::"open", resource) when { context.risk.known && context.risk.score > 70 };

@id("no-requests-when-risky")
forbid (principal, action == Action::"request", resource) when { context.risk.known && context.risk.score > 70 };
"#;

/// From opening at 6 to closing at 18, and to the next opening, in milliseconds.
const CLOSES: u64 = 12 * 3600 * 1000;
const DAY: u64 = 2 * CLOSES;

/// No run begins later: the last ones are done when the shop closes.
const LAST_RUN: u64 = CLOSES - 15 * 60 * 1000;

fn asked(name: &str, default: u64) -> u64 {
    let text = env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// What happens at a moment of the day.
enum Event {
    Attack(Class),
    Run(Run),
}

/// A task run of an honest agent: it opens a task, asks, calls now and then, and completes.
struct Run {
    agent: &'static str,
    entitlement: &'static str,
    calls: u64,
    /// Its task, the moment of its grant and that of its token, in milliseconds of the day.
    running: Option<(Work, u64, u64)>,
}

/// What came of an attack class.
#[derive(Default)]
struct Tally {
    attacks: usize,
    refused: usize,
}

/// What came of the honest runs.
#[derive(Default)]
struct Honest {
    completed: usize,
    calls: usize,
    refused: Vec<String>,
    /// How long each task held its right.
    privileged: Vec<Duration>,
}

#[test]
fn a_day_of_attacks_is_refused_and_no_honest_run_is() {
    run_for(Duration::from_secs(1200), async {
        let (count, seed) = (
            asked("PORTCULLIS_TEST_ATTACKS", 100),
            asked("PORTCULLIS_TEST_SEED", 5),
        );
        let mut dice = Dice::new(seed);
        let gate = day().await;
        let scene = Scene::new(&gate);
        let mut events = programme(count, &mut dice);
        let mut tallies: BTreeMap<Class, Tally> = BTreeMap::new();
        let (mut honest, mut failures, mut now) = (Honest::default(), Vec::new(), 0);
        while let Some(((moment, order), event)) = events.pop_first() {
            gate.advance(Duration::from_millis(moment - now));
            now = moment;
            match event {
                Event::Attack(class) => {
                    let tally = tallies.entry(class).or_default();
                    tally.attacks += 1;
                    match class.strike(&scene, &mut dice).await {
                        Ok(()) => tally.refused += 1,
                        Err(why) => failures.push(format!("{}: {why}", class.name())),
                    }
                }
                Event::Run(run) => {
                    if let Some(next) = goes_on(run, &scene, now, &mut dice, &mut honest).await {
                        let pause = 1_000 + dice.below(45_000);
                        events.insert((now + pause, order), Event::Run(next));
                    }
                }
            }
        }
        let arrived = gate.upstream.recorded();
        let of = |name: &str| {
            arrived
                .iter()
                .filter(|one| one.header(name).is_some())
                .count()
        };
        report(seed, &tallies, &honest);
        assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
        assert!(
            honest.refused.is_empty(),
            "seed {seed}: {:#?}",
            honest.refused
        );
        assert_eq!(honest.completed as u64, count);
        assert_eq!(of(ATTACK), 0, "no attack arrives");
        let races = tallies
            .get(&Class::BudgetRace)
            .map_or(0, |tally| tally.attacks);
        assert_eq!(
            of(RACE),
            RACE_CALLS * races,
            "a race spends the budget and no more"
        );
        assert_eq!(
            tallies
                .values()
                .map(|tally| tally.attacks as u64)
                .sum::<u64>(),
            count
        );
    });
}

/// A gateway at the opening of a shop, behind a proxy on the same machine.
async fn day() -> Gateway {
    let plan = Plan::new()
        .manual_clock()
        .gateway("trusted_proxies = [\"127.0.0.1\"]")
        // Each attack is to meet the check that it is about, not the one against floods.
        .settings("[limits]\nbad_tokens_per_source = 100000\n")
        .file("entitlements.toml", ENTITLEMENTS)
        .file("conditions.cedar", CONDITIONS);
    let gate = plan.start().await;
    let second = gate.clock.wall().as_second();
    let opening = second - second % 86_400 + 86_400 + 6 * 3_600;
    let opening = Timestamp::from_second(opening).unwrap();
    gate.time().step_wall(opening);
    gate
}

/// The day's events: as many attacks as runs, the classes in turn.
fn programme(count: u64, dice: &mut Dice) -> BTreeMap<(u64, u64), Event> {
    let mut events = BTreeMap::new();
    for order in 0..count {
        let class = Class::ALL[order as usize % Class::ALL.len()];
        let moment = match class {
            Class::OffHours => CLOSES + dice.below(DAY - CLOSES - 1_000),
            _ => dice.below(CLOSES - 1_000),
        };
        events.insert((moment, order), Event::Attack(class));
        let run = Run {
            agent: dice.pick(&["bot", "rival"]),
            entitlement: dice.pick(&["items", "work"]),
            calls: 2 + dice.below(5),
            running: None,
        };
        events.insert((dice.below(LAST_RUN), count + order), Event::Run(run));
    }
    events
}

/// The next step of a run; nothing when it was the last one.
async fn goes_on(
    mut run: Run,
    scene: &Scene<'_>,
    now: u64,
    dice: &mut Dice,
    honest: &mut Honest,
) -> Option<Run> {
    let gate = scene.gate;
    let agent = gate.agent(run.agent);
    let Some((mut work, since, mut token_since)) = run.running.take() else {
        let work = agent.works(run.entitlement).await;
        run.running = Some((work, now, now));
        return Some(run);
    };
    if run.calls == 0 {
        let receipt = work.completes(gate).await;
        assert_eq!(receipt["grants"][0]["state"], "closed", "{receipt}");
        honest.completed += 1;
        honest.privileged.push(Duration::from_millis(now - since));
        return None;
    }
    // A token lives for five minutes.
    if now - token_since > 200_000 {
        work.token = agent.token_for(&work.task).await;
        token_since = now;
    }
    let kinds = if run.entitlement == "work" { 5 } else { 2 };
    let call = match dice.below(kinds) {
        0 => scene.honest("GET", "/shop/items", dice),
        1 => scene.honest("GET", &format!("/shop/items/{}", dice.below(1_000)), dice),
        2 => scene.honest(
            "GET",
            &format!("/shop/find?most={}", dice.below(1_000)),
            dice,
        ),
        3 => {
            let body = json!({ "amount": 1 + dice.below(100), "note": "as agreed" });
            scene.honest("POST", "/shop/pay", dice).json(&body)
        }
        _ => scene
            .honest("PUT", "/shop/data/report", dice)
            .bytes("the report"),
    };
    let answer = call.bearer(&work.token).send().await;
    honest.calls += 1;
    if answer.status != 200 {
        honest.refused.push(answer.text().to_owned());
    }
    run.calls -= 1;
    run.running = Some((work, since, token_since));
    Some(run)
}

fn report(seed: u64, tallies: &BTreeMap<Class, Tally>, honest: &Honest) {
    println!("seed {seed}\n{:<28}{:>8}{:>9}", "attack", "made", "refused");
    for (class, tally) in tallies {
        println!(
            "{:<28}{:>8}{:>9}",
            class.name(),
            tally.attacks,
            tally.refused
        );
    }
    let all = |of: fn(&Tally) -> usize| tallies.values().map(of).sum::<usize>();
    println!(
        "{:<28}{:>8}{:>9}",
        "all",
        all(|t| t.attacks),
        all(|t| t.refused)
    );
    println!(
        "{:<28}{:>8}{:>9}   in {} calls",
        "honest task runs",
        honest.completed,
        honest.refused.len(),
        honest.calls
    );
    let mut held = honest.privileged.clone();
    held.sort_unstable();
    let (Some(median), Some(most)) = (held.get(held.len() / 2), held.last()) else {
        return;
    };
    let day = Duration::from_millis(DAY).as_secs_f64();
    let share = |of: &Duration| 100.0 * of.as_secs_f64() / day;
    println!(
        "privileged seconds per task: p50 {:.0} ({:.2} %), max {:.0} ({:.2} %); with standing access {day:.0} a day",
        median.as_secs_f64(),
        share(median),
        most.as_secs_f64(),
        share(most),
    );
}
