//! Streams that an HTTP/2 upstream says it has not looked at (RFC 9113 §8.7).

use http::Method;
use http_body_util::BodyExt as _;

use super::http2::{bench, echo};
use super::stub::*;
use crate::upstream::SendError;
use crate::wire::Body;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;

/// Frames without their reader's help.
struct Frames(Peer);

impl Frames {
    /// Takes a connection, and reads up to the head of its first request.
    async fn accept(stub: &Stub) -> Self {
        let mut peer = stub.accept().await;
        let preface = peer.exactly(24).await;
        assert!(preface.starts_with(b"PRI * HTTP/2.0"));
        let mut frames = Self(peer);
        frames.say(SETTINGS, 0, b"").await;
        loop {
            let head = frames.0.exactly(9).await;
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            frames.0.exactly(length).await;
            if head[3] == HEADERS {
                return frames;
            }
        }
    }

    async fn say(&mut self, kind: u8, stream: u32, payload: &[u8]) {
        let length = u8::try_from(payload.len()).unwrap();
        let mut frame = vec![0, 0, length, kind, 0];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.say_bytes(&frame).await;
    }

    async fn resets(&mut self, reason: u32) {
        self.say(RST_STREAM, 1, &reason.to_be_bytes()).await;
    }

    /// Says goodbye, with `last` as the last stream that it has looked at.
    async fn goes(&mut self, last: u32, reason: u32) {
        let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
        self.say(GOAWAY, 0, &payload).await;
    }
}

/// A way to say that a stream was not looked at.
#[derive(Clone, Copy, Debug)]
enum Way {
    Goodbye,
    Refusal,
}

impl Way {
    async fn is_said(self, upstream: &mut Frames) {
        match self {
            Self::Goodbye => upstream.goes(0, 0).await,
            Self::Refusal => upstream.resets(REFUSED_STREAM).await,
        }
    }
}

#[test]
fn what_was_not_looked_at_is_sent_once_more() {
    for way in [Way::Goodbye, Way::Refusal] {
        worker(async move {
            for (method, body) in [
                (Method::GET, Body::empty()),
                (Method::POST, Body::full("abc")),
            ] {
                let stub = Stub::bind().await;
                let bench = bench(&stub);
                let call = bench.call(request(method, body));
                let mut first = Frames::accept(&stub).await;
                way.is_said(&mut first).await;
                let _server = echo(stub.accept().await);
                let answer = call.await.unwrap().unwrap();
                let collected = answer.into_body().collect().await.unwrap();
                assert!(collected.trailers().is_some(), "{way:?}");
            }
        });
    }
}

#[test]
fn it_is_not_sent_a_third_time() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = bench(&stub);
        let call = bench.get();
        let mut first = Frames::accept(&stub).await;
        Way::Refusal.is_said(&mut first).await;
        let mut second = Frames::accept(&stub).await;
        Way::Goodbye.is_said(&mut second).await;
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, SendError::BrokeOff { .. }), "{error:?}");
        assert!(!stub.has_caller().await);
    });
}

/// A stream passes once: what of it is gone can't be had again.
#[test]
fn a_body_on_its_way_is_not_sent_again() {
    for way in [Way::Goodbye, Way::Refusal] {
        worker(async move {
            let stub = Stub::bind().await;
            let bench = bench(&stub);
            let (_client, body) = pipe();
            let call = bench.call(request(Method::PUT, body));
            let mut first = Frames::accept(&stub).await;
            way.is_said(&mut first).await;
            let error = call.await.unwrap().unwrap_err();
            assert!(matches!(error, SendError::BrokeOff { .. }), "{error:?}");
            assert!(!stub.has_caller().await);
        });
    }
}

/// What may have been done is not done again.
#[test]
fn what_may_have_been_looked_at_is_not_sent_again() {
    worker(async {
        for reset in [true, false] {
            let stub = Stub::bind().await;
            let bench = bench(&stub);
            let call = bench.get();
            let mut first = Frames::accept(&stub).await;
            if reset {
                first.resets(INTERNAL_ERROR).await;
            } else {
                first.goes(1, INTERNAL_ERROR).await;
            }
            drop(first);
            let error = call.await.unwrap().unwrap_err();
            assert!(matches!(error, SendError::BrokeOff { .. }), "{error:?}");
            assert!(!stub.has_caller().await);
        }
    });
}
