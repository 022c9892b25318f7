//! A scripted upstream, a client's body that a test sends piece by piece, and what surrounds them.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use jiff::tz::TimeZone;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

use crate::base::Clock;
use crate::model::{
    Service, ServiceMatch, Timeouts, UpstreamAddress, UpstreamProtocol, UpstreamTls,
};
use crate::telemetry::Metrics;
use crate::tls::{Acceptor, ServerStream, TlsError};
use crate::upstream::lane::Lane;
use crate::upstream::{Common, Pool, PoolLimits, Received, SendError, Target};
use crate::wire::{Body, BodyError};

/// Runs a test as a worker runs: one thread, local tasks. A test that hangs fails.
pub(super) fn worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    LocalSet::new()
        .block_on(&runtime, limited)
        .expect("the test ends");
}

/// Lets every task do what it can do without new input.
pub(super) async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

pub(super) struct Stub(TcpListener);

impl Stub {
    pub(super) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(super) fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    pub(super) async fn accept(&self) -> Peer {
        Peer(self.0.accept().await.unwrap().0)
    }

    /// Accepts and shakes hands.
    pub(super) async fn accept_tls(
        &self,
        acceptor: &Acceptor,
    ) -> Result<Peer<ServerStream<TcpStream>>, TlsError> {
        let stream = self.accept().await.into_stream();
        acceptor.accept(stream).await.map(Peer)
    }

    /// Whether somebody has connected and was not accepted.
    pub(super) async fn has_caller(&self) -> bool {
        settle().await;
        tokio::select! {
            biased;
            _ = self.0.accept() => true,
            () = yield_now() => false,
        }
    }
}

/// An address where nobody listens.
pub(super) async fn nobody() -> String {
    Stub::bind().await.address()
}

pub(super) struct Peer<S = TcpStream>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self(stream)
    }

    /// The next head that the pool sends.
    pub(super) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// What the pool sends, up to and with `end`.
    pub(super) async fn until(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        while !seen.ends_with(end.as_bytes()) {
            let byte = self.0.read_u8().await;
            seen.push(byte.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&seen))
            }));
        }
        String::from_utf8(seen).unwrap()
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    pub(super) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next `length` bytes that the pool sends.
    pub(super) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    pub(super) const fn stream(&self) -> &S {
        &self.0
    }

    pub(super) fn into_stream(self) -> S {
        self.0
    }

    /// Reads a head and answers it.
    pub(super) async fn serve(&mut self, text: &str) -> String {
        let head = self.head().await;
        self.say(text).await;
        head
    }

    /// Waits until the pool closes the connection; returns what it sent before.
    pub(super) async fn closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is a close too.
        let _ = self.0.read_to_end(&mut rest).await;
        rest
    }
}

pub(super) const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A request body that a test sends.
pub(super) struct Pipe(mpsc::Receiver<Result<Frame<Bytes>, BodyError>>);

pub(super) type PipeEnd = mpsc::Sender<Result<Frame<Bytes>, BodyError>>;

pub(super) fn pipe() -> (PipeEnd, Body) {
    let (sender, receiver) = mpsc::channel(8);
    (sender, Body::stream(Pipe(receiver)))
}

pub(super) fn piece(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

impl http_body::Body for Pipe {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(context)
    }
}

pub(super) fn service(addresses: &[String]) -> Service {
    Service {
        name: "orders".parse().unwrap(),
        matches: ServiceMatch::Host("orders.example".into()),
        upstreams: addresses
            .iter()
            .map(|authority| UpstreamAddress {
                tls: false,
                authority: authority.parse().unwrap(),
                socket: None,
            })
            .collect(),
        tls: UpstreamTls::default(),
        protocol: UpstreamProtocol::default(),
        health: None,
        timeouts: Timeouts::default(),
        inject: None,
        time_zone: TimeZone::UTC,
    }
}

pub(super) fn request(method: Method, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("/orders?page=2")
        .header("host", "orders.example")
        .body(body)
        .unwrap()
}

pub(super) fn common() -> Arc<Common> {
    let none = std::iter::empty;
    Arc::new(Common::new(Arc::new(Metrics::new(none(), none()))))
}

/// A worker's pool and the target that a test sends to.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) pool: Rc<Pool>,
    pub(super) target: Arc<Target>,
}

pub(super) type Answer = Result<Response<Received>, SendError>;

impl Bench {
    pub(super) fn new(addresses: &[String]) -> Self {
        Self::with(addresses, Clock::system(), PoolLimits::default())
    }

    pub(super) fn with(addresses: &[String], clock: Clock, limits: PoolLimits) -> Self {
        Self {
            pool: Rc::new(Pool::new(clock, limits, common())),
            target: Arc::new(Target::open(&service(addresses)).unwrap()),
        }
    }

    pub(super) fn call(&self, request: Request<Body>) -> JoinHandle<Answer> {
        let Self { pool, target } = self.clone();
        spawn_local(async move { pool.send(&target, pool.prepare(request)).await })
    }

    pub(super) fn get(&self) -> JoinHandle<Answer> {
        self.call(request(Method::GET, Body::empty()))
    }

    /// Where the target's names lead at the moment.
    pub(super) fn lanes(&self) -> Vec<Rc<Lane>> {
        let group = self.pool.group(&self.target);
        group.known().map_or_else(Vec::new, |lanes| lanes.to_vec())
    }

    pub(super) fn idle_connections(&self) -> usize {
        self.lanes()
            .iter()
            .map(|lane| lane.idle_connections())
            .sum()
    }

    pub(super) fn poison(&self) {
        self.lanes().iter().for_each(|lane| lane.poison());
    }

    /// One clean exchange, after which a connection is idle.
    pub(super) async fn warm(&self, stub: &Stub) -> Peer {
        let call = self.get();
        let mut peer = stub.accept().await;
        peer.serve(HELLO).await;
        assert_eq!(text(call).await, "hello");
        assert_eq!(self.idle_connections(), 1);
        peer
    }
}

/// The body of the answer that `call` gets.
pub(super) async fn text(call: JoinHandle<Answer>) -> String {
    let answer = call.await.unwrap().unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The error that `call` gets.
pub(super) async fn refused(call: JoinHandle<Answer>) -> SendError {
    call.await.unwrap().expect_err("no answer")
}
