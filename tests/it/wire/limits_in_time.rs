//! Each limit on time and number has an end of its own: what the client is told, and what is counted.

use std::net::TcpListener;
use std::time::Duration;

use http::Response;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::frames::{PING, PREFACE, SETTINGS, frame};
use crate::harness::{Client, End, Gateway, Plan, Raw, Stub, join_all, pipe, run, within};

/// Longer than the limits below by as much as a slow machine may need.
const SOON: Duration = Duration::from_secs(10);

async fn limited(limits: &str) -> Gateway {
    let limits = format!("[limits]\n{limits}\n");
    Plan::new().settings(&limits).start().await
}

/// The value of a counter.
async fn counts(gate: &Gateway, name: &str) -> u64 {
    let call = gate.control("GET", "/metrics").bearer(&gate.operator());
    let metrics = call.send().await.expect(200);
    let mut lines = metrics.text().lines();
    let line = lines.find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {}", metrics.text()));
    line.trim().parse().unwrap()
}

/// The record of the one call that has this code.
async fn recorded(mut gate: Gateway, code: &str) -> Value {
    let mut lines = gate.stop().await;
    lines.retain(|line| line["kind"] == "call" && line["code"] == code);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// An upload that pauses: the service has a part of it, and the client is told that it was too slow.
#[test]
fn body_idle_timeout_of_an_upload() {
    run(async {
        for http2 in [false, true] {
            let plan = if http2 {
                Plan::new().tls()
            } else {
                Plan::new()
            };
            let limits = "[limits]\nbody_idle_timeout = \"300ms\"\n";
            let gate = plan.settings(limits).start().await;
            let work = gate.agent("bot").works("work").await;
            let (feed, body) = pipe();
            let call = gate.call("PUT", "/shop/data/1").bearer(&work.token);
            let call = call.body(body);
            let call = if http2 { call.http2() } else { call };
            let (answer, ()) = tokio::join!(call.send(), async {
                feed.send("a beginning").await;
                feed.closed().await;
            });
            let refusal = answer.refusal(408, "timeout");
            assert_eq!(refusal["detail"], "the request's body stopped coming");
            assert!(gate.upstream.recorded().is_empty());
            let record = recorded(gate, "timeout").await;
            assert_eq!(record["status"], 408, "{record}");
        }
    });
}

/// One that never pauses for long, but does not come to its end.
#[test]
fn request_timeout_of_an_upload() {
    run(async {
        let gate = limited("request_timeout = \"500ms\"\nbody_idle_timeout = \"10s\"").await;
        let work = gate.agent("bot").works("work").await;
        let (feed, body) = pipe();
        let call = gate.call("PUT", "/shop/data/1").bearer(&work.token);
        let call = call.body(body);
        let begun = Instant::now();
        let (answer, ()) = tokio::join!(call.send(), async {
            while feed.offer("x").await {
                sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(begun.elapsed() < SOON);
        let refusal = answer.refusal(408, "timeout");
        assert_eq!(
            refusal["detail"],
            "the request's body took longer than a whole request may"
        );
        assert!(gate.upstream.recorded().is_empty());
        recorded(gate, "timeout").await;
    });
}

/// Whose inputs are in it is waited for as long, and no longer.
#[test]
fn request_timeout_of_a_body_that_is_read_first() {
    run(async {
        let gate = limited("request_timeout = \"500ms\"").await;
        let work = gate.agent("bot").works("work").await;
        let (feed, body) = pipe();
        let call = gate.call("POST", "/shop/pay").bearer(&work.token);
        let call = call.header("content-type", "application/json").body(body);
        let (answer, ()) = tokio::join!(call.send(), async {
            while feed.offer(" ").await {
                sleep(Duration::from_millis(20)).await;
            }
        });
        answer.refusal(408, "timeout");
        assert_eq!(gate.upstream.count(), 0);
    });
}

const SERVICES: &str = r#"
[[service]]
name = "shop"
match = { path = "/shop" }
upstreams = ["http://{there}"]
"#;

/// The service takes the connection and the request, and says nothing.
#[test]
fn response_timeout() {
    run(async {
        let stub = Stub::bind().await;
        let services = SERVICES.replace("{there}", &stub.address().to_string());
        let plan = Plan::new().file("services.toml", &services);
        let limits = "[limits]\nresponse_timeout = \"300ms\"\n";
        let gate = plan.settings(limits).start().await;
        let work = gate.agent("bot").works("work").await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let (answer, mut peer) = tokio::join!(call.send(), async {
            let mut peer = stub.accept().await;
            peer.head().await;
            peer
        });
        let refusal = answer.refusal(504, "upstream_timeout");
        assert_eq!(refusal["detail"], "the service did not answer in time");
        // The service is not kept at work for nobody.
        peer.closed().await;
        let of = |what: &str| format!("portcullis_upstream_{what}_total{{service=\"shop\"}}");
        assert_eq!(counts(&gate, &of("response_timeouts")).await, 1);
        assert_eq!(counts(&gate, &of("connect_timeouts")).await, 0);
        let record = recorded(gate, "upstream_timeout").await;
        let detail = record["detail"].as_str().unwrap();
        assert!(detail.contains("took too long to answer"), "{record}");
    });
}

/// The service's queue is full, so that the connection never comes to be.
#[test]
fn connect_timeout() {
    run(async {
        let full =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        full.bind(&any.into()).unwrap();
        full.listen(0).unwrap();
        let listener: TcpListener = full.into();
        let address = listener.local_addr().unwrap();
        // The kernel takes one more than the queue is long, and then none.
        let mut fillers = Vec::new();
        for _ in 0..3 {
            let connect = tokio::net::TcpStream::connect(address);
            fillers.push(tokio::time::timeout(Duration::from_millis(200), connect).await);
        }
        let services = SERVICES.replace("{there}", &address.to_string());
        let plan = Plan::new().file("services.toml", &services);
        let limits = "[limits]\nconnect_timeout = \"300ms\"\n";
        let gate = plan.settings(limits).start().await;
        let work = gate.agent("bot").works("work").await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let refusal = call.send().await.refusal(504, "upstream_timeout");
        assert_eq!(
            refusal["detail"],
            "no connection to the service could be had in time"
        );
        let of = |what: &str| format!("portcullis_upstream_{what}_total{{service=\"shop\"}}");
        assert_eq!(counts(&gate, &of("connect_timeouts")).await, 1);
        assert_eq!(counts(&gate, &of("response_timeouts")).await, 0);
        let record = recorded(gate, "upstream_timeout").await;
        let detail = record["detail"].as_str().unwrap();
        assert!(detail.contains("took too long to connect"), "{record}");
        drop(fillers);
    });
}

/// A download that stands still is broken off, and does not look complete.
#[test]
fn idle_timeout_of_an_answer() {
    run(async {
        for http2 in [false, true] {
            let plan = if http2 {
                Plan::new().tls()
            } else {
                Plan::new()
            };
            let limits = "[limits]\nidle_timeout = \"400ms\"\n";
            let gate = plan.settings(limits).start().await;
            let work = gate.agent("bot").works("work").await;
            let (feed, body) = pipe();
            gate.upstream.answer_next(Response::new(body));
            let call = gate.call("GET", "/shop/data/1").bearer(&work.token);
            let call = if http2 { call.http2() } else { call };
            let (mut opened, ()) = tokio::join!(call.open(), feed.send("a beginning"));
            assert_eq!(opened.text().await, "a beginning");
            opened.cut().await;
            feed.closed().await;
        }
    });
}

/// Over the limit, connections are closed at once; there is room again when one ends.
#[test]
fn connections_in_all_and_from_one_address() {
    run(async {
        for limit in ["connections", "connections_per_source"] {
            let gate = limited(&format!("{limit} = 3")).await;
            let mut open = Vec::new();
            for _ in 0..3 {
                open.push(served(&gate).await);
            }
            let mut refused = Raw::connect(&gate).await;
            let (rest, _) = refused.rest().await;
            assert!(rest.is_empty(), "{rest:?}");
            let refusals = format!("portcullis_connections_refused_total{{limit=\"{limit}\"}}");
            assert_eq!(counts(&gate, &refusals).await, 1);
            drop(open.pop());
            within("there is room again", async {
                loop {
                    if let Some(raw) = tries(&gate).await {
                        open.push(raw);
                        return;
                    }
                }
            })
            .await;
        }
    });
}

/// A connection that was answered once, and is kept.
async fn served(gate: &Gateway) -> Raw {
    tries(gate).await.expect("a connection that is served")
}

async fn tries(gate: &Gateway) -> Option<Raw> {
    let mut raw = Raw::connect(gate).await;
    raw.offer("GET /shop/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let byte = raw.byte().await?;
    let head = raw.head().await;
    assert_eq!(byte, b'H');
    assert!(head.starts_with("TTP/1.1 401 "), "{head}");
    Some(raw)
}

/// One address that takes all it may leaves others theirs.
#[test]
fn an_address_that_has_all_its_connections_leaves_others_theirs() {
    run(async {
        let gate = limited("connections_per_source = 2").await;
        let _open = (served(&gate).await, served(&gate).await);
        let other = "127.0.0.2".parse().unwrap();
        let mut raw = Raw::connect_from(&gate, other).await;
        raw.say("GET /shop/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
        assert!(raw.head().await.starts_with("HTTP/1.1 401 "));
        let (_, end) = raw.rest().await;
        assert_eq!(end, End::Closed);
    });
}

/// What ends a connection is counted, so that a flood can be seen.
#[test]
fn a_flood_over_http2_is_counted() {
    run(async {
        let gate = Plan::new().listener("protocols = [\"h2\"]").start().await;
        let mut raw = Raw::connect(&gate).await;
        raw.say([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat())
            .await;
        raw.offer(frame(PING, 0, 0, &[7; 8]).repeat(2000)).await;
        raw.rest().await;
        let floods = "portcullis_connections_refused_total{limit=\"http2_frames\"}";
        assert_eq!(counts(&gate, floods).await, 1);
        let all = "portcullis_connections_refused_total{limit=\"connections\"}";
        assert_eq!(counts(&gate, all).await, 0);
    });
}

/// All streams of a connection at once: the client's library keeps to what it was told.
#[test]
fn streams_per_connection_are_told_and_kept_to() {
    run(async {
        let limits = "[limits]\nstreams_per_connection = 4\n";
        let gate = Plan::new().tls().settings(limits).start().await;
        let work = gate.agent("bot").works("work").await;
        let mut client = Client::http2(&gate).await;
        // What the limit is it learns before the first answer.
        let first = gate.call("GET", "/shop/items").bearer(&work.token);
        first.send_on(&mut client).await.expect(200);
        let calls = (0..20).map(|_| {
            let mut client = client.another();
            let call = gate.call("GET", "/shop/items").bearer(&work.token);
            async move { call.send_on(&mut client).await.status }
        });
        assert_eq!(join_all(calls).await, [200; 20]);
    });
}
