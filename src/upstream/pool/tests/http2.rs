use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinHandle, spawn_local};

use super::stub::*;
use crate::model::UpstreamProtocol;
use crate::upstream::Target;
use crate::upstream::connect::LocalExecutor;
use crate::wire::{Body, BodyError};

pub(super) fn bench(stub: &Stub) -> Bench {
    let mut bench = Bench::new(&[stub.address()]);
    let mut service = service(&[stub.address()]);
    service.protocol = UpstreamProtocol::Http2;
    bench.target = Target::open(&service).unwrap().into();
    bench
}

/// Serves one connection: echoes the body, then a trailer with the target's authority.
pub(super) fn echo<S: AsyncRead + AsyncWrite + Unpin + 'static>(peer: Peer<S>) -> JoinHandle<()> {
    let service = service_fn(|request: Request<Incoming>| async move {
        let authority = request.uri().authority().unwrap().to_string();
        let (client, body) = pipe();
        spawn_local(async move {
            let mut incoming = request.into_body();
            while let Some(Ok(frame)) = incoming.frame().await {
                let data = frame.into_data().unwrap();
                client.send(Ok(Frame::data(data))).await.unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("x-authority", authority.parse().unwrap());
            client.send(Ok(Frame::trailers(trailers))).await.unwrap();
        });
        Ok::<_, Infallible>(Response::new(body))
    });
    spawn_local(async move {
        let connection = hyper::server::conn::http2::Builder::new(LocalExecutor)
            .serve_connection(TokioIo::new(peer.into_stream()), service);
        drop(connection.await);
    })
}

#[test]
fn exchanges_share_one_connection() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = bench(&stub);
        let calls: Vec<_> = (0..10)
            .map(|_| bench.call(request(Method::POST, Body::full("abc"))))
            .collect();
        let _server = echo(stub.accept().await);
        for call in calls {
            let answer = call.await.unwrap().unwrap();
            let collected = answer.into_body().collect().await.unwrap();
            let trailers = collected.trailers().unwrap();
            assert_eq!(trailers["x-authority"], "orders.example");
            assert_eq!(collected.to_bytes(), "abc");
        }
        assert!(!stub.has_caller().await);
    });
}

#[test]
fn exchanges_that_one_connection_does_not_take_go_over_another() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = bench(&stub);
        let dropped = Rc::new(Cell::new(0));
        let first = bench.get();
        let _one = hold_at_most(stub.accept().await, Rc::clone(&dropped), Some(2));
        let mut answers = vec![first.await.unwrap().unwrap()];
        answers.push(bench.get().await.unwrap().unwrap());
        let third = bench.get();
        let _two = hold_at_most(stub.accept().await, Rc::clone(&dropped), Some(2));
        answers.push(third.await.unwrap().unwrap());
        // Both have a place again, and no third is opened.
        answers.clear();
        while dropped.get() < 3 {
            tokio::task::yield_now().await;
        }
        for _ in 0..4 {
            answers.push(bench.get().await.unwrap().unwrap());
        }
        assert!(!stub.has_caller().await);
    });
}

#[test]
fn both_ways_stream_at_once() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = bench(&stub);
        let (client, body) = pipe();
        let call = bench.call(request(Method::POST, body));
        let _server = echo(stub.accept().await);
        let mut answer = call.await.unwrap().unwrap().into_body();
        for text in ["one", "two"] {
            client.send(piece(text)).await.unwrap();
            let frame = answer.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), text);
        }
        drop(client);
        let last = answer.frame().await.unwrap().unwrap();
        assert!(last.is_trailers());
        assert!(answer.frame().await.is_none());
    });
}

#[test]
fn a_connection_that_ended_is_replaced() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = bench(&stub);
        let call = bench.call(request(Method::POST, Body::full("abc")));
        let server = echo(stub.accept().await);
        assert_eq!(text(call).await, "abc");
        server.abort();
        let call = bench.call(request(Method::POST, Body::full("def")));
        let _server = echo(stub.accept().await);
        assert_eq!(text(call).await, "def");
    });
}

#[test]
fn a_body_dropped_early_resets_its_stream_alone() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = bench(&stub);
        let dropped = Rc::new(Cell::new(0));
        let (one, two) = (pipe(), pipe());
        let calls = [one.1, two.1].map(|body| bench.call(request(Method::POST, body)));
        let _server = hold(stub.accept().await, Rc::clone(&dropped));
        let [first, second] = calls;
        drop(first.await.unwrap().unwrap());
        while dropped.get() == 0 {
            tokio::task::yield_now().await;
        }
        let mut second = second.await.unwrap().unwrap().into_body();
        let frame = second.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "first");
        assert_eq!(dropped.get(), 1);
    });
}

/// Answers with one piece and silence, and counts the answers that are no longer wanted.
fn hold(peer: Peer, dropped: Rc<Cell<usize>>) -> JoinHandle<()> {
    hold_at_most(peer, dropped, None)
}

fn hold_at_most(peer: Peer, dropped: Rc<Cell<usize>>, streams: Option<u32>) -> JoinHandle<()> {
    let service = service_fn(move |_: Request<Incoming>| {
        let body = Held(Some(Bytes::from_static(b"first")), Rc::clone(&dropped));
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    spawn_local(async move {
        let connection = hyper::server::conn::http2::Builder::new(LocalExecutor)
            .max_concurrent_streams(streams)
            .serve_connection(TokioIo::new(peer.into_stream()), service);
        drop(connection.await);
    })
}

struct Held(Option<Bytes>, Rc<Cell<usize>>);

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.0.take() {
            Some(bytes) => std::task::Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => std::task::Poll::Pending,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
    }
}
