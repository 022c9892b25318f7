//! What runs when a grant ends is cut, and nothing else is; a cut body never looks complete.

mod many;

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{
    Client, End, Feed, Gateway, HELLO, Opened, Plan, Raw, Stub, Work, http2_reset, pipe, run,
    within,
};

/// Far above the promised 100 ms, because the machine of a test may be busy, and far below every
/// timeout that could hide a stream that was not cut.
const SOON: Duration = Duration::from_secs(2);

/// A way in which a stream's right can end.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Complete,
    Fail,
    Revoke,
    RevokeByOperator,
}

const CAUSES: [Cause; 4] = [
    Cause::Complete,
    Cause::Fail,
    Cause::Revoke,
    Cause::RevokeByOperator,
];

impl Cause {
    /// Brings it about, and returns the account of the grant's end.
    async fn happens(self, gate: &Gateway, work: &Work) -> Value {
        let (path, key) = match self {
            Self::Complete => (
                format!("/v1/tasks/{}/complete", work.task),
                work.token.clone(),
            ),
            Self::Fail => (format!("/v1/tasks/{}/fail", work.task), work.token.clone()),
            Self::Revoke => (
                format!("/v1/grants/{}/revoke", work.grant),
                work.token.clone(),
            ),
            Self::RevokeByOperator => {
                (format!("/v1/grants/{}/revoke", work.grant), gate.operator())
            }
        };
        let answer = gate.control("POST", &path).bearer(&key).send().await;
        let answer = answer.expect(200).json();
        match self {
            Self::Complete | Self::Fail => answer["grants"][0].clone(),
            Self::Revoke | Self::RevokeByOperator => answer,
        }
    }
}

/// The account of a grant under which one stream was cut.
#[track_caller]
fn one_was_cut(closed: &Value, work: &Work) {
    assert_eq!(closed["id"], work.grant, "{closed}");
    assert_eq!(closed["state"], "closed", "{closed}");
    assert_eq!(closed["streams_cut"], 1, "{closed}");
    let micros = closed["micros"].as_u64().expect("how long it took");
    assert!(Duration::from_micros(micros) < SOON, "{closed}");
}

/// A stream of events over a client's connection: the first event has arrived.
async fn stream(gate: &Gateway, work: &Work, client: &mut Client) -> (Feed, Opened) {
    let (feed, body) = pipe();
    let response = Response::builder().header("content-type", "text/event-stream");
    gate.upstream.answer_next(response.body(body).unwrap());
    let call = gate.call("GET", "/shop/stream").bearer(&work.token);
    let (mut opened, ()) = tokio::join!(call.open_on(client), feed.send("data: 1\n\n"));
    assert_eq!(opened.status(), 200);
    assert_eq!(opened.text().await, "data: 1\n\n");
    (feed, opened)
}

fn ask(work: &Work) -> String {
    format!(
        "GET /shop/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        work.token
    )
}

#[test]
fn an_http1_stream_ends_without_its_last_chunk() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let gate = plan.start().await;
            for cause in CAUSES {
                let work = gate.agent("bot").works("work").await;
                let (feed, body) = pipe();
                gate.upstream.answer_next(Response::new(body));
                let mut raw = Raw::connect(&gate).await;
                raw.say(ask(&work)).await;
                feed.send("data: 1\n\n").await;
                let head = raw.head().await.to_ascii_lowercase();
                assert!(head.contains("transfer-encoding: chunked"), "{head}");
                assert_eq!(raw.until("\n\n\r\n").await, "9\r\ndata: 1\n\n\r\n");

                let begun = Instant::now();
                let (closed, (rest, end)) = tokio::join!(cause.happens(&gate, &work), raw.rest());
                assert!(
                    begun.elapsed() < SOON,
                    "{cause:?} took {:?}",
                    begun.elapsed()
                );
                assert!(rest.is_empty(), "{cause:?}: {rest:?}");
                assert_eq!(end, End::Broken, "{cause:?}");
                one_was_cut(&closed, &work);
                // The upstream's side is let go too, whatever it still has to say.
                feed.closed().await;
            }
        }
    });
}

#[test]
fn an_http2_stream_is_reset_and_its_siblings_go_on() {
    run(async {
        let gate = Plan::new().tls().start().await;
        for cause in CAUSES {
            let (work, other) = (
                gate.agent("bot").works("work").await,
                gate.agent("rival").works("work").await,
            );
            let mut client = Client::http2(&gate).await;
            let (cut_feed, mut cut) = stream(&gate, &work, &mut client).await;
            let (feed, mut sibling) = stream(&gate, &other, &mut client).await;
            let (closed, error) = tokio::join!(cause.happens(&gate, &work), cut.cut());
            one_was_cut(&closed, &work);
            let error = http2_reset(&error);
            // Not cancelled: some clients take that for the end of an answer that is whole.
            assert!(error.contains("internal error"), "{cause:?}: {error}");
            cut_feed.closed().await;

            feed.send("data: 2\n\n").await;
            assert_eq!(sibling.text().await, "data: 2\n\n");
            let call = gate.call("GET", "/shop/items").bearer(&other.token);
            assert_eq!(call.send_on(&mut client).await.expect(200).text(), HELLO);
            drop(feed);
            assert!(
                sibling.piece().await.is_none(),
                "the sibling comes to its own end"
            );
        }
    });
}

#[test]
fn the_end_of_one_task_leaves_another_alone() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let (ending, going_on) = (bot.works("work").await, bot.works("work").await);
        let mut first = Client::http1(&gate).await;
        let mut second = Client::http1(&gate).await;
        let (_cut_feed, mut cut) = stream(&gate, &ending, &mut first).await;
        let (feed, mut opened) = stream(&gate, &going_on, &mut second).await;
        let (receipt, _) = tokio::join!(ending.completes(&gate), cut.cut());
        one_was_cut(&receipt["grants"][0], &ending);
        feed.send("data: 2\n\n").await;
        assert_eq!(opened.text().await, "data: 2\n\n");
    });
}

#[test]
fn a_stream_is_cut_at_the_deadline_of_its_grant() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let request = json!({ "task": work.task, "entitlement": "work", "duration_seconds": 60 });
        let work = bot.granted(work, &request).await;
        let mut client = Client::http1(&gate).await;
        let (feed, mut opened) = stream(&gate, &work, &mut client).await;
        gate.advance(Duration::from_millis(59_999));
        feed.send("data: 2\n\n").await;
        assert_eq!(opened.text().await, "data: 2\n\n");
        gate.advance(Duration::from_millis(1));
        within("the cut", opened.cut()).await;
        feed.closed().await;
        let mut gate = gate;
        let lines = gate.stop().await;
        let line = lines
            .iter()
            .find(|line| line["kind"] == "call" && line["end"] == "expired");
        assert!(line.is_some(), "{lines:?}");
    });
}

#[test]
fn a_stream_is_cut_when_its_tasks_lease_lapses() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens_as(&json!({ "lease_seconds": 30 })).await;
        let request = json!({ "task": work.task, "entitlement": "work" });
        let work = bot.granted(work, &request).await;
        let mut client = Client::http1(&gate).await;
        let (feed, mut opened) = stream(&gate, &work, &mut client).await;
        // What the upstream says is no sign of life of the agent.
        gate.advance(Duration::from_secs(29));
        feed.send("data: 2\n\n").await;
        assert_eq!(opened.text().await, "data: 2\n\n");
        gate.advance(Duration::from_secs(1));
        within("the cut", opened.cut()).await;
        feed.closed().await;
    });
}

#[test]
fn a_stream_is_cut_when_the_files_no_longer_know_its_agent() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let mut client = Client::http1(&gate).await;
        let (feed, mut opened) = stream(&gate, &work, &mut client).await;
        std::fs::remove_file(gate.policies().join("agents/bot.toml")).unwrap();
        let (_, _) = tokio::join!(gate.publish(), opened.cut());
        feed.closed().await;
        let again = gate
            .call("GET", "/shop/items")
            .bearer(&work.token)
            .send()
            .await;
        again.refusal(401, "token_invalid");
    });
}

/// A client that stops reading a download that never ends: its buffers and the kernel's are full. A
/// body that waits to be asked for its next piece would never learn of the end.
async fn stalls(gate: &Gateway, feed: &Feed) {
    let piece = Bytes::from(vec![b'x'; 256 * 1024]);
    let mut sent = 0;
    // What the kernel takes is some megabytes; beyond it nobody takes a piece for a while.
    while let Ok(taken) =
        tokio::time::timeout(Duration::from_millis(300), feed.offer(piece.clone())).await
    {
        assert!(taken, "the stream was cut while it should run");
        sent += piece.len();
        assert!(sent < 1 << 30, "{} swallows everything", gate.address());
    }
}

#[test]
fn a_stalled_http1_reader_is_cut_as_well() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let gate = plan.start().await;
            let work = gate.agent("bot").works("work").await;
            let (feed, body) = pipe();
            gate.upstream.answer_next(Response::new(body));
            let mut raw = Raw::connect(&gate).await;
            raw.say(ask(&work)).await;
            raw.head().await;
            stalls(&gate, &feed).await;

            let begun = Instant::now();
            let receipt = work.completes(&gate).await;
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            one_was_cut(&receipt["grants"][0], &work);
            feed.closed().await;
            // What the client's own kernel had taken before is all that it gets.
            let (rest, end) = raw.rest().await;
            assert_eq!(end, End::Broken);
            assert!(!rest.ends_with(b"0\r\n\r\n"));
        }
    });
}

#[test]
fn a_stalled_http2_reader_is_cut_and_its_siblings_go_on() {
    run(async {
        let gate = Plan::new().tls().start().await;
        let (work, other) = (
            gate.agent("bot").works("work").await,
            gate.agent("bot").works("work").await,
        );
        let mut client = Client::http2(&gate).await;
        let (feed, mut opened) = stream(&gate, &work, &mut client).await;
        stalls(&gate, &feed).await;
        let begun = Instant::now();
        let receipt = work.completes(&gate).await;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        one_was_cut(&receipt["grants"][0], &work);
        feed.closed().await;
        let call = gate.call("GET", "/shop/items").bearer(&other.token);
        call.send_on(&mut client).await.expect(200);
        let error = http2_reset(&opened.cut().await);
        assert!(error.contains("internal error"), "{error}");
    });
}

/// A gateway whose upstream is played by the test.
async fn played(plan: Plan) -> (Gateway, Stub) {
    let stub = Stub::bind().await;
    let services = stub.service();
    (plan.file("services.toml", &services).start().await, stub)
}

#[test]
fn an_upload_that_is_cut_before_the_answer_gets_the_refusal_and_a_close() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        for (cause, status, code) in [
            (Cause::Complete, 401, "task_ended"),
            (Cause::Revoke, 403, "grant_required"),
        ] {
            let work = gate.agent("bot").works("work").await;
            let mut raw = Raw::connect(&gate).await;
            raw.say(format!(
                "PUT /shop/data/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
                work.token
            ))
            .await;
            let mut peer = stub.accept().await;
            peer.until("first\r\n").await;
            let closed = cause.happens(&gate, &work).await;
            one_was_cut(&closed, &work);
            let head = raw.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(
                head.to_ascii_lowercase().contains("connection: close"),
                "{head}"
            );
            let (body, _) = raw.rest().await;
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["code"], code);
            // Where the task goes on, what leads to another grant is told as to a call that begins.
            let goes_on = code == "grant_required";
            let scope = "error=\"insufficient_scope\", scope=\"work\"";
            assert_eq!(head.contains(scope), goes_on, "{head}");
            let asked = &problem["next"]["authorization_details"][0];
            let expected = json!({
                "type": "portcullis_grant",
                "entitlement": "work",
                "task": work.task,
            });
            assert_eq!(*asked == expected, goes_on, "{problem}");
            // What the upstream has looks as unfinished as it is.
            let rest = peer.closed().await;
            assert!(rest.is_empty(), "{rest:?}");
        }
    });
}

#[test]
fn an_upload_over_http2_is_cut_alone() {
    run(async {
        let (gate, stub) = played(Plan::new().tls()).await;
        let (work, other) = (
            gate.agent("bot").works("work").await,
            gate.agent("bot").works("work").await,
        );
        let client = Client::http2(&gate).await;
        let (feed, body) = pipe();
        let call = gate
            .call("PUT", "/shop/data/x")
            .bearer(&work.token)
            .body(body);
        let mut sender = client.another();
        let (opened, ()) = tokio::join!(call.open_on(&mut sender), async {
            feed.send("first").await;
            let mut peer = stub.accept().await;
            peer.until("first\r\n").await;
            one_was_cut(&work.completes(&gate).await["grants"][0], &work);
            peer.closed().await;
        });
        assert_eq!(opened.status(), 401);
        let mut sibling = client.another();
        let call = gate.call("GET", "/shop/items").bearer(&other.token);
        let (answer, ()) = tokio::join!(call.send_on(&mut sibling), async {
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
        });
        answer.expect(200);
    });
}

/// A call that waits for a silent upstream is over with its grant, not with the upstream's patience.
#[test]
fn a_call_that_waits_for_its_answer_is_refused_at_the_end() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("work").await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
        let (answer, receipt) = tokio::join!(call, async {
            let mut peer = stub.accept().await;
            peer.head().await;
            let receipt = work.completes(&gate).await;
            peer.closed().await;
            receipt
        });
        answer.refusal(401, "task_ended");
        one_was_cut(&receipt["grants"][0], &work);
    });
}

#[test]
fn completing_waits_until_the_last_stream_is_gone() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let mut streams = Vec::new();
        for _ in 0..8 {
            let mut client = Client::http1(&gate).await;
            streams.push((stream(&gate, &work, &mut client).await, client));
        }
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        call.send().await.expect(200);
        let receipt = work.completes(&gate).await;
        let closed = &receipt["grants"][0];
        assert_eq!(closed["streams_cut"], 8, "{receipt}");
        assert_eq!(closed["calls_finished"], 1, "{receipt}");
        for ((feed, mut opened), _client) in streams {
            opened.cut().await;
            feed.closed().await;
        }
    });
}

/// The next request of the same connection is judged anew; one that was cut takes no more.
#[test]
fn a_connection_whose_stream_was_cut_is_over() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let mut client = Client::http1(&gate).await;
        let (_feed, mut opened) = stream(&gate, &work, &mut client).await;
        let (_, _) = tokio::join!(work.completes(&gate), opened.cut());
        assert!(!within("the connection ends", client.is_usable()).await);
    });
}

#[test]
fn a_client_that_hangs_up_ends_the_upstreams_side_and_gives_its_place_back() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let mut client = Client::http1(&gate).await;
        let (feed, opened) = stream(&gate, &work, &mut client).await;
        drop((opened, client));
        feed.closed().await;
        let receipt = work.completes(&gate).await;
        let closed = &receipt["grants"][0];
        assert_eq!(closed["streams_cut"], 0, "{receipt}");
        assert_eq!(closed["calls_finished"], 1, "{receipt}");
    });
}
