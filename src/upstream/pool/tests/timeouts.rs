use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt;
use jiff::Timestamp;

use super::stub::*;
use crate::base::{Clock, ManualClock};
use crate::upstream::{Phase, PoolLimits, SendError, Target};
use crate::wire::{Body, BodyError};

const RESPONSE: Duration = Duration::from_secs(60);

fn bench(stub: &Stub) -> (Bench, ManualClock) {
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    let limits = PoolLimits {
        response_timeout: RESPONSE,
        ..PoolLimits::default()
    };
    (Bench::with(&[stub.address()], clock, limits), hand)
}

fn assert_late(error: &SendError, expected: Phase) {
    assert!(error.is_timeout());
    let found = matches!(error, SendError::Timeout { phase, .. } if *phase == expected);
    assert!(found, "{error:?}");
}

#[test]
fn an_upstream_that_does_not_answer_is_given_up() {
    worker(async {
        let stub = Stub::bind().await;
        let (bench, hand) = bench(&stub);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.head().await;
        hand.advance(RESPONSE - Duration::from_millis(1));
        settle().await;
        assert!(!call.is_finished());
        hand.advance(Duration::from_millis(1));
        assert_late(&refused(call).await, Phase::Response);
        assert!(peer.closed().await.is_empty());
    });
}

#[test]
fn endless_interim_answers_do_not_win_time() {
    worker(async {
        let stub = Stub::bind().await;
        let (bench, hand) = bench(&stub);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.head().await;
        for _ in 0..4 {
            peer.say("HTTP/1.1 102 Processing\r\n\r\n").await;
            settle().await;
            hand.advance(RESPONSE / 4);
        }
        assert_late(&refused(call).await, Phase::Response);
    });
}

#[test]
fn a_slow_client_does_not_use_up_the_upstreams_time() {
    worker(async {
        let stub = Stub::bind().await;
        let (bench, hand) = bench(&stub);
        let (client, body) = pipe();
        let call = bench.call(request(Method::POST, body));
        let mut peer = stub.accept().await;
        for _ in 0..3 {
            client.send(piece("one")).await.unwrap();
            peer.until("one\r\n").await;
            hand.advance(RESPONSE * 2);
            settle().await;
            assert!(!call.is_finished());
        }
        drop(client);
        peer.until("0\r\n\r\n").await;
        hand.advance(RESPONSE / 2);
        settle().await;
        assert!(!call.is_finished());
        peer.say(HELLO).await;
        assert_eq!(text(call).await, "hello");
    });
}

/// A client that sends as fast as it may.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 64 * 1024])))))
    }
}

#[test]
fn an_upstream_that_takes_no_more_of_the_request_is_given_up() {
    worker(async {
        let stub = Stub::bind().await;
        let (bench, hand) = bench(&stub);
        let call = bench.call(request(Method::POST, Body::stream(Endless)));
        let mut peer = stub.accept().await;
        peer.head().await;
        while !call.is_finished() {
            settle().await;
            hand.advance(RESPONSE);
        }
        assert_late(&refused(call).await, Phase::Response);
    });
}

#[test]
fn a_services_own_timeout_goes_before_the_limit() {
    worker(async {
        let stub = Stub::bind().await;
        let (mut bench, hand) = bench(&stub);
        let mut hasty = service(&[stub.address()]);
        hasty.timeouts.response = Some(Duration::from_secs(1));
        bench.target = Target::open(&hasty).unwrap().into();
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.head().await;
        hand.advance(Duration::from_secs(1));
        assert_late(&refused(call).await, Phase::Response);
    });
}

#[test]
fn a_silent_stream_is_cut_only_where_that_was_asked_for() {
    for idle in [None, Some(Duration::from_secs(30))] {
        worker(async move {
            let stub = Stub::bind().await;
            let (mut bench, hand) = bench(&stub);
            let mut service = service(&[stub.address()]);
            service.timeouts.idle = idle;
            bench.target = Target::open(&service).unwrap().into();
            let call = bench.get();
            let mut peer = stub.accept().await;
            peer.serve("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            let mut body = call.await.unwrap().unwrap().into_body();
            let reader = tokio::task::spawn_local(async move {
                while let Some(frame) = body.frame().await {
                    frame?;
                }
                Ok::<_, BodyError>(())
            });
            for _ in 0..3 {
                settle().await;
                hand.advance(Duration::from_secs(20));
                settle().await;
                assert!(!reader.is_finished(), "{idle:?}");
                peer.say("2\r\nok\r\n").await;
            }
            settle().await;
            hand.advance(Duration::from_secs(30));
            settle().await;
            if idle.is_some() {
                let error = reader.await.unwrap().unwrap_err();
                assert!(matches!(error, BodyError::Idle), "{error:?}");
                assert!(peer.closed().await.is_empty());
            } else {
                assert!(!reader.is_finished());
                peer.say("0\r\n\r\n").await;
                reader.await.unwrap().unwrap();
            }
        });
    }
}

/// A listener whose queue is full, so that nobody gets through to it.
fn deaf() -> (socket2::Socket, socket2::Socket, String) {
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        socket.unwrap()
    };
    let listener = open();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = open();
    first.connect(&address).unwrap();
    (listener, first, address.as_socket().unwrap().to_string())
}

#[test]
fn an_upstream_that_does_not_take_the_connection_is_given_up() {
    worker(async {
        let (_listener, _first, address) = deaf();
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let limits = PoolLimits::default();
        let bench = Bench::with(&[address], clock, limits);
        let call = bench.get();
        settle().await;
        assert!(!call.is_finished());
        hand.advance(limits.connect_timeout);
        let error = refused(call).await;
        assert_late(&error, Phase::Connect);
        assert!(error.is_unsent());
    });
}

#[test]
fn a_deaf_address_leaves_time_for_the_next() {
    worker(async {
        let (_listener, _first, deaf) = deaf();
        let stub = Stub::bind().await;
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let limits = PoolLimits::default();
        for _ in 0..8 {
            let addresses = [deaf.clone(), stub.address()];
            let bench = Bench::with(&addresses, clock.clone(), limits);
            let call = bench.get();
            settle().await;
            hand.advance(limits.connect_timeout / 2);
            let mut peer = stub.accept().await;
            peer.serve(HELLO).await;
            assert_eq!(text(call).await, "hello");
        }
    });
}

#[test]
fn one_that_waits_for_a_place_waits_no_longer_than_for_a_connection() {
    worker(async {
        let stub = Stub::bind().await;
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let limits = PoolLimits {
            connections_per_upstream: 1,
            ..PoolLimits::default()
        };
        let bench = Bench::with(&[stub.address()], clock, limits);
        let _running = bench.get();
        let _peer = stub.accept().await;
        let call = bench.get();
        settle().await;
        assert!(!call.is_finished());
        hand.advance(limits.connect_timeout);
        let error = refused(call).await;
        assert!(matches!(error, SendError::Overloaded { .. }), "{error:?}");
    });
}
