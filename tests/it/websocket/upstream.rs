//! WebSockets to a service that is configured to speak HTTP/2: asked for with an extended CONNECT
//! (RFC 8441), whichever protocol the client speaks.

use bytes::Bytes;
use h2::Reason;
use http::{Method, Response};

use super::{ACCEPT, ENTITLEMENTS, OPERATIONS, RULES, ask, is_told, value};
use crate::harness::{
    End, Gateway, Http2Service, Http2Stream, Plan, Raw, Socket, Work, masked, run, server, within,
};

/// A gateway in front of such a service, which takes WebSockets or does not.
async fn served(plan: Plan, takes: bool) -> (Gateway, Http2Service) {
    let service = Http2Service::start(takes).await;
    let address = service.address;
    let services = format!(
        "[[service]]\nname = \"shop\"\nmatch = {{ path = \"/shop\" }}\n\
         upstreams = [\"http://{address}\"]\nprotocol = \"http2\"\n"
    );
    let plan = plan
        .file("services.toml", &services)
        .file("operations.toml", OPERATIONS)
        .file("entitlements.toml", ENTITLEMENTS)
        .file("rules.cedar", RULES);
    (plan.start().await, service)
}

/// A client's WebSocket over HTTP/1.1 that the service has taken.
async fn opened(gate: &Gateway, service: &mut Http2Service, work: &Work) -> (Raw, Http2Stream) {
    let mut client = Raw::connect(gate).await;
    // What stands behind the handshake waits for its answer.
    client.say(ask(work, &masked(1, b"early"))).await;
    let (request, mut respond) = service.is_asked().await;
    assert_eq!(request.method(), Method::CONNECT);
    let protocol = request.extensions().get::<h2::ext::Protocol>().unwrap();
    assert_eq!(protocol.as_str(), "websocket");
    assert_eq!(request.uri().path(), "/shop/socket");
    assert_eq!(request.uri().scheme_str(), Some("http"));
    let headers = request.headers();
    assert_eq!(headers["sec-websocket-version"], "13");
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    assert_eq!(headers["portcullis-agent"], "bot");
    for gone in [
        "authorization",
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-accept",
        "content-length",
    ] {
        assert!(!headers.contains_key(gone), "{gone} in {headers:?}");
    }
    let consent = Response::builder()
        .header("sec-websocket-protocol", "chat")
        .header("x-own", "yes");
    let send = respond
        .send_response(consent.body(()).unwrap(), false)
        .unwrap();
    let mut stream = Http2Stream::new(send, request.into_body());
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(value(&head, "sec-websocket-accept"), Some(ACCEPT), "{head}");
    assert_eq!(
        value(&head, "sec-websocket-protocol"),
        Some("chat"),
        "{head}"
    );
    assert_eq!(value(&head, "x-own"), Some("yes"), "{head}");
    assert_eq!(stream.frame().await, (0x81, b"early".to_vec()));
    (client, stream)
}

async fn echoes(client: &mut impl Socket, stream: &mut Http2Stream, text: &str) {
    client.send(&masked(1, text.as_bytes())).await;
    let (first, payload) = stream.frame().await;
    assert_eq!((first, payload.as_slice()), (0x81, text.as_bytes()));
    Socket::send(stream, &server(0x81, &payload)).await;
    let (first, payload) = client.frame().await;
    assert_eq!((first, payload.as_slice()), (0x81, text.as_bytes()));
}

#[test]
fn an_echo_and_an_orderly_end() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let (gate, mut service) = served(plan, true).await;
            let work = gate.agent("bot").works("work").await;
            let (mut client, mut stream) = opened(&gate, &mut service, &work).await;
            for text in ["one", "two", &"x".repeat(70_000)] {
                echoes(&mut client, &mut stream, text).await;
            }
            Socket::send(&mut stream, &server(0x88, b"\x03\xe8")).await;
            stream.send.send_data(Bytes::new(), true).unwrap();
            assert_eq!(client.frame().await, (0x88, b"\x03\xe8".to_vec()));
            let (rest, end) = client.rest().await;
            assert!(rest.is_empty(), "{rest:?}");
            assert_eq!(end, End::Closed);
        }
    });
}

#[test]
fn its_end_reaches_both_sides_and_no_other() {
    run(async {
        let (gate, mut service) = served(Plan::new(), true).await;
        let bot = gate.agent("bot");
        let (work, other) = (bot.works("work").await, bot.works("work").await);
        let (mut client, mut stream) = opened(&gate, &mut service, &work).await;
        let (mut sibling, mut sibling_stream) = opened(&gate, &mut service, &other).await;
        echoes(&mut client, &mut stream, "before").await;
        let receipt = work.completes(&gate).await;
        assert_eq!(receipt["grants"][0]["streams_cut"], 1, "{receipt}");
        is_told(&mut client, 1008, "completed").await;
        stream.is_left().await;
        echoes(&mut sibling, &mut sibling_stream, "after").await;
    });
}

/// The service has stopped reading, so that what the client says stands before it.
#[test]
fn a_service_that_does_not_read_is_left_as_soon() {
    run(async {
        let (gate, mut service) = served(Plan::new(), true).await;
        let work = gate.agent("bot").works("work").await;
        let (mut client, mut stream) = opened(&gate, &mut service, &work).await;
        // More than the stream's window.
        client.offer(masked(2, &vec![b'x'; 100_000])).await;
        work.completes(&gate).await;
        is_told(&mut client, 1008, "completed").await;
        let told = std::future::poll_fn(|context| stream.send.poll_reset(context));
        let left = within("the connection is closed", told).await;
        assert!(!matches!(left, Ok(Reason::NO_ERROR)), "{left:?}");
    });
}

/// Short messages that come faster than they can be passed on wait for their turn.
#[test]
fn a_burst_of_short_messages_passes() {
    run(async {
        let (gate, mut service) = served(Plan::new(), true).await;
        let work = gate.agent("bot").works("work").await;
        let (mut client, mut stream) = opened(&gate, &mut service, &work).await;
        let count = 30_000;
        for _ in 0..count {
            stream.say(server(0x81, b"tick!"));
        }
        for _ in 0..count {
            assert_eq!(client.frame().await, (0x81, b"tick!".to_vec()));
        }
    });
}

#[test]
fn a_service_that_takes_none_is_answered_for() {
    run(async {
        let (mut gate, _service) = served(Plan::new(), false).await;
        let work = gate.agent("bot").works("work").await;
        let mut client = Raw::connect(&gate).await;
        client.say(ask(&work, b"")).await;
        let answer = client.until("}").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(answer.contains("upstream_unreachable"), "{answer}");
        let detail = "the service takes no WebSockets over HTTP/2";
        assert!(answer.contains(detail), "{answer}");
        drop(client);
        let lines = gate.stop().await;
        let mut lines = lines.iter();
        let record = lines.find(|line| line["status"] == 502).unwrap();
        let detail = record["detail"].as_str().unwrap();
        assert!(detail.contains("RFC 8441"), "{record}");
    });
}

#[test]
fn a_service_that_refuses_is_passed_on() {
    run(async {
        let (gate, mut service) = served(Plan::new(), true).await;
        let work = gate.agent("bot").works("work").await;
        let mut client = Raw::connect(&gate).await;
        client.say(ask(&work, b"")).await;
        let (_request, mut respond) = service.is_asked().await;
        let refusal = Response::builder().status(403).body(()).unwrap();
        let mut send = respond.send_response(refusal, false).unwrap();
        send.send_data(Bytes::from_static(b"no!"), true).unwrap();
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        client.until("no!").await;
    });
}
