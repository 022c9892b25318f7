//! What is usual for an agent: learnt from calls that were allowed and succeeded, read by rules, looked after
//! by operators.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, Plan, Work, eventually, run, within};

const RULES: &str = r#"
@id("from-known-networks")
@message("not from a network that the agent is not known in")
forbid (principal, action == Action::"shop.read", resource) unless { context.source.known && context.usual.network };

@id("in-usual-hours")
forbid (principal, action == Action::"shop.find", resource) unless { context.usual.hour };

@id("usual-operations")
forbid (principal, action == Action::"shop.data", resource) unless { context.usual.operation };
"#;

const HOME: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.7";

fn plan() -> Plan {
    let plan = Plan::new().file("habits.cedar", RULES).manual_clock();
    plan.gateway("trusted_proxies = [\"127.0.0.1\"]")
}

async fn call(gate: &Gateway, work: &Work, from: &str, path: &str) -> Answer {
    let call = gate.call("GET", path).bearer(&work.token);
    call.header("x-forwarded-for", from).send().await
}

/// Lists from an address, and waits until the call is over: from then on it can be learnt from.
async fn lists(gate: &Gateway, work: &Work, from: &str) {
    let listed = || {
        let audit = gate.audit();
        let of_it = |record: &&Value| {
            record["kind"] == "call"
                && record["operation"] == "shop.list"
                && record["source"] == from
        };
        audit.iter().filter(of_it).count()
    };
    let before = listed();
    call(gate, work, from, "/shop/items").await.expect(200);
    eventually("the call's record", || (listed() > before).then_some(())).await;
}

async fn usual(gate: &Gateway) -> Value {
    let shown = gate.control("GET", "/v1/agents/bot/usual");
    let shown = shown.bearer(&gate.operator()).send().await;
    shown.expect(200).json()
}

async fn orders(gate: &Gateway, what: &str) -> Value {
    let path = format!("/v1/agents/bot/usual/{what}");
    let call = gate.control("POST", &path).bearer(&gate.operator());
    call.json(&json!({})).send().await.expect(200).json()
}

async fn says(gate: &Gateway, score: i64) {
    let signal = json!({
        "agent": "bot", "score": score, "source": "siem", "expires_in": 86_400,
    });
    let call = gate.control("POST", "/v1/signals").bearer(&gate.operator());
    call.json(&signal).send().await.expect(204);
}

fn network<'v>(usual: &'v Value, network: &str) -> Option<&'v Value> {
    let mut networks = usual["networks"].as_array().unwrap().iter();
    networks.find(|one| one["network"] == network)
}

const DAY: Duration = Duration::from_hours(24);

#[test]
fn a_network_is_known_after_three_days_and_no_other_is() {
    run(async {
        let gate = plan().start().await;
        for day in 1..=3 {
            let work = gate.agent("bot").works("work").await;
            let read = call(&gate, &work, HOME, "/shop/items/1").await;
            let problem = read.refusal(403, "condition_denied");
            assert_eq!(problem["rule"], "from-known-networks", "{problem}");
            lists(&gate, &work, HOME).await;
            let seen = usual(&gate).await;
            let home = network(&seen, "192.0.2.0/24").unwrap();
            assert_eq!(home["days"], day, "{seen}");
            assert_eq!(home["usual"], day == 3, "{seen}");
            if day < 3 {
                gate.advance(DAY);
            }
        }
        let work = gate.agent("bot").works("work").await;
        let read = async |from| call(&gate, &work, from, "/shop/items/1").await;
        read("192.0.2.99").await.expect(200);
        read(ELSEWHERE).await.refusal(403, "condition_denied");
        // What the connection says counts, not what the client does.
        read("192.0.2.7, 198.51.100.7")
            .await
            .refusal(403, "condition_denied");
        let data = call(&gate, &work, HOME, "/shop/data/x").await;
        data.refusal(403, "condition_denied");
        let rival = gate.agent("rival").works("work").await;
        let other = call(&gate, &rival, HOME, "/shop/items/1").await;
        other.refusal(403, "condition_denied");
        // What was refused taught nothing.
        assert!(network(&usual(&gate).await, "198.51.100.0/24").is_none());
        let audit = eventually("the record of what was asked", || {
            let audit = gate.audit();
            let read = |one: &&Value| one["operation"] == "shop.read" && one["verdict"] == "allow";
            audit.iter().find(read).cloned()
        })
        .await;
        assert_eq!(audit["source"], "192.0.2.99");
    });
}

#[test]
fn an_hour_of_the_week_is_usual_in_its_third_week() {
    run(async {
        let gate = plan().start().await;
        for _ in 0..3 {
            let work = gate.agent("bot").works("work").await;
            let find = call(&gate, &work, HOME, "/shop/find?most=1").await;
            find.refusal(403, "condition_denied");
            lists(&gate, &work, HOME).await;
            // The next call may come before the learner; the view does not.
            usual(&gate).await;
            gate.advance(7 * DAY);
        }
        let work = gate.agent("bot").works("work").await;
        let find = async |work| call(&gate, work, HOME, "/shop/find?most=1").await;
        find(&work).await.expect(200);
        gate.advance(DAY);
        let work = gate.agent("bot").works("work").await;
        find(&work).await.refusal(403, "condition_denied");
    });
}

#[test]
fn nothing_is_learnt_of_a_risky_agent_or_a_pinned_one() {
    run(async {
        let gate = plan().start().await;
        for _ in 0..4 {
            says(&gate, 70).await;
            let work = gate.agent("bot").works("work").await;
            lists(&gate, &work, ELSEWHERE).await;
            let seen = usual(&gate).await;
            assert_eq!(seen["frozen"], true, "{seen}");
            assert!(network(&seen, "198.51.100.0/24").is_none(), "{seen}");
            gate.advance(DAY);
        }
        assert_eq!(usual(&gate).await["frozen"], false);
        assert_eq!(orders(&gate, "pin").await["pinned"], true);
        let work = gate.agent("bot").works("work").await;
        lists(&gate, &work, ELSEWHERE).await;
        let seen = usual(&gate).await;
        assert_eq!(seen["pinned"], true, "{seen}");
        assert!(network(&seen, "198.51.100.0/24").is_none(), "{seen}");
        assert_eq!(orders(&gate, "unpin").await["pinned"], false);
        lists(&gate, &work, ELSEWHERE).await;
        let seen = usual(&gate).await;
        assert_eq!(network(&seen, "198.51.100.0/24").unwrap()["calls"], 1);
    });
}

#[test]
fn an_operator_begins_it_anew_and_that_is_recorded() {
    run(async {
        let mut gate = plan().settings("[limits]\nusual_days = 2\n").start().await;
        for _ in 0..2 {
            gate.advance(DAY);
            let work = gate.agent("bot").works("work").await;
            lists(&gate, &work, HOME).await;
            assert_eq!(usual(&gate).await["rules"]["days"], 2);
        }
        let work = gate.agent("bot").works("work").await;
        call(&gate, &work, HOME, "/shop/items/1").await.expect(200);
        orders(&gate, "reset").await;
        let read = call(&gate, &work, HOME, "/shop/items/1").await;
        read.refusal(403, "condition_denied");

        let foreign = gate.control("GET", "/v1/agents/bot/usual");
        foreign.bearer(&work.token).send().await.expect(403);
        let missing = gate.control("GET", "/v1/agents/nobody/usual");
        let missing = missing.bearer(&gate.operator()).send().await;
        missing.problem(404, "not_found");
        let records = gate.stop().await;
        let reset = records
            .iter()
            .find(|one| one["detail"] == "what is usual is forgotten");
        let reset = reset.expect("the reset is recorded");
        assert_eq!(reset["agent"], "bot", "{reset}");
        assert_eq!(reset["kind"], "admin", "{reset}");
        assert!(reset["person"].is_string(), "{reset}");
    });
}

const SUSPENDS: &str = r#"
@id("known-networks-only")
@on_change("suspend")
forbid (principal, action == Action::"shop.sealed", resource) unless { context.usual.network };
"#;

/// What an agent learns elsewhere brings back what it holds, though nobody calls under it.
#[test]
fn a_grant_at_rest_is_asked_about_when_something_becomes_usual() {
    run(async {
        let plan = Plan::new().file("suspends.cedar", SUSPENDS).manual_clock();
        let gate = plan.settings("[limits]\nusual_days = 2\n").start().await;
        let token = gate.agent("bot").token().await;
        let status = async |token: &str| {
            let call = gate.call("GET", "/shop/status").bearer(token);
            call.send().await.expect(200);
        };
        let days = async |wanted: u64| {
            // The view learns from what waits; the call may not be over yet.
            eventually_async("the day is learnt", async || {
                let seen = usual(&gate).await;
                let home = network(&seen, "127.0.0.0/24")?;
                (home["days"] == wanted).then_some(())
            })
            .await;
        };
        status(&token).await;
        days(1).await;
        gate.advance(DAY);
        let work = gate.agent("bot").works("work").await;
        let state = async || {
            let path = format!("/v1/grants/{}", work.grant);
            let call = gate.control("GET", &path).bearer(&gate.operator());
            call.send().await.expect(200).json()["state"].clone()
        };
        eventually_async("it is suspended", async || {
            (state().await == "suspended").then_some(())
        })
        .await;
        let token = gate.agent("bot").token().await;
        status(&token).await;
        days(2).await;
        eventually_async("it is in force again", async || {
            (state().await == "active").then_some(())
        })
        .await;
    });
}

/// Nobody calls, nothing is learnt: what was usual is so no more, and what rests on it rests.
#[test]
fn a_grant_at_rest_is_asked_about_when_something_lapses() {
    run(async {
        let plan = plan().file("suspends.cedar", SUSPENDS);
        let gate = plan.settings("[limits]\nusual_days = 2\n").start().await;
        for _ in 0..2 {
            gate.advance(DAY);
            let work = gate.agent("bot").works("items").await;
            lists(&gate, &work, "127.0.0.1").await;
            usual(&gate).await;
        }
        gate.advance(90 * DAY - Duration::from_mins(10));
        let work = gate.agent("bot").works("work").await;
        let state = async || {
            let path = format!("/v1/grants/{}", work.grant);
            let call = gate.control("GET", &path).bearer(&gate.operator());
            call.send().await.expect(200).json()["state"].clone()
        };
        gate.advance(Duration::from_mins(9));
        assert_eq!(state().await, "active");
        gate.advance(Duration::from_mins(2));
        eventually_async("it is suspended", async || {
            (state().await == "suspended").then_some(())
        })
        .await;
    });
}

async fn eventually_async<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
