//! What a task has called, as rules read it: of an operation and of a group, under parallel calls, after a restart,
//! and wherever else rules are asked.

mod rehearsed;

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::harness::{Answer, Client, Feed, Gateway, Opened, Plan, Work, full, pipe, run, within};

/// Two operations that move money, two that keep a copy, and one that comes after such a copy.
const OPERATIONS: &str = r#"
[[operation]]
id = "shop.refund"
service = "shop"
route = "POST /shop/refund"
groups = ["money"]
risk = "high"
input = { amount = "body:/amount:Long" }

[[operation]]
id = "shop.credit"
service = "shop"
route = "POST /shop/credit"
groups = ["money"]
risk = "high"
input = { amount = "body:/amount:Long" }

[[operation]]
id = "shop.backup"
service = "shop"
route = "POST /shop/backup"
groups = ["copies"]

[[operation]]
id = "shop.snapshot"
service = "shop"
route = "POST /shop/snapshot"
groups = ["copies"]

[[operation]]
id = "shop.wipe"
service = "shop"
route = "DELETE /shop/everything"

[[operation]]
id = "shop.watch"
service = "shop"
route = "GET /shop/watch"
groups = ["looks"]
protocol = "sse"

[[entitlement]]
id = "books"
operations = ["shop.backup", "shop.credit", "shop.refund", "shop.snapshot", "shop.watch", "shop.wipe"]
max_ttl = "1h"
"#;

const RULES: &str = r#"
@id("books")
permit (principal, action in Action::"shop", resource)
when { context has grant && context.grant.entitlement == "books" };

@id("three-and-500-in-all")
@message("a task moves money three times, and 500 in all")
forbid (principal, action in Action::"money", resource)
when { context.history["money"].calls >= 3 || context.history["money"].sum.amount + context.input.amount > 500 };

@id("only-after-a-copy")
forbid (principal, action == Action::"shop.wipe", resource)
unless { context.history["copies"].succeeded >= 1 };
"#;

fn plan() -> Plan {
    Plan::new()
        .file("books.toml", OPERATIONS)
        .file("books.cedar", RULES)
}

async fn moves(gate: &Gateway, work: &Work, path: &str, amount: i64) -> Answer {
    let call = gate.call("POST", path).bearer(&work.token);
    call.json(&json!({ "amount": amount })).send().await
}

async fn refused(gate: &Gateway, work: &Work, path: &str, amount: i64) {
    let answer = moves(gate, work, path, amount).await;
    let problem = answer.refusal(403, "condition_denied");
    assert_eq!(problem["rule"], "three-and-500-in-all", "{problem}");
    assert_eq!(
        problem["detail"],
        "a task moves money three times, and 500 in all"
    );
}

async fn passes(gate: &Gateway, work: &Work, path: &str, amount: i64) {
    moves(gate, work, path, amount).await.expect_bytes(200);
}

async fn sends(gate: &Gateway, work: &Work, method: &str, path: &str) -> Answer {
    gate.call(method, path).bearer(&work.token).send().await
}

#[test]
fn a_limit_holds_over_a_group() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").works("books").await;
        passes(&gate, &work, "/shop/refund", 200).await;
        passes(&gate, &work, "/shop/credit", 200).await;
        refused(&gate, &work, "/shop/refund", 101).await;
        refused(&gate, &work, "/shop/credit", 101).await;
        // What the service did not do has moved nothing, and was a call.
        let broken = Response::builder().status(500).body(full("")).unwrap();
        gate.upstream.answer_next(broken);
        moves(&gate, &work, "/shop/refund", 100)
            .await
            .expect_bytes(500);
        refused(&gate, &work, "/shop/credit", 1).await;
        assert_eq!(gate.upstream.count(), 3);
        // Each task has a history of its own.
        let other = gate.agent("bot").works("books").await;
        passes(&gate, &other, "/shop/credit", 500).await;
        refused(&gate, &other, "/shop/refund", 1).await;
    });
}

/// Asks for refunds and credits of `amount` at once, over many connections; how many passed.
async fn at_once(gate: &Arc<Gateway>, work: &Work, amount: i64) -> usize {
    let lanes = 40;
    let ready = Arc::new(Barrier::new(lanes));
    let mut all = JoinSet::new();
    for lane in 0..lanes {
        let (gate, ready, token) = (gate.clone(), ready.clone(), work.token.clone());
        all.spawn(async move {
            let path = ["/shop/refund", "/shop/credit"][lane % 2];
            let mut client = Client::http1(&gate).await;
            ready.wait().await;
            let call = gate.call("POST", path).bearer(&token);
            let answer = call.json(&json!({ "amount": amount }));
            let answer = answer.send_on(&mut client).await;
            if answer.status != 200 {
                answer.refusal(403, "condition_denied");
            }
            answer.status == 200
        });
    }
    let passed = within("all calls", all.join_all()).await;
    passed.into_iter().filter(|passed| *passed).count()
}

#[test]
fn parallel_calls_cant_pass_a_limit_over_a_group_together() {
    run(async {
        let gate = Arc::new(plan().start().await);
        for (amount, most) in [(200, 2), (100, 3), (1, 3)] {
            let before = gate.upstream.count();
            let work = gate.agent("bot").works("books").await;
            assert_eq!(at_once(&gate, &work, amount).await, most, "{amount}");
            assert_eq!(gate.upstream.count() - before, most, "{amount}");
        }
    });
}

#[test]
fn one_comes_only_after_another_of_a_group_succeeded() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").works("books").await;
        let wipe = || sends(&gate, &work, "DELETE", "/shop/everything");
        let problem = wipe().await.refusal(403, "condition_denied");
        assert_eq!(problem["rule"], "only-after-a-copy", "{problem}");
        let broken = Response::builder().status(503).body(full("")).unwrap();
        gate.upstream.answer_next(broken);
        sends(&gate, &work, "POST", "/shop/backup")
            .await
            .expect_bytes(503);
        wipe().await.refusal(403, "condition_denied");
        sends(&gate, &work, "POST", "/shop/snapshot")
            .await
            .expect_bytes(200);
        wipe().await.expect_bytes(200);
    });
}

#[test]
fn a_restart_forgets_nothing_of_a_group() {
    run(async {
        let mut gate = plan().start().await;
        let work = gate.agent("bot").works("books").await;
        passes(&gate, &work, "/shop/refund", 200).await;
        passes(&gate, &work, "/shop/credit", 200).await;
        sends(&gate, &work, "POST", "/shop/snapshot")
            .await
            .expect_bytes(200);
        gate.restart().await;
        refused(&gate, &work, "/shop/credit", 101).await;
        sends(&gate, &work, "DELETE", "/shop/everything")
            .await
            .expect_bytes(200);
        passes(&gate, &work, "/shop/credit", 100).await;
        refused(&gate, &work, "/shop/refund", 0).await;
    });
}

#[test]
fn a_group_counts_who_is_in_it_now() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").works("books").await;
        for _ in 0..3 {
            sends(&gate, &work, "POST", "/shop/backup")
                .await
                .expect_bytes(200);
        }
        passes(&gate, &work, "/shop/refund", 1).await;
        let with = "groups = [\"copies\", \"money\"]\ninput = { amount = \"query:amount:Long\" }";
        gate.edit_policy("books.toml", "groups = [\"copies\"]", with);
        gate.publish().await;
        refused(&gate, &work, "/shop/refund", 1).await;
        gate.edit_policy("books.toml", with, "groups = [\"copies\"]");
        gate.publish().await;
        passes(&gate, &work, "/shop/refund", 1).await;
    });
}

/// A stream over a connection of its own; its first event has arrived.
async fn streams(gate: &Gateway, work: &Work, path: &str) -> (Feed, Opened) {
    let (feed, body) = pipe();
    let response = Response::builder().header("content-type", "text/event-stream");
    gate.upstream.answer_next(response.body(body).unwrap());
    let mut client = Client::http1(gate).await;
    let call = gate.call("GET", path).bearer(&work.token);
    let (mut opened, ()) = tokio::join!(call.open_on(&mut client), feed.send("data: 1\n\n"));
    assert_eq!(opened.text().await, "data: 1\n\n");
    (feed, opened)
}

/// What runs is asked about again each second, because its rule reads the time: as if it had not been made.
#[test]
fn a_stream_is_not_cut_for_having_been_counted_in_a_group() {
    run(async {
        let rested = r#"
            @id("rested") forbid (principal, action == Action::"shop.watch", resource)
            when { context.history["looks"].calls >= 2 || context.now > datetime("2090-01-01") ||
                (context.history["looks"].calls == 1 && !(context.history["looks"] has last_age_seconds
                    && context.history["looks"].last_age_seconds >= 5)) };
            @id("brief") forbid (principal, action == Action::"shop.stream", resource)
            when { context has grant && context.grant.age_seconds >= 2 };
        "#;
        let plan = plan().file("rested.cedar", rested);
        let gate = plan.manual_clock().start().await;
        let work = gate.agent("bot").works("books").await;
        let watch = || sends(&gate, &work, "GET", "/shop/watch");
        watch().await.expect_bytes(200);
        gate.advance(Duration::from_secs(4));
        watch().await.refusal(403, "condition_denied");
        gate.advance(Duration::from_secs(1));
        let (feed, mut opened) = streams(&gate, &work, "/shop/watch").await;
        let brief = gate.agent("bot").works("work").await;
        let (_brief_feed, mut brief) = streams(&gate, &brief, "/shop/stream").await;
        for _ in 0..2 {
            gate.advance(Duration::from_secs(1));
            feed.send("data: 2\n\n").await;
            assert_eq!(opened.text().await, "data: 2\n\n");
        }
        // By now all that runs has been asked about.
        brief.cut().await;
        feed.send("data: 3\n\n").await;
        assert_eq!(opened.text().await, "data: 3\n\n");
        watch().await.refusal(403, "condition_denied");
    });
}

#[test]
fn explain_shows_what_a_group_has_come_to() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").works("books").await;
        for path in ["/shop/refund", "/shop/credit", "/shop/credit"] {
            passes(&gate, &work, path, 100).await;
        }
        let body = json!({ "method": "POST", "url": "/shop/refund", "body": { "amount": 1 } });
        let call = gate.control("POST", "/v1/explain").bearer(&work.token);
        let told = call.json(&body).send().await.expect(200).json();
        assert_eq!(told["rules"], json!(["three-and-500-in-all"]), "{told:#}");
        let history = &told["signals"]["history"];
        let money = &history["money"];
        assert_eq!(
            (&money["calls"], &money["succeeded"]),
            (&json!(3), &json!(3)),
            "{told:#}"
        );
        assert_eq!(money["sum"], json!({ "amount": 300 }), "{told:#}");
        // What no rule reads is not shown.
        let shown: Vec<_> = history.as_object().unwrap().keys().collect();
        assert_eq!(shown, ["money"], "{told:#}");
    });
}
