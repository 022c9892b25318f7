//! WebSockets over HTTP/2 (RFC 8441): asked for with an extended CONNECT, each on a stream of its own.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use serde_json::Value;
use tokio::time::Instant;

use super::{accepts, echoes, is_told, played, value};
use crate::harness::{
    Gateway, Http2Stream, Peer, Plan, Socket as _, Stub, Work, eventually, extended_client, masked,
    run, server, within,
};

fn request(gate: &Gateway, method: Method, path: &str, work: &Work) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("https://localhost:{}{path}", gate.address().port()))
        .header("authorization", format!("Bearer {}", work.token))
}

async fn asks(
    gate: &Gateway,
    client: &mut SendRequest<Bytes>,
    work: &Work,
) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let request = request(gate, Method::CONNECT, "/shop/socket", work)
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .extension(Protocol::from_static("websocket"));
    *client = client.clone().ready().await.unwrap();
    client
        .send_request(request.body(()).unwrap(), false)
        .unwrap()
}

async fn opened(
    gate: &Gateway,
    stub: &Stub,
    client: &mut SendRequest<Bytes>,
    work: &Work,
) -> (Http2Stream, Peer) {
    let (response, send) = asks(gate, client, work).await;
    let (peer, head) = accepts(stub).await;
    assert!(head.starts_with("GET /shop/socket HTTP/1.1\r\n"), "{head}");
    assert_eq!(value(&head, "upgrade"), Some("websocket"), "{head}");
    assert_eq!(value(&head, "portcullis-agent"), Some("bot"), "{head}");
    let response: Response<RecvStream> = within("an answer", response).await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    assert!(!headers.contains_key("sec-websocket-accept"), "{headers:?}");
    let stream = Http2Stream::new(send, response.into_body());
    (stream, peer)
}

#[test]
fn an_echo_and_an_orderly_end() {
    run(async {
        let (gate, stub) = played(Plan::new().tls()).await;
        let work = gate.agent("bot").works("work").await;
        let mut client = extended_client(&gate).await;
        let (mut stream, mut peer) = opened(&gate, &stub, &mut client, &work).await;
        for text in ["one", "two", &"x".repeat(20_000)] {
            echoes(&mut stream, &mut peer, text).await;
        }
        peer.send(&server(0x88, b"\x03\xe8")).await;
        peer.close().await;
        assert_eq!(stream.frame().await, (0x88, b"\x03\xe8".to_vec()));
        assert_eq!(stream.end().await, None);
    });
}

#[test]
fn the_client_is_told_before_its_stream_is_reset() {
    run(async {
        let (gate, stub) = played(Plan::new().tls()).await;
        let bot = gate.agent("bot");
        let (work, other) = (bot.works("work").await, bot.works("work").await);
        let mut client = extended_client(&gate).await;
        let (mut stream, mut peer) = opened(&gate, &stub, &mut client, &work).await;
        let (mut sibling, mut sibling_peer) = opened(&gate, &stub, &mut client, &other).await;
        echoes(&mut stream, &mut peer, "before").await;
        let receipt = work.completes(&gate).await;
        assert_eq!(receipt["grants"][0]["streams_cut"], 1, "{receipt}");
        is_told(&mut stream, 1008, "completed").await;
        assert_eq!(stream.end().await, Some(Reason::CANCEL));
        assert!(peer.closed().await.is_empty());
        echoes(&mut sibling, &mut sibling_peer, "after").await;

        // Within a frame it can't be told.
        sibling_peer.send(b"\x82\x7f\0\0\0\0\0\x01\0\0half").await;
        sibling.bytes(14).await;
        other.completes(&gate).await;
        let next = within("the end", sibling.receive.data()).await;
        let error = next.expect("no orderly end").expect_err("no more data");
        assert_eq!(error.reason(), Some(Reason::CANCEL));
        sibling_peer.closed().await;
    });
}

#[test]
fn a_stalled_reader_is_cut_as_fast_and_siblings_go_on() {
    run(async {
        let (gate, stub) = played(Plan::new().tls()).await;
        let bot = gate.agent("bot");
        let (work, other) = (bot.works("work").await, bot.works("work").await);
        let mut client = extended_client(&gate).await;
        let (mut sibling, mut sibling_peer) = opened(&gate, &stub, &mut client, &other).await;
        let (mut stream, mut peer) = opened(&gate, &stub, &mut client, &work).await;
        // Nobody reads, so its window stays shut.
        let piece = server(0x82, &vec![b'x'; 60_000]);
        peer.flood(&piece, Duration::from_millis(500)).await;
        let begun = Instant::now();
        let receipt = work.completes(&gate).await;
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(receipt["grants"][0]["streams_cut"], 1, "{receipt}");
        peer.closed().await;
        assert_eq!(stream.end().await, Some(Reason::CANCEL));
        drop(stream);
        echoes(&mut sibling, &mut sibling_peer, "after").await;
    });
}

/// A client that resets its stream is gone, and so is the upstream's side.
#[test]
fn a_client_that_leaves() {
    run(async {
        let (gate, stub) = played(Plan::new().tls()).await;
        let work = gate.agent("bot").works("work").await;
        let mut client = extended_client(&gate).await;
        let (mut stream, mut peer) = opened(&gate, &stub, &mut client, &work).await;
        echoes(&mut stream, &mut peer, "hello").await;
        let begun = Instant::now();
        stream.send.send_reset(Reason::CANCEL);
        peer.closed().await;
        // The exchange is over with the stream, and does not wait for more.
        let record = eventually("the record", || {
            let lines = gate.audit();
            let is_it = |line: &Value| line["kind"] == "call" && line["status"] == 200;
            lines.into_iter().find(is_it)
        });
        assert_eq!(record.await["operation"], "shop.socket");
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn an_upstream_that_refuses_is_passed_on() {
    run(async {
        let (gate, stub) = played(Plan::new().tls()).await;
        let work = gate.agent("bot").works("work").await;
        let mut client = extended_client(&gate).await;
        let (response, mut send) = asks(&gate, &mut client, &work).await;
        send.send_data(masked(1, b"early").into(), false).unwrap();
        let mut peer = stub.accept().await;
        peer.head().await;
        peer.say("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
            .await;
        let response = within("an answer", response).await.unwrap();
        assert_eq!(response.status(), 403);
        assert!(peer.closed().await.is_empty());
    });
}

#[test]
fn a_gateway_that_stops_says_goodbye_on_each_stream() {
    run(async {
        let drain = Duration::from_millis(500);
        let (mut gate, stub) = played(Plan::new().tls().drain(drain)).await;
        let work = gate.agent("bot").works("work").await;
        let mut client = extended_client(&gate).await;
        let (mut one, mut one_peer) = opened(&gate, &stub, &mut client, &work).await;
        let (mut two, mut two_peer) = opened(&gate, &stub, &mut client, &work).await;
        let (_, ()) = tokio::join!(gate.stop(), async {
            for (stream, peer) in [(&mut one, &mut one_peer), (&mut two, &mut two_peer)] {
                is_told(stream, 1001, "the gateway stops").await;
                peer.closed().await;
            }
        });
    });
}
