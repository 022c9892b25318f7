//! gRPC end to end: HTTP/2 on both sides, trailers, and cuts that reach client and service as resets.
//!
//! Messages are bytes here: the gateway does not look into them.

mod beside;
mod refusals;

use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;

use crate::harness::{
    Gateway, Http2Service, Plan, Work, end_of, eventually, http2_client, run, within,
};

const OPERATIONS: &str = r#"
[[operation]]
id = "ledger.call"
service = "ledger"
route = "POST /ledger.Ledger/{method}"
groups = ["open"]
protocol = "grpc"
"#;

const ENTITLEMENTS: &str = r#"
[[entitlement]]
id = "work"
operations = ["ledger.call"]
max_ttl = "1h"
"#;

const RULES: &str = r#"
@id("open")
permit (principal, action in Action::"open", resource);

@id("bots-may-ask")
permit (principal in AgentGroup::"bots", action == Action::"request", resource);
"#;

/// One call of a client.
struct Call {
    answer: ResponseFuture,
    send: SendStream<Bytes>,
}

struct Scene {
    gate: Gateway,
    service: Http2Service,
    client: SendRequest<Bytes>,
    secure: bool,
}

impl Scene {
    /// Over TLS, or with prior knowledge.
    async fn start(secure: bool) -> Self {
        Self::with(secure, "").await
    }

    /// With this line of `[gateway]`.
    async fn with(secure: bool, gateway: &str) -> Self {
        let service = Http2Service::start(false).await;
        let services = format!(
            "[[service]]\nname = \"ledger\"\nmatch = {{ path = \"/\" }}\n\
             upstreams = [\"http://{}\"]\nprotocol = \"http2\"\n",
            service.address
        );
        let plan = if secure {
            Plan::new().tls()
        } else {
            Plan::new().listener("protocols = [\"h2\"]")
        };
        let plan = plan
            .gateway(gateway)
            .file("services.toml", &services)
            .file("operations.toml", OPERATIONS)
            .file("entitlements.toml", ENTITLEMENTS)
            .file("rules.cedar", RULES);
        let gate = plan.start().await;
        let client = http2_client(&gate).await;
        Self {
            gate,
            service,
            client,
            secure,
        }
    }

    async fn works(&self) -> Work {
        self.gate.agent("bot").works("work").await
    }

    async fn calls(&mut self, work: &Work, method: &str) -> Call {
        let scheme = if self.secure { "https" } else { "http" };
        let port = self.gate.address().port();
        let request = Request::post(format!(
            "{scheme}://localhost:{port}/ledger.Ledger/{method}"
        ))
        .header("authorization", format!("Bearer {}", work.token))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "5S")
        .body(())
        .unwrap();
        self.client = self.client.clone().ready().await.unwrap();
        let (answer, send) = self.client.send_request(request, false).unwrap();
        Call { answer, send }
    }

    /// A call whose stream of answers has begun.
    async fn streams(&mut self, work: &Work) -> (Watching, SendStream<Bytes>, RecvStream) {
        let mut call = self.calls(work, "Watch").await;
        call.send.send_data(message("watch"), true).unwrap();
        let (request, mut respond) = self.service.is_asked().await;
        let mut asked = request.into_body();
        assert_eq!(data(&mut asked).await, message("watch"));
        let head = Response::builder().header("content-type", "application/grpc");
        let mut sending = respond
            .send_response(head.body(()).unwrap(), false)
            .unwrap();
        let answer = within("an answer", call.answer).await.unwrap();
        let mut received = answer.into_body();
        sending.send_data(message("first"), false).unwrap();
        assert_eq!(data(&mut received).await, message("first"));
        let call = Watching {
            received,
            _send: call.send,
        };
        (call, sending, asked)
    }
}

/// A call whose answer has begun.
struct Watching {
    received: RecvStream,
    _send: SendStream<Bytes>,
}

/// A message with gRPC's prefix.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat().into()
}

async fn data(stream: &mut RecvStream) -> Bytes {
    let data = within("data", stream.data()).await;
    let data = data.expect("the stream goes on").expect("no reset");
    stream.flow_control().release_capacity(data.len()).unwrap();
    data
}

fn trailers(status: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("grpc-message", "as it went".parse().unwrap());
    trailers
}

#[test]
fn a_unary_call() {
    run(async {
        for secure in [true, false] {
            let mut scene = Scene::start(secure).await;
            let work = scene.works().await;
            let mut call = scene.calls(&work, "Read").await;
            call.send.send_data(message("ask"), true).unwrap();
            let (request, mut respond) = scene.service.is_asked().await;
            assert_eq!(request.uri().path(), "/ledger.Ledger/Read");
            let headers = request.headers();
            assert_eq!(headers["content-type"], "application/grpc");
            assert_eq!(headers["te"], "trailers");
            assert_eq!(headers["grpc-timeout"], "5S");
            assert_eq!(headers["portcullis-agent"], "bot");
            assert_eq!(headers["portcullis-task"], work.task);
            assert!(!headers.contains_key("authorization"), "{headers:?}");
            let mut asked = request.into_body();
            assert_eq!(data(&mut asked).await, message("ask"));
            assert_eq!(end_of(&mut asked).await, None);

            let head = Response::builder().header("content-type", "application/grpc");
            let mut sending = respond
                .send_response(head.body(()).unwrap(), false)
                .unwrap();
            sending.send_data(message("answer"), false).unwrap();
            sending.send_trailers(trailers("0")).unwrap();
            let answer = within("an answer", call.answer).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["content-type"], "application/grpc");
            let mut received = answer.into_body();
            assert_eq!(data(&mut received).await, message("answer"));
            let last = within("trailers", received.trailers()).await.unwrap();
            assert_eq!(last, Some(trailers("0")));
        }
    });
}

/// Each message arrives before the next is sent, both ways.
#[test]
fn messages_pass_one_by_one() {
    run(async {
        let mut scene = Scene::start(true).await;
        let work = scene.works().await;
        let mut call = scene.calls(&work, "Chat").await;
        let (request, mut respond) = scene.service.is_asked().await;
        let mut asked = request.into_body();
        let head = Response::builder().header("content-type", "application/grpc");
        let mut sending = respond
            .send_response(head.body(()).unwrap(), false)
            .unwrap();
        let answer = within("an answer", call.answer).await.unwrap();
        let mut received = answer.into_body();
        for text in ["one", "two", "three"] {
            call.send.send_data(message(text), false).unwrap();
            assert_eq!(data(&mut asked).await, message(text));
            sending.send_data(message(text), false).unwrap();
            assert_eq!(data(&mut received).await, message(text));
        }
        call.send.send_data(Bytes::new(), true).unwrap();
        assert_eq!(end_of(&mut asked).await, None);
        sending.send_trailers(trailers("0")).unwrap();
        let last = within("trailers", received.trailers()).await.unwrap();
        assert_eq!(last, Some(trailers("0")));
    });
}

/// An error is a head alone, without data behind it.
#[test]
fn an_error_in_a_head_alone() {
    run(async {
        let mut scene = Scene::start(true).await;
        let work = scene.works().await;
        let mut call = scene.calls(&work, "Read").await;
        call.send.send_data(message("ask"), true).unwrap();
        let (_request, mut respond) = scene.service.is_asked().await;
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "7")
            .header("grpc-message", "not yours");
        respond.send_response(head.body(()).unwrap(), true).unwrap();
        let answer = within("an answer", call.answer).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["grpc-status"], "7");
        assert_eq!(answer.headers()["grpc-message"], "not yours");
        let mut received = answer.into_body();
        assert!(received.is_end_stream(), "nothing follows the head");
        assert_eq!(end_of(&mut received).await, None);
    });
}

/// The end of the task resets the stream on both sides; another task's on the same connections go on.
#[test]
fn a_call_in_flight_is_reset_on_both_sides() {
    run(async {
        for secure in [true, false] {
            let mut scene = Scene::start(secure).await;
            let (work, other) = (scene.works().await, scene.works().await);
            let (mut cut, mut sending, _asked) = scene.streams(&work).await;
            let (mut sibling, mut sibling_sending, _) = scene.streams(&other).await;
            let begun = Instant::now();
            let receipt = work.completes(&scene.gate).await;
            assert_eq!(receipt["grants"][0]["streams_cut"], 1, "{receipt}");
            let end = end_of(&mut cut.received).await;
            assert_eq!(end, Some(Reason::INTERNAL_ERROR));
            let told = std::future::poll_fn(|context| sending.poll_reset(context));
            let told = within("the service is told", told).await.unwrap();
            assert_eq!(told, Reason::CANCEL);
            assert!(begun.elapsed() < Duration::from_secs(2));

            let next = message("still here");
            sibling_sending.send_data(next.clone(), false).unwrap();
            assert_eq!(data(&mut sibling.received).await, next);
            sibling_sending.send_trailers(trailers("0")).unwrap();
            let last = within("trailers", sibling.received.trailers()).await;
            assert_eq!(last.unwrap(), Some(trailers("0")));
        }
    });
}

/// Before there is an answer, the client gets a refusal, and the service a reset.
#[test]
fn a_call_without_an_answer_is_refused() {
    run(async {
        let mut scene = Scene::start(true).await;
        let work = scene.works().await;
        let mut call = scene.calls(&work, "Read").await;
        call.send.send_data(message("ask"), false).unwrap();
        let (request, mut respond) = scene.service.is_asked().await;
        let mut asked = request.into_body();
        assert_eq!(data(&mut asked).await, message("ask"));
        work.completes(&scene.gate).await;
        let answer = within("an answer", call.answer).await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.headers()["grpc-status"], "16");
        let mut received = answer.into_body();
        assert_eq!(end_of(&mut received).await, None);
        let last = within("trailers", received.trailers()).await.unwrap();
        assert_eq!(last.unwrap()["grpc-status"], "16");
        let told = std::future::poll_fn(|context| respond.poll_reset(context));
        let told = within("the service is told", told).await.unwrap();
        assert_eq!(told, Reason::CANCEL);
        assert!(end_of(&mut asked).await.is_some(), "no end of the request");
    });
}

/// A client that gives up has the service give up.
#[test]
fn a_client_that_gives_up() {
    run(async {
        let mut scene = Scene::start(true).await;
        let work = scene.works().await;
        let (call, mut sending, _asked) = scene.streams(&work).await;
        drop(call);
        let told = std::future::poll_fn(|context| sending.poll_reset(context));
        let told = within("the service is told", told).await.unwrap();
        assert_eq!(told, Reason::CANCEL);
        let record = eventually("the record", || {
            let lines = scene.gate.audit();
            let mut lines = lines.into_iter();
            lines.find(|line| line["kind"] == "call" && line["status"] == 200)
        });
        assert_eq!(record.await["operation"], "ledger.call");
    });
}

/// A service that resets its stream breaks the client's off, and no other.
#[test]
fn a_service_that_resets() {
    run(async {
        let mut scene = Scene::start(true).await;
        let work = scene.works().await;
        let (mut call, mut sending, _asked) = scene.streams(&work).await;
        let (mut sibling, mut sibling_sending, _) = scene.streams(&work).await;
        sending.send_reset(Reason::INTERNAL_ERROR);
        let reason = end_of(&mut call.received).await;
        assert!(reason.is_some(), "it looks complete");
        sibling_sending.send_data(message("x"), false).unwrap();
        assert_eq!(data(&mut sibling.received).await, message("x"));
    });
}
