use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::Frame;
use http_body_util::BodyExt;

use super::stub::*;
use crate::upstream::SendError;
use crate::wire::{Body, BodyError};

#[test]
fn a_request_body_goes_out_as_it_comes() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let (client, body) = pipe();
        // hyper alone would drop a body of unknown length here.
        let call = bench.call(request(Method::GET, body));
        let mut peer = stub.accept().await;
        let head = peer.head().await;
        assert!(
            head.starts_with("GET /orders?page=2 HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{head}"
        );
        for text in ["one", "two"] {
            client.send(piece(text)).await.unwrap();
            assert_eq!(peer.until("\r\n").await, "3\r\n");
            assert_eq!(peer.until("\r\n").await, format!("{text}\r\n"));
        }
        drop(client);
        assert_eq!(peer.until("0\r\n\r\n").await, "0\r\n\r\n");
        peer.say(HELLO).await;
        assert_eq!(text(call).await, "hello");
        assert_eq!(bench.idle_connections(), 1);
    });
}

#[test]
fn an_answer_comes_in_as_it_is_sent() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.serve("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        let mut body = call.await.unwrap().unwrap().into_body();
        for text in ["one", "two"] {
            peer.say(&format!("3\r\n{text}\r\n")).await;
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), text);
        }
        peer.say("0\r\n\r\n").await;
        assert!(body.frame().await.is_none());
        assert_eq!(bench.idle_connections(), 1);
    });
}

#[test]
fn trailers_pass_both_ways() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let (client, body) = pipe();
        let mut sent = request(Method::POST, body);
        sent.headers_mut()
            .insert("trailer", "x-sum".parse().unwrap());
        sent.headers_mut().insert("te", "trailers".parse().unwrap());
        let call = bench.call(sent);
        client.send(piece("one")).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        client.send(Ok(Frame::trailers(trailers))).await.unwrap();
        let mut peer = stub.accept().await;
        let head = peer.head().await;
        assert!(head.contains("\r\nte: trailers\r\n"), "{head}");
        let tail = peer.until("\r\n\r\n").await;
        assert_eq!(tail.to_lowercase(), "3\r\none\r\n0\r\nx-sum: 1\r\n\r\n");
        peer.say(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n",
        )
        .await;
        let collected = call
            .await
            .unwrap()
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap();
        assert_eq!(collected.trailers().unwrap()["x-sum"], "2");
        assert_eq!(collected.to_bytes(), "ok");
        assert_eq!(bench.idle_connections(), 1);
    });
}

/// A body that breaks off never looks complete.
fn check_broken(answer: &'static str) {
    worker(async move {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.serve(answer).await;
        drop(peer);
        let body = call.await.unwrap().unwrap().into_body();
        let error = body.collect().await.unwrap_err();
        assert!(
            matches!(error, BodyError::Transport(_)),
            "{answer:?} {error:?}"
        );
        assert_eq!(bench.idle_connections(), 0);
    });
}

#[test]
fn a_body_that_breaks_off_never_looks_complete() {
    check_broken("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell");
    check_broken("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    check_broken("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel");
    check_broken("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n");
}

#[test]
fn a_request_body_that_breaks_off_is_not_the_upstreams_fault() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let (client, body) = pipe();
        let call = bench.call(request(Method::POST, body));
        client.send(piece("one")).await.unwrap();
        let mut peer = stub.accept().await;
        peer.until("one\r\n").await;
        client.send(Err(BodyError::Cut("revoked"))).await.unwrap();
        let error = refused(call).await;
        assert!(matches!(error, SendError::RequestBody { .. }), "{error:?}");
        // Without the last chunk, so that the upstream sees it broken too.
        assert!(peer.closed().await.is_empty());
    });
}

#[test]
fn a_declared_length_is_kept_to() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let (client, body) = pipe();
        let mut sent = request(Method::PUT, body);
        sent.headers_mut().insert("content-length", 6.into());
        let call = bench.call(sent);
        client.send(piece("one")).await.unwrap();
        let mut peer = stub.accept().await;
        let head = peer.head().await;
        assert!(head.contains("\r\ncontent-length: 6\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert_eq!(peer.until("one").await, "one");
        drop(client);
        // Half of what was promised, and then a close: not a request.
        assert!(peer.closed().await.is_empty());
        refused(call).await;
    });
}

#[test]
fn large_bodies_arrive_whole() {
    worker(async {
        const LENGTH: usize = 3 * 1024 * 1024 + 7;
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let body: Bytes = (0..LENGTH)
            .map(|n| (n % 251) as u8)
            .collect::<Vec<_>>()
            .into();
        let call = bench.call(request(Method::POST, Body::full(body.clone())));
        let mut peer = stub.accept().await;
        peer.head().await;
        let echo = peer.exactly(LENGTH).await;
        peer.say(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"
        ))
        .await;
        let sending = tokio::task::spawn_local(async move {
            peer.say_bytes(&echo).await;
            peer
        });
        let answer = call.await.unwrap().unwrap();
        let got = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(got == body);
        let _peer = sending.await.unwrap();
        assert_eq!(bench.idle_connections(), 1);
    });
}
