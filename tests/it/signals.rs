//! What conditions read changes while things run: pushed risk and the time, on calls, requests and on
//! what is already running.

use std::time::Duration;

use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Feed, Gateway, Opened, Plan, Work, pipe, run, within};

const PEOPLE: &str = r#"
[[person]]
id = "ana@example.com"
groups = ["leads", "operators"]

[[person]]
id = "siem@example.com"
groups = ["signals"]

[[person]]
id = "ben@example.com"
groups = ["leads"]
"#;

/// What nobody speaks of is not stopped here, so that each test shows what changes.
const RISKY: &str = r#"
@id("not-when-risky")
@message("the agent looks too risky")
forbid (principal, action in Action::"shop", resource) when { context.risk.known && context.risk.score > 70 };

@id("no-requests-when-risky")
forbid (principal, action == Action::"request", resource) when { context.risk.known && context.risk.score > 70 };
"#;

fn risky() -> Plan {
    Plan::new()
        .file("people.toml", PEOPLE)
        .file("risk.cedar", RISKY)
}

async fn push(gate: &Gateway, key: &str, signal: &Value) -> Answer {
    let call = gate.control("POST", "/v1/signals").bearer(key);
    call.json(signal).send().await
}

async fn says(gate: &Gateway, agent: &str, score: i64) {
    let signal =
        json!({ "agent": agent, "score": score, "source": "siem", "reason": "odd egress" });
    push(gate, &gate.operator(), &signal).await.expect(204);
}

async fn lists(gate: &Gateway, work: &Work) -> Answer {
    gate.call("GET", "/shop/items")
        .bearer(&work.token)
        .send()
        .await
}

/// A stream over a connection of its own; its first event has arrived.
async fn stream(gate: &Gateway, work: &Work) -> (Feed, Opened) {
    let (feed, body) = pipe();
    let response = Response::builder().header("content-type", "text/event-stream");
    gate.upstream.answer_next(response.body(body).unwrap());
    let mut client = Client::http1(gate).await;
    let call = gate.call("GET", "/shop/stream").bearer(&work.token);
    let (mut opened, ()) = tokio::join!(call.open_on(&mut client), feed.send("data: 1\n\n"));
    assert_eq!(opened.status(), 200);
    assert_eq!(opened.text().await, "data: 1\n\n");
    (feed, opened)
}

async fn still_flows(feed: &Feed, opened: &mut Opened) {
    feed.send("data: 2\n\n").await;
    assert_eq!(opened.text().await, "data: 2\n\n");
}

#[test]
fn pushed_risk_decides_calls_and_requests() {
    run(async {
        let gate = risky().start().await;
        let work = gate.agent("bot").works("items").await;
        lists(&gate, &work).await.expect(200);
        says(&gate, "bot", 70).await;
        lists(&gate, &work).await.expect(200);
        says(&gate, "bot", 71).await;
        let problem = lists(&gate, &work).await.refusal(403, "condition_denied");
        assert_eq!(problem["rule"], "not-when-risky", "{problem}");
        assert_eq!(problem["detail"], "the agent looks too risky");
        let request = json!({ "task": work.task, "entitlement": "work" });
        let asked = gate.control("POST", "/v1/requests").bearer(&work.token);
        asked
            .json(&request)
            .send()
            .await
            .problem(403, "condition_denied");
        // Another agent's risk is its own.
        let other = gate.agent("rival").works("items").await;
        lists(&gate, &other).await.expect(200);
        says(&gate, "bot", 5).await;
        lists(&gate, &work).await.expect(200);
    });
}

#[test]
fn a_score_ends_and_is_of_a_task_where_it_says_so() {
    run(async {
        let gate = risky().manual_clock().start().await;
        let (work, other) = (
            gate.agent("bot").works("items").await,
            gate.agent("bot").works("items").await,
        );
        let signal = json!({
            "agent": "bot", "task": work.task, "score": 99, "source": "siem", "expires_in": 60,
        });
        push(&gate, &gate.operator(), &signal).await.expect(204);
        lists(&gate, &work).await.refusal(403, "condition_denied");
        lists(&gate, &other).await.expect(200);
        gate.advance(Duration::from_secs(60));
        lists(&gate, &work).await.expect(200);
    });
}

#[test]
fn a_push_cuts_what_runs_of_that_agent_alone() {
    run(async {
        let gate = risky().start().await;
        let (work, other) = (
            gate.agent("bot").works("work").await,
            gate.agent("rival").works("work").await,
        );
        let (feed, mut cut) = stream(&gate, &work).await;
        let (other_feed, mut flows) = stream(&gate, &other).await;
        says(&gate, "bot", 60).await;
        still_flows(&feed, &mut cut).await;
        says(&gate, "bot", 90).await;
        cut.cut().await;
        feed.closed().await;
        still_flows(&other_feed, &mut flows).await;
        drop((flows, other_feed));
        let mut gate = gate;
        let ended = gate.stop().await;
        let ended = ended
            .iter()
            .find(|record| record["end"] == "condition_changed");
        assert_eq!(ended.expect("the cut is recorded")["agent"], "bot");
    });
}

#[test]
fn what_runs_for_as_long_as_a_score_stands_is_cut_as_it_ends() {
    run(async {
        let vouched = "@id(\"vouched\") forbid (principal, action == Action::\"shop.stream\", resource) \
                       unless { context.risk.known };";
        let plan = risky().file("vouched.cedar", vouched).manual_clock();
        let gate = plan.start().await;
        let work = gate.agent("bot").works("work").await;
        let signal = json!({ "agent": "bot", "score": 1, "source": "siem", "expires_in": 60 });
        push(&gate, &gate.operator(), &signal).await.expect(204);
        let (feed, mut opened) = stream(&gate, &work).await;
        gate.advance(Duration::from_secs(30));
        still_flows(&feed, &mut opened).await;
        gate.advance(Duration::from_secs(30));
        opened.cut().await;
        feed.closed().await;
    });
}

#[test]
fn who_may_push_and_what() {
    run(async {
        let gate = risky().start().await;
        let signal = json!({ "agent": "bot", "score": 1, "source": "siem" });
        let key_of = async |person: &str| {
            let path = format!("/v1/people/{person}/keys");
            let made = gate.control("POST", &path).bearer(&gate.operator());
            let made = made.send().await.expect(201).json();
            made["key"].as_str().unwrap().to_owned()
        };
        let siem = key_of("siem@example.com").await;
        push(&gate, &siem, &signal).await.expect(204);
        let ben = key_of("ben@example.com").await;
        push(&gate, &ben, &signal).await.problem(403, "forbidden");
        let work = gate.agent("bot").works("items").await;
        push(&gate, &work.token, &signal)
            .await
            .problem(403, "forbidden");
        let rival = gate.agent("rival").works("items").await;
        for (change, status, code) in [
            (json!({ "agent": "nobody" }), 404, "not_found"),
            (json!({ "task": "none" }), 404, "not_found"),
            (json!({ "task": rival.task }), 404, "not_found"),
            (json!({ "score": 101 }), 400, "request_malformed"),
            (json!({ "score": -1 }), 400, "request_malformed"),
            (json!({ "score": 1.5 }), 400, "request_malformed"),
            (json!({ "score": "50" }), 400, "request_malformed"),
            (json!({ "source": "" }), 400, "request_malformed"),
            (json!({ "source": "a\nb" }), 400, "request_malformed"),
            (
                json!({ "source": "s".repeat(65) }),
                400,
                "request_malformed",
            ),
            (
                json!({ "reason": "r".repeat(1001) }),
                400,
                "request_malformed",
            ),
            (json!({ "expires_in": 0 }), 400, "request_malformed"),
            (json!({ "expires_in": -5 }), 400, "request_malformed"),
            (json!({ "expires_in": 86_401 }), 400, "request_malformed"),
            (json!({ "more": true }), 400, "request_malformed"),
        ] {
            let mut odd = signal.clone();
            odd.as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            push(&gate, &siem, &odd).await.problem(status, code);
        }
        let mut gate = gate;
        let records = gate.stop().await;
        let mut pushes = records
            .iter()
            .filter(|record| record["detail"] == "risk 1 by `siem`");
        assert_eq!(pushes.next().unwrap()["person"], "siem@example.com");
        assert!(pushes.next().is_none(), "what is refused is no push");
    });
}

/// Opens a stream at `begins`, in a shop in Zurich that closes by this rule, and looks at it as the clock
/// shows each of `strokes`: whether it is cut then.
async fn closes(rule: &str, begins: &str, strokes: &[(&str, bool)]) {
    let services = "[[service]]\nname = \"shop\"\nmatch = { path = \"/shop\" }\n\
                    upstreams = [\"http://{upstream}\"]\ntime_zone = \"Europe/Zurich\"\n";
    let plan = Plan::new()
        .file("services.toml", services)
        .file("time.cedar", rule);
    let gate = plan.manual_clock().start().await;
    let work = gate.agent("bot").works("work").await;
    // From here on the token is known, whatever the clock on the wall is set to.
    lists(&gate, &work).await.expect(200);
    let strike = |moment: &str| {
        let moment: Timestamp = moment.parse().unwrap();
        gate.time().step_wall(moment - Duration::from_secs(1));
        gate.advance(Duration::from_secs(1));
    };
    strike(begins);
    let (feed, mut opened) = stream(&gate, &work).await;
    for (moment, closed) in strokes {
        strike(moment);
        if *closed {
            opened.cut().await;
            feed.closed().await;
            return;
        }
        // The worker was woken by the stroke before this came.
        still_flows(&feed, &mut opened).await;
    }
    panic!("the last stroke closes");
}

const UNTIL_17: &str = "@id(\"until-17\") forbid (principal, action == Action::\"shop.stream\", resource) \
                        unless { context.local.hour < 17 };";

const UNTIL_3: &str = "@id(\"until-3\") forbid (principal, action == Action::\"shop.stream\", resource) \
                       unless { context.local.hour < 3 };";

const UNTIL_A_MOMENT: &str = "@id(\"until\") forbid (principal, action == Action::\"shop.stream\", resource) \
                              unless { context.now < datetime(\"2026-11-27T12:00:07Z\") };";

#[test]
fn a_window_of_time_closes_on_what_runs() {
    run(async {
        // 17:00 in Zurich is 16:00 UTC in winter.
        let strokes = [
            ("2026-11-27T15:30:00Z", false),
            ("2026-11-27T15:59:59Z", false),
            ("2026-11-27T16:00:00Z", true),
        ];
        closes(UNTIL_17, "2026-11-27T15:00:00Z", &strokes).await;
        let strokes = [
            ("2026-11-27T12:00:06Z", false),
            ("2026-11-27T12:00:07Z", true),
        ];
        closes(UNTIL_A_MOMENT, "2026-11-27T12:00:00Z", &strokes).await;
    });
}

#[test]
fn a_window_of_time_closes_where_the_clocks_are_put_back_and_forward() {
    run(async {
        // The hour from 2 to 3 comes twice on 25 October: 3:00 is 02:00 UTC.
        let strokes = [
            ("2026-10-25T00:59:59Z", false),
            ("2026-10-25T01:00:00Z", false),
            ("2026-10-25T01:59:59Z", false),
            ("2026-10-25T02:00:00Z", true),
        ];
        closes(UNTIL_3, "2026-10-25T00:30:00Z", &strokes).await;
        // It does not come at all on 28 March: 3:00 is 01:00 UTC.
        let strokes = [
            ("2027-03-28T00:59:59Z", false),
            ("2027-03-28T01:00:00Z", true),
        ];
        closes(UNTIL_3, "2027-03-28T00:30:00Z", &strokes).await;
    });
}

#[test]
fn a_stream_is_not_cut_for_having_been_counted() {
    run(async {
        let once = "@id(\"once\") forbid (principal, action == Action::\"shop.stream\", resource) when {\
                    context.history[\"shop.stream\"].calls >= 1 || context.now > datetime(\"2090-01-01\") };";
        let gate = Plan::new().file("once.cedar", once).manual_clock();
        let gate = gate.start().await;
        let work = gate.agent("bot").works("work").await;
        let (feed, mut opened) = stream(&gate, &work).await;
        gate.advance(Duration::from_secs(1));
        still_flows(&feed, &mut opened).await;
        let again = gate.call("GET", "/shop/stream").bearer(&work.token);
        again.send().await.refusal(403, "condition_denied");
    });
}

const TURNING: &str = r#"
@id("hold-payments")
@message("payments are held")
@on_change("suspend")
forbid (principal, action == Action::"shop.pay", resource) when { context.risk.known && context.risk.score > 70 };

@id("give-up")
@on_change("end")
forbid (principal, action in Action::"shop", resource) when { context.risk.known && context.risk.score > 95 };
"#;

async fn grant(gate: &Gateway, work: &Work) -> Value {
    let path = format!("/v1/grants/{}", work.grant);
    let call = gate.control("GET", &path).bearer(&work.token);
    call.send().await.expect(200).json()
}

/// Waits until the grant is in this state.
async fn becomes(gate: &Gateway, work: &Work, state: &str) -> Value {
    within(state, async {
        loop {
            let grant = grant(gate, work).await;
            if grant["state"] == state {
                return grant;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[test]
fn a_rule_suspends_the_grants_that_it_turns_against_and_they_come_back() {
    run(async {
        let gate = risky().file("risk.cedar", TURNING).start().await;
        let (work, other) = (
            gate.agent("bot").works("work").await,
            gate.agent("rival").works("work").await,
        );
        let reading = gate.agent("bot").works("items").await;
        let (feed, mut cut) = stream(&gate, &work).await;
        says(&gate, "bot", 80).await;
        // What runs under it is cut, though the rule is about another operation.
        cut.cut().await;
        feed.closed().await;
        becomes(&gate, &work, "suspended").await;
        let problem = lists(&gate, &work).await.refusal(403, "condition_denied");
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(detail, "the grant is suspended: payments are held");
        assert_eq!(problem["rule"], "hold-payments", "{problem}");
        let asked = json!({ "method": "GET", "url": "/shop/items" });
        let told = gate.control("POST", "/v1/explain").bearer(&work.token);
        let told = told.json(&asked).send().await.expect(200).json();
        assert_eq!(told["rules"], json!(["hold-payments"]), "{told}");
        assert_eq!(told["signals"]["risk"]["score"], 80, "{told}");
        let rule = json!({ "rule": "hold-payments", "message": "payments are held" });
        assert_eq!(told["suspended"], rule, "{told}");
        assert_eq!(told["grant"], work.grant, "{told}");
        // Operators hear what the rule lacks to let go, also where it refuses the call itself.
        let pay = json!({ "amount": 1 });
        for (method, url, body) in [
            ("GET", "/shop/items", None),
            ("POST", "/shop/pay", Some(pay)),
        ] {
            let asked = json!({ "task": work.task, "method": method, "url": url, "body": body });
            let told = gate.control("POST", "/v1/explain").bearer(&gate.operator());
            let told = told.json(&asked).send().await.expect(200).json();
            let needs = json!(["context.risk.score <= 70 (is 80)"]);
            assert_eq!(told["suspended"]["rule"], "hold-payments", "{told}");
            assert_eq!(told["suspended"]["needs"], needs, "{told}");
            assert_eq!(told["needs"], needs, "{told}");
        }
        assert_eq!(grant(&gate, &other).await["state"], "active");
        assert_eq!(
            grant(&gate, &reading).await["state"],
            "active",
            "it holds no payments"
        );
        says(&gate, "bot", 10).await;
        let back = becomes(&gate, &work, "active").await;
        assert_eq!(back["id"], work.grant, "the same grant, asked for once");
        lists(&gate, &work).await.expect(200);
        let mut gate = gate;
        let records = gate.stop().await;
        let told = |what: &str| {
            let found = records.iter().find(|record| record["detail"] == what);
            found
                .unwrap_or_else(|| panic!("{what} is recorded"))
                .clone()
        };
        assert_eq!(
            told("suspended by a condition")["rules"],
            json!(["hold-payments"])
        );
        assert_eq!(told("resumed by a condition")["grant"], work.grant);
    });
}

/// Which rule it was is not stored: it is asked again at the start, and is the one that is named then.
#[test]
fn the_rule_that_suspended_a_grant_is_named_after_a_restart() {
    run(async {
        let mut gate = risky().file("risk.cedar", TURNING).start().await;
        let work = gate.agent("bot").works("work").await;
        says(&gate, "bot", 80).await;
        becomes(&gate, &work, "suspended").await;
        gate.restart().await;
        assert_eq!(grant(&gate, &work).await["state"], "suspended");
        within("the rule is named", async {
            loop {
                let problem = lists(&gate, &work).await.refusal(403, "condition_denied");
                if problem["rule"] == "hold-payments" {
                    let detail = "the grant is suspended: payments are held";
                    assert_eq!(problem["detail"], detail, "{problem}");
                    break;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        // And it lets go as it would have.
        says(&gate, "bot", 10).await;
        becomes(&gate, &work, "active").await;
        lists(&gate, &work).await.expect(200);
    });
}

#[test]
fn a_rule_ends_the_grants_that_it_turns_against_for_good() {
    run(async {
        let gate = risky().file("risk.cedar", TURNING).start().await;
        let work = gate.agent("bot").works("items").await;
        says(&gate, "bot", 99).await;
        let over = becomes(&gate, &work, "ended").await;
        assert_eq!(over["end_reason"], "condition_changed", "{over}");
        says(&gate, "bot", 0).await;
        lists(&gate, &work).await.refusal(403, "grant_required");
        // Nothing but a new request brings the right back.
        let request = json!({ "task": work.task, "entitlement": "items" });
        let work = gate.agent("bot").granted(work, &request).await;
        lists(&gate, &work).await.expect(200);
    });
}

/// A part that the rule itself does not mention goes with the whole, and comes back with it.
#[test]
fn what_was_handed_down_is_suspended_with_the_whole() {
    run(async {
        let gate = risky().file("risk.cedar", TURNING).start().await;
        let bot = gate.agent("bot");
        let work = bot.works("work").await;
        let span = json!({ "parent": work.task, "lease_seconds": 3600 });
        let call = gate.control("POST", "/v1/tasks").bearer(&work.token);
        let span = call.json(&span).send().await.expect(201).json();
        let span = span["id"].as_str().unwrap().to_owned();
        let part = json!({ "task": span, "operations": ["shop.list", "shop.stream"] });
        let path = format!("/v1/grants/{}/delegate", work.grant);
        let call = gate.control("POST", &path).bearer(&work.token).json(&part);
        let part = call.send().await.expect(201).json();
        let part = Work {
            token: bot.token_for(&span).await,
            task: span,
            grant: part["id"].as_str().unwrap().to_owned(),
        };
        let (feed, mut cut) = stream(&gate, &part).await;
        says(&gate, "bot", 80).await;
        cut.cut().await;
        feed.closed().await;
        becomes(&gate, &part, "suspended").await;
        lists(&gate, &part).await.refusal(403, "condition_denied");
        says(&gate, "bot", 10).await;
        becomes(&gate, &part, "active").await;
        lists(&gate, &part).await.expect(200);
    });
}
