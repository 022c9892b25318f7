//! Budgets hold to the last call and the last byte, however many ask at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::harness::{Client, Gateway, Plan, Stub, full, pipe, run, within};

/// One entitlement with a budget.
fn entitlement(budget: &str) -> String {
    format!(
        "[[entitlement]]\nid = \"budget\"\noperations = [\"shop.data\", \"shop.list\", \"shop.pay\"]\n\
         max_ttl = \"1h\"\n{budget}\n"
    )
}

async fn start(budget: &str) -> Gateway {
    let plan = Plan::new().file("entitlements.toml", &entitlement(budget));
    plan.start().await
}

#[test]
fn a_hundred_calls_are_a_hundred_with_a_thousand_asked_for() {
    run(async {
        let gate = Arc::new(start("max_calls = 100").await);
        let work = gate.agent("bot").works("budget").await;
        let (lanes, each) = (100, 10);
        let ready = Arc::new(Barrier::new(lanes));
        let (passed, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut all = JoinSet::new();
        for _ in 0..lanes {
            let (gate, ready, token) = (gate.clone(), ready.clone(), work.token.clone());
            let (passed, refused) = (passed.clone(), refused.clone());
            all.spawn(async move {
                let mut client = Client::http1(&gate).await;
                ready.wait().await;
                for _ in 0..each {
                    let call = gate.call("GET", "/shop/items").bearer(&token);
                    let answer = call.send_on(&mut client).await;
                    if answer.status == 200 {
                        passed.fetch_add(1, Ordering::SeqCst);
                    } else {
                        answer.refusal(403, "budget_exhausted");
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        within("all calls", async {
            while let Some(ended) = all.join_next().await {
                ended.unwrap()
            }
        })
        .await;
        assert_eq!(passed.load(Ordering::SeqCst), 100);
        assert_eq!(refused.load(Ordering::SeqCst), 900);
        assert_eq!(gate.upstream.count(), 100);
    });
}

#[test]
fn what_is_refused_costs_nothing() {
    run(async {
        let gate = start("max_calls = 3").await;
        let work = gate.agent("bot").works("budget").await;
        let left = || async {
            let path = format!("/v1/grants/{}", work.grant);
            let grant = gate.control("GET", &path).bearer(&work.token);
            grant.send().await.expect(200).json()["calls_left"].clone()
        };
        for amount in [json!("odd"), json!(1000)] {
            let call = gate.call("POST", "/shop/pay").bearer(&work.token);
            let answer = call.json(&json!({ "amount": amount })).send().await;
            assert!(answer.status >= 400);
        }
        gate.call("GET", "/nowhere")
            .bearer(&work.token)
            .send()
            .await
            .expect(404);
        gate.call("GET", "/shop/items").send().await.expect(401);
        gate.call("GET", "/shop/status")
            .bearer(&work.token)
            .send()
            .await
            .expect(200);
        assert_eq!(left().await, 3);
        gate.call("GET", "/shop/items")
            .bearer(&work.token)
            .send()
            .await
            .expect(200);
        assert_eq!(left().await, 2);
    });
}

#[test]
fn a_call_that_never_left_is_given_back() {
    run(async {
        let nowhere = "[[service]]\nname = \"shop\"\nmatch = { path = \"/shop\" }\n\
                       upstreams = [\"http://127.0.0.1:1\"]\n";
        let plan = Plan::new().file("entitlements.toml", &entitlement("max_calls = 1"));
        let gate = plan.file("services.toml", nowhere).start().await;
        let work = gate.agent("bot").works("budget").await;
        for _ in 0..3 {
            let call = gate.call("GET", "/shop/items").bearer(&work.token);
            call.send().await.refusal(502, "upstream_unreachable");
        }
    });
}

#[test]
fn a_call_whose_request_could_not_be_made_is_given_back() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("shop");
        std::fs::write(&secret, "s3cr3t").unwrap();
        let services = format!(
            "[[service]]\nname = \"shop\"\nmatch = {{ path = \"/shop\" }}\n\
             upstreams = [\"http://{{upstream}}\"]\n\
             inject = {{ header = \"Api-Key\", value_from = \"file:{}\" }}\n",
            secret.display()
        );
        let allow = format!(
            "[credentials]\nallow = [\"file:{}/*\"]\n",
            directory.path().display()
        );
        let plan = Plan::new().file("entitlements.toml", &entitlement("max_calls = 1000000"));
        let plan = plan.file("services.toml", &services).settings(&allow);
        let gate = plan.start().await;
        let work = gate.agent("bot").works("budget").await;
        let call = || gate.call("GET", "/shop/items").bearer(&work.token).send();
        call().await.expect(200);
        std::fs::remove_file(&secret).unwrap();
        let refused = async {
            while call().await.status == 200 {
                tokio::task::yield_now().await;
            }
        };
        within("the credential is read again", refused).await;
        let left = async || {
            let path = format!("/v1/grants/{}", work.grant);
            let grant = gate.control("GET", &path).bearer(&work.token);
            grant.send().await.expect(200).json()["calls_left"].clone()
        };
        let before = left().await;
        assert_eq!(before, 1_000_000 - gate.upstream.count());
        call().await.refusal(502, "upstream_unreachable");
        assert_eq!(left().await, before);
    });
}

#[test]
fn a_call_that_the_upstream_may_have_seen_is_not_given_back() {
    run(async {
        let stub = Stub::bind().await;
        let service = stub.service();
        let plan = Plan::new().file("entitlements.toml", &entitlement("max_calls = 1"));
        let gate = plan.file("services.toml", &service).start().await;
        let work = gate.agent("bot").works("budget").await;
        let call = || gate.call("GET", "/shop/items").bearer(&work.token).send();
        let (answer, ()) = tokio::join!(call(), async {
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.reset();
        });
        answer.refusal(502, "upstream_unreachable");
        call().await.refusal(403, "budget_exhausted");
    });
}

#[test]
fn a_response_is_cut_at_the_last_byte_of_the_budget() {
    run(async {
        let gate = start("max_bytes = \"10KB\"").await;
        let work = gate.agent("bot").works("budget").await;
        gate.upstream
            .answer_next(Response::new(full(vec![b'x'; 9_000])));
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        assert_eq!(call.send().await.body.len(), 9_000);

        let (feed, body) = pipe();
        gate.upstream.answer_next(Response::new(body));
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let mut opened = call.open().await;
        feed.send(vec![b'y'; 1_000]).await;
        let piece = opened.piece().await.unwrap().unwrap();
        assert_eq!(piece.len(), 1_000);
        feed.send("z").await;
        let error = match opened.piece().await {
            Some(Err(error)) => error,
            other => panic!("{other:?}"),
        };
        assert!(!error.is_user());
        feed.closed().await;

        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        call.send().await.refusal(403, "budget_exhausted");
        let mut gate = gate;
        let lines = gate.stop().await;
        let cut = lines
            .iter()
            .find(|line| line["end"] == "exhausted" && line["kind"] == "call");
        assert_eq!(cut.expect("a line about the cut")["verdict"], "allow");
    });
}

#[test]
fn an_upload_counts_against_the_budget_too() {
    run(async {
        let gate = start("max_bytes = \"1KB\"").await;
        let work = gate.agent("bot").works("budget").await;
        let put = |bytes: usize| {
            let call = gate.call("PUT", "/shop/data/x").bearer(&work.token);
            call.bytes(Bytes::from(vec![b'x'; bytes])).send()
        };
        gate.upstream.answer(|_| Response::new(full("")));
        put(600).await.expect(200);
        put(600).await.refusal(403, "budget_exhausted");
        let arrived = gate.upstream.recorded();
        assert_eq!(arrived.len(), 1, "the second never arrived whole");
    });
}

#[test]
fn no_more_calls_run_at_once_than_may() {
    run(async {
        let gate = start("max_concurrent = 2").await;
        let work = gate.agent("bot").works("budget").await;
        let call = || gate.call("GET", "/shop/items").bearer(&work.token);
        let mut streams = Vec::new();
        for _ in 0..2 {
            let (feed, body) = pipe();
            gate.upstream.answer_next(Response::new(body));
            streams.push((feed, call().open().await));
        }
        call().send().await.refusal(403, "budget_exhausted");
        let (feed, opened) = streams.pop().unwrap();
        drop(feed);
        assert!(
            within("an end", opened.whole())
                .await
                .unwrap()
                .body
                .is_empty()
        );
        // The place is free when the exchange is over, which may be a moment after its last byte.
        eventually_passes(&gate, &work.token).await;
        assert_eq!(streams.len(), 1);
    });
}

/// Calls again and again until one passes.
async fn eventually_passes(gate: &Gateway, token: &str) {
    let passes = async {
        loop {
            let call = gate.call("GET", "/shop/items").bearer(token);
            if call.send().await.status == 200 {
                return;
            }
        }
    };
    within("a place is free again", passes).await;
}
