//! The risk that is computed from what an agent does: what counts, what operators see of it, and what it
//! does to calls, to what runs and to grants at rest.

mod command_line;

use std::time::Duration;

use http::Response;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Gateway, Plan, Work, eventually, pipe, run};

const RULES: &str = r#"
@id("not-when-risky")
forbid (principal, action == Action::"shop.read", resource)
when { context.risk.known && context.risk.score >= 20 };

@id("only-when-known")
forbid (principal, action == Action::"shop.find", resource) unless { context.risk.known };
"#;

const SUSPENDS: &str = r#"
@id("cut-when-risky")
@on_change("suspend")
forbid (principal, action == Action::"shop.stream", resource)
when { context.risk.known && context.risk.score >= 20 };
"#;

const HOME: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.7";

fn plan(risk: &str) -> Plan {
    let plan = Plan::new()
        .file("scored.cedar", RULES)
        .file("risk.toml", risk);
    let plan = plan.settings("[limits]\nusual_days = 2\n").manual_clock();
    plan.gateway("trusted_proxies = [\"127.0.0.1\"]")
}

async fn call(gate: &Gateway, work: &Work, from: &str, path: &str) -> Answer {
    let call = gate.call("GET", path).bearer(&work.token);
    call.header("x-forwarded-for", from).send().await
}

async fn risk(gate: &Gateway, more: &str) -> Value {
    let path = format!("/v1/agents/bot/risk{more}");
    let shown = gate.control("GET", &path).bearer(&gate.operator());
    shown.send().await.expect(200).json()
}

fn part<'v>(risk: &'v Value, name: &str) -> &'v Value {
    let mut parts = risk["components"].as_array().unwrap().iter();
    let part = parts.find(|part| part["name"] == name);
    part.unwrap_or_else(|| panic!("no {name} in {risk}"))
}

/// Waits until a call has come to its end and was looked at.
async fn scores(gate: &Gateway, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let shown = risk(gate, "").await;
        if wanted(&shown) {
            return shown;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what}: {}", risk(gate, "").await);
}

async fn says(gate: &Gateway, score: i64) {
    let signal =
        json!({ "agent": "bot", "score": score, "source": "siem", "reason": "odd egress" });
    let call = gate.control("POST", "/v1/signals").bearer(&gate.operator());
    call.json(&signal).send().await.expect(204);
}

/// Two days of calls from home.
async fn settles(gate: &Gateway) {
    for day in 1..=2 {
        let work = gate.agent("bot").works("items").await;
        call(gate, &work, HOME, "/shop/items").await.expect(200);
        let path = "/v1/agents/bot/usual";
        for attempt in 0.. {
            let shown = gate.control("GET", path).bearer(&gate.operator());
            let usual = shown.send().await.expect(200).json();
            if usual["networks"][0]["days"] == day {
                break;
            }
            assert!(attempt < 1000, "{usual}");
            tokio::task::yield_now().await;
        }
        gate.advance(Duration::from_hours(24));
    }
}

#[test]
fn a_call_from_elsewhere_counts_for_a_while() {
    run(async {
        let mut gate = plan("[risk]\noperation = 0\n").start().await;
        settles(&gate).await;
        let calm = risk(&gate, "").await;
        assert_eq!(calm["score"], 0, "{calm}");
        assert_eq!(calm["known"], true, "{calm}");
        let work = gate.agent("bot").works("items").await;
        call(&gate, &work, HOME, "/shop/items/1").await.expect(200);
        call(&gate, &work, ELSEWHERE, "/shop/items")
            .await
            .expect(200);
        let shown = scores(&gate, "another network", |shown| shown["score"] == 30).await;
        assert_eq!(shown["computed"], 30, "{shown}");
        assert_eq!(shown["combine"], "highest", "{shown}");
        let network = part(&shown, "network");
        assert_eq!(network["points"], 30, "{shown}");
        assert_eq!(network["weight"], 30, "{shown}");
        assert_eq!(network["reason"], "a call from 198.51.100.0/24", "{shown}");
        assert_eq!(network["expires_in"], 900, "{shown}");
        let refused = call(&gate, &work, HOME, "/shop/items/1").await;
        let problem = refused.refusal(403, "condition_denied");
        assert_eq!(problem["rule"], "not-when-risky", "{problem}");

        let explain =
            json!({ "agent": "bot", "task": work.task, "method": "GET", "url": "/shop/items/1" });
        let explained = gate.control("POST", "/v1/explain").bearer(&gate.operator());
        let explained = explained.json(&explain).send().await.expect(200).json();
        assert_eq!(explained["risk"]["score"], 30, "{explained}");
        assert_eq!(part(&explained["risk"], "network")["points"], 30);
        let own = json!({ "method": "GET", "url": "/shop/items/1" });
        let explained = gate.control("POST", "/v1/explain").bearer(&work.token);
        let explained = explained.json(&own).send().await.expect(200).json();
        assert!(explained.get("risk").is_none(), "{explained}");
        assert_eq!(explained["signals"]["risk"]["score"], 30, "{explained}");

        // The rest fades with time.
        gate.advance(Duration::from_mins(8));
        let work = gate.agent("bot").works("items").await;
        let shown = risk(&gate, "").await;
        assert_eq!(part(&shown, "network")["points"], 14, "{shown}");
        call(&gate, &work, HOME, "/shop/items/1").await.expect(200);
        let other = gate
            .control("GET", "/v1/agents/bot/risk")
            .bearer(&work.token);
        other.send().await.expect(403);
        gate.stop().await;
    });
}

#[test]
fn refusals_cut_what_runs_and_suspend_what_rests() {
    run(async {
        let gate = plan("[risk]\nrefusals_full = 10\n");
        let gate = gate.file("suspends.cedar", SUSPENDS).start().await;
        let work = gate.agent("bot").works("work").await;
        let (feed, body) = pipe();
        let response = Response::builder().header("content-type", "text/event-stream");
        gate.upstream.answer_next(response.body(body).unwrap());
        let mut client = Client::http1(&gate).await;
        let stream = gate.call("GET", "/shop/stream").bearer(&work.token);
        let (mut opened, ()) = tokio::join!(stream.open_on(&mut client), feed.send("data: 1\n\n"));
        assert_eq!(opened.text().await, "data: 1\n\n");
        for _ in 0..12 {
            let refused = call(&gate, &work, HOME, "/shop/nowhere").await;
            refused.refusal(404, "operation_unknown");
        }
        // The scorer's own round is a second away.
        gate.advance(Duration::from_secs(1));
        opened.cut().await;
        feed.closed().await;
        let shown = risk(&gate, "").await;
        let refusals = part(&shown, "refusals");
        assert_eq!(
            (&refusals["value"], &refusals["points"]),
            (&json!(12.0), &json!(30)),
            "{shown}"
        );
        let task = gate.control("GET", &format!("/v1/tasks/{}", work.task));
        let task = task
            .bearer(&gate.operator())
            .send()
            .await
            .expect(200)
            .json();
        let path = format!("/v1/grants/{}", task["grants"][0].as_str().unwrap());
        let grant = async || {
            let grant = gate.control("GET", &path).bearer(&gate.operator());
            grant.send().await.expect(200).json()["state"].clone()
        };
        for attempt in 0.. {
            if grant().await == "suspended" {
                break;
            }
            assert!(attempt < 1000);
            tokio::task::yield_now().await;
        }
        // Whoever was refused a minute ago is calm again.
        gate.advance(Duration::from_secs(30));
        let beat = gate.control("POST", &format!("/v1/tasks/{}/heartbeat", work.task));
        beat.bearer(&work.token)
            .json(&json!({}))
            .send()
            .await
            .expect(200);
        gate.advance(Duration::from_secs(31));
        for attempt in 0.. {
            if grant().await == "active" {
                break;
            }
            assert!(attempt < 1000, "{}", risk(&gate, "").await);
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_pushed_score_is_what_it_says_with_and_without_rules() {
    run(async {
        for rules in ["# none\n", "[risk]\n", "[risk]\ncombine = \"sum\"\n"] {
            let gate = plan(rules).start().await;
            let work = gate.agent("bot").works("work").await;
            let found = call(&gate, &work, HOME, "/shop/find?most=1").await;
            let known = rules.starts_with("[risk]");
            match known {
                true => drop(found.expect(200)),
                false => drop(found.refusal(403, "condition_denied")),
            }
            says(&gate, 37).await;
            let shown = risk(&gate, "").await;
            assert_eq!(
                (&shown["score"], &shown["known"]),
                (&json!(37), &json!(true)),
                "{shown}"
            );
            let pushed = part(&shown, "pushed");
            assert_eq!(pushed["source"], "siem", "{shown}");
            assert_eq!(pushed["reason"], "`siem` says so: odd egress", "{shown}");
            assert_eq!(shown.get("combine").is_some(), known, "{shown}");
            call(&gate, &work, HOME, "/shop/find?most=1")
                .await
                .expect(200);
            call(&gate, &work, HOME, "/shop/items/1")
                .await
                .refusal(403, "condition_denied");
            says(&gate, 19).await;
            call(&gate, &work, HOME, "/shop/items/1").await.expect(200);

            let signal = json!({ "agent": "bot", "task": work.task, "score": 60, "source": "soc" });
            let push = gate.control("POST", "/v1/signals").bearer(&gate.operator());
            push.json(&signal).send().await.expect(204);
            assert_eq!(risk(&gate, "").await["score"], 19);
            let shown = risk(&gate, &format!("?task={}", work.task)).await;
            assert_eq!(shown["score"], 60, "{shown}");
            let missing = gate
                .control("GET", "/v1/agents/bot/risk?task=none")
                .bearer(&gate.operator());
            missing.send().await.problem(404, "not_found");
        }
    });
}

#[test]
fn rules_come_and_go_with_the_files() {
    run(async {
        let gate = plan("[risk]\n").start().await;
        let work = gate.agent("bot").works("work").await;
        call(&gate, &work, HOME, "/shop/find?most=1")
            .await
            .expect(200);
        gate.write_policy("risk.toml", "# none\n");
        gate.publish().await;
        call(&gate, &work, HOME, "/shop/find?most=1")
            .await
            .refusal(403, "condition_denied");
        gate.write_policy(
            "risk.toml",
            "[risk]\nnetwork = 101\nsum = true\nfades = \"2d\"\ncombine = \"max\"\n\
                                        refusals_from = 40\n",
        );
        let portcullis::config::Outcome::Refused(problems) = gate.reload().await else {
            panic!("it is accepted");
        };
        let problems = problems.to_string();
        for part in [
            "`network` is a whole number from 0 to 100, not `101`",
            "unknown key `sum` in [risk]",
            "a day at the latest",
            "`max` is no way to combine scores",
            "`refusals_full` is 30, and has to be more than `refusals_from`, 40",
        ] {
            assert!(problems.contains(part), "{part}: {problems}");
        }
        gate.write_policy("risk.toml", "[risk]\n");
        gate.write_policy("second.toml", "[risk]\n");
        let portcullis::config::Outcome::Refused(problems) = gate.reload().await else {
            panic!("it is accepted");
        };
        assert!(
            problems.to_string().contains("one [risk] table at most"),
            "{problems}"
        );
    });
}

#[test]
fn numbers_outside_their_range_count() {
    run(async {
        let gate = plan("[risk]\n").start().await;
        for _ in 0..2 {
            let work = gate.agent("bot").works("work").await;
            for amount in [10, 40] {
                let pay = gate.call("POST", "/shop/pay").bearer(&work.token);
                pay.json(&json!({ "amount": amount }))
                    .send()
                    .await
                    .expect(200);
            }
            let shown = gate
                .control("GET", "/v1/agents/bot/usual")
                .bearer(&gate.operator());
            let shown = shown.send().await.expect(200).json();
            assert!(shown["inputs"].is_array(), "{shown}");
            eventually("both payments are recorded", || {
                let audit = gate.audit();
                let paid = audit.iter().filter(|one| one["operation"] == "shop.pay");
                (paid.count() % 2 == 0).then_some(())
            })
            .await;
            let shown = gate
                .control("GET", "/v1/agents/bot/usual")
                .bearer(&gate.operator());
            shown.send().await.expect(200);
            gate.advance(Duration::from_hours(24));
        }
        let shown = gate
            .control("GET", "/v1/agents/bot/usual")
            .bearer(&gate.operator());
        let shown = shown.send().await.expect(200).json();
        let input = &shown["inputs"][0];
        assert_eq!(input["operation"], "shop.pay", "{shown}");
        assert_eq!(
            (&input["from"], &input["to"]),
            (&json!(8), &json!(45)),
            "{shown}"
        );
        assert_eq!(input["magnitudes"][1]["usual"], true, "{shown}");
        assert_eq!(shown["calls_per_minute"], Value::Null, "{shown}");
        let work = gate.agent("bot").works("work").await;
        let pays = async |amount: i64| {
            let pay = gate.call("POST", "/shop/pay").bearer(&work.token);
            pay.json(&json!({ "amount": amount }))
                .send()
                .await
                .expect(200);
        };
        pays(30).await;
        assert_eq!(part(&risk(&gate, "").await, "input")["points"], 0);
        pays(99).await;
        let shown = scores(&gate, "a large payment", |one| {
            part(one, "input")["points"] == 20
        })
        .await;
        let reason = &part(&shown, "input")["reason"];
        assert_eq!(
            *reason, "`amount` of `shop.pay` was 99, usually 8 to 45",
            "{shown}"
        );
    });
}
