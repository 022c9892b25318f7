//! The mixed traffic: each exchange knows what its answer has to be, and tells any other from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::base::Clock;
use portcullis::tls::{ClientFiles, ClientStream, Connector};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::stage::{Stage, Work};
use super::upstream::{PIECES, digest, piece, pieces};
use crate::harness::{TestBody, full, pipe, within};

/// What agents do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Call,
    Download,
    Events,
    /// A download that its client does not wait for.
    Leaves,
    Plain,
    /// A download whose grant is revoked.
    Revoked,
    Socket,
    Upload,
    /// An upload that its client breaks off.
    UploadLeft,
}

const KINDS: [Kind; 9] = [
    Kind::Plain,
    Kind::Call,
    Kind::Download,
    Kind::Upload,
    Kind::Events,
    Kind::Leaves,
    Kind::Socket,
    Kind::UploadLeft,
    Kind::Revoked,
];

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It broke off, which nobody can take for an end.
    Broken,
    /// Its own answer, to the last byte.
    Right,
    /// The service behind was not there.
    Unreachable,
}

use Outcome::{Broken, Right, Unreachable};

pub(super) type Counts = BTreeMap<(Kind, Outcome), u64>;

/// No two exchanges have the same number.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// So many exchanges belong to one task.
const OF_A_TASK: usize = 60;

/// The pause between two exchanges of an agent.
const PAUSE: Duration = Duration::from_millis(5);

/// An agent that does one thing after the other.
pub(super) struct Traffic {
    stage: Arc<Stage>,
    http2: bool,
    sender: Option<Sender>,
    turn: usize,
    counts: Counts,
}

enum Sender {
    Http1(http1::SendRequest<TestBody>),
    Http2(http2::SendRequest<TestBody>),
}

/// What became of a request.
enum Asked {
    Answer(Response<Incoming>),
    Outcome(Outcome),
}

impl Traffic {
    pub(super) const fn new(stage: Arc<Stage>, number: usize) -> Self {
        Self {
            stage,
            http2: number % 2 == 1,
            sender: None,
            turn: number,
            counts: BTreeMap::new(),
        }
    }

    /// Goes on until the moment has come; returns how it went.
    pub(super) async fn runs(mut self, until: Instant) -> Counts {
        let mut work = self.stage.opens().await;
        while Instant::now() < until {
            let kind = KINDS[self.turn % KINDS.len()];
            self.turn += 1;
            let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
            let outcome = self.does(kind, number, &work).await;
            *self.counts.entry((kind, outcome)).or_default() += 1;
            if kind == Kind::Revoked || self.turn.is_multiple_of(OF_A_TASK) {
                self.stage.completes(&work).await;
                work = self.stage.opens().await;
            }
            sleep(PAUSE).await;
        }
        self.stage.completes(&work).await;
        self.counts
    }

    async fn does(&mut self, kind: Kind, number: u64, work: &Work) -> Outcome {
        match kind {
            Kind::Call => self.calls(number, work).await,
            Kind::Download => {
                let path = format!("/shop/data/{number}");
                self.reads(&path, number, work).await
            }
            Kind::Events => {
                let path = format!("/shop/stream/{number}");
                self.reads(&path, number, work).await
            }
            Kind::Leaves => self.leaves(number, work).await,
            Kind::Plain => self.asks_plainly(number, work).await,
            Kind::Revoked => self.is_revoked(number, work).await,
            Kind::Socket => self.talks(number, work).await,
            Kind::Upload => self.uploads(number, work).await,
            Kind::UploadLeft => self.leaves_an_upload(number, work).await,
        }
    }

    async fn asks_plainly(&mut self, number: u64, work: &Work) -> Outcome {
        let path = format!("/shop/items/{number}");
        let answer = match self.asks(Method::GET, &path, full(""), work).await {
            Asked::Answer(answer) => answer,
            Asked::Outcome(outcome) => return outcome,
        };
        let Some((body, _)) = collected(answer).await else {
            return Broken;
        };
        assert_eq!(body, format!("item {number}").as_bytes());
        Right
    }

    /// What comes is what belongs to the number, as far as it comes.
    async fn reads(&mut self, path: &str, number: u64, work: &Work) -> Outcome {
        let answer = match self.asks(Method::GET, path, full(""), work).await {
            Asked::Answer(answer) => answer,
            Asked::Outcome(outcome) => return outcome,
        };
        let (whole, body) = read(answer).await;
        assert!(pieces(number).starts_with(&body), "{path}: another's bytes");
        if !whole {
            return Broken;
        }
        assert_eq!(body.len(), pieces(number).len(), "{path} looks complete");
        Right
    }

    async fn uploads(&mut self, number: u64, work: &Work) -> Outcome {
        let (feed, body) = pipe();
        tokio::spawn(async move {
            for index in 0..PIECES {
                if !feed.offer(piece(number, index)).await {
                    return;
                }
            }
        });
        let path = format!("/shop/data/{number}");
        let answer = match self.asks(Method::PUT, &path, body, work).await {
            Asked::Answer(answer) => answer,
            Asked::Outcome(outcome) => return outcome,
        };
        let Some((body, _)) = collected(answer).await else {
            return Broken;
        };
        let sent = pieces(number);
        let expected = format!("took {number} {} {:x}", sent.len(), digest(&sent));
        assert_eq!(String::from_utf8_lossy(&body), expected);
        Right
    }

    /// A call of gRPC's kind: what was sent comes back, and trailers behind it.
    async fn calls(&mut self, number: u64, work: &Work) -> Outcome {
        let sent = piece(number, 0);
        let path = format!("/calls/call/{number}");
        let asked = self.asks(Method::POST, &path, full(sent.clone()), work);
        let answer = match asked.await {
            Asked::Answer(answer) => answer,
            Asked::Outcome(outcome) => return outcome,
        };
        let Some((body, trailers)) = collected(answer).await else {
            return Broken;
        };
        assert_eq!(body, sent);
        if self.http2 {
            let trailers = trailers.expect("trailers");
            assert_eq!(trailers["grpc-status"], "0");
            assert_eq!(trailers["x-number"], number.to_string());
        }
        Right
    }

    async fn leaves(&mut self, number: u64, work: &Work) -> Outcome {
        let path = format!("/shop/endless/{number}");
        let mut answer = match self.asks(Method::GET, &path, full(""), work).await {
            Asked::Answer(answer) => answer,
            Asked::Outcome(outcome) => return outcome,
        };
        let frame = within("a piece", answer.body_mut().frame()).await;
        let Some(Ok(frame)) = frame else {
            return Broken;
        };
        let data = frame.into_data().unwrap_or_default();
        assert!(piece(number, 0).starts_with(&data[..data.len().min(100)]));
        if !self.http2 {
            self.sender = None;
        }
        Right
    }

    async fn leaves_an_upload(&mut self, number: u64, work: &Work) -> Outcome {
        let (feed, body) = pipe();
        tokio::spawn(async move {
            feed.offer(piece(number, 0)).await;
            feed.break_off_if_heard().await;
        });
        let path = format!("/shop/data/{number}");
        match self.asks(Method::PUT, &path, body, work).await {
            Asked::Answer(answer) => panic!("{answer:?} to an upload that broke off"),
            Asked::Outcome(Unreachable) => Unreachable,
            Asked::Outcome(_) => Right,
        }
    }

    /// The revocation cuts the download, and nothing passes after it.
    async fn is_revoked(&mut self, number: u64, work: &Work) -> Outcome {
        let path = format!("/shop/endless/{number}");
        let mut answer = match self.asks(Method::GET, &path, full(""), work).await {
            Asked::Answer(answer) => answer,
            Asked::Outcome(outcome) => return outcome,
        };
        let frame = within("a piece", answer.body_mut().frame()).await;
        if !matches!(frame, Some(Ok(_))) {
            return Broken;
        }
        self.stage.revokes(work).await;
        let (whole, _) = read(answer).await;
        assert!(!whole, "a cut body looks complete");
        let path = format!("/shop/items/{number}");
        let head = self.request(Method::GET, &path, full(""), work);
        let Some(answer) = self.sends(head).await else {
            return Broken;
        };
        assert_eq!(answer.status(), 403);
        let (body, _) = collected(answer).await.expect("a refusal");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "grant_required", "{body}");
        Right
    }

    /// A WebSocket over a connection of its own: what is said comes back.
    async fn talks(&self, number: u64, work: &Work) -> Outcome {
        let mut stream = tls(&self.stage, false).await;
        let head = format!(
            "GET /shop/socket/{number} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            work.token
        );
        if stream.write_all(head.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return Broken;
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            match within("a head", stream.read_u8()).await {
                Ok(byte) => answer.push(byte),
                Err(_) => return Broken,
            }
        }
        let answer = String::from_utf8(answer).unwrap();
        if answer.starts_with("HTTP/1.1 502 ") {
            return Unreachable;
        }
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        for index in 0..PIECES {
            let text = format!("{number} {index}");
            let mut frame = vec![0x82, 0x80 | text.len() as u8, 0, 0, 0, 0];
            frame.extend(text.as_bytes());
            if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
                return Broken;
            }
            let mut echoed = vec![0; frame.len()];
            match within("an echo", stream.read_exact(&mut echoed)).await {
                Ok(_) => assert_eq!(echoed, frame),
                Err(_) => return Broken,
            }
        }
        Right
    }

    async fn asks(&mut self, method: Method, path: &str, body: TestBody, work: &Work) -> Asked {
        let request = self.request(method, path, body, work);
        let Some(answer) = self.sends(request).await else {
            return Asked::Outcome(Broken);
        };
        match answer.status().as_u16() {
            200 => Asked::Answer(answer),
            502 => Asked::Outcome(Unreachable),
            status => {
                let body = collected(answer).await;
                let body = body.map(|(body, _)| String::from_utf8_lossy(&body).into_owned());
                if status == 400 && path.starts_with("/shop/data/") {
                    // The client's own part broke off.
                    return Asked::Outcome(Broken);
                }
                panic!("{status} to {path}: {body:?}")
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: TestBody,
        work: &Work,
    ) -> Request<TestBody> {
        let port = self.stage.gateway.port();
        let request = Request::builder()
            .method(method)
            .header("authorization", format!("Bearer {}", work.token));
        let request = if self.http2 {
            request.uri(format!("https://localhost:{port}{path}"))
        } else {
            let request = request.uri(path);
            request.header("host", format!("localhost:{port}"))
        };
        request.body(body).unwrap()
    }

    /// The head of the answer, if there is one.
    async fn sends(&mut self, request: Request<TestBody>) -> Option<Response<Incoming>> {
        let usable = match &mut self.sender {
            None => false,
            Some(Sender::Http1(sender)) => sender.ready().await.is_ok(),
            Some(Sender::Http2(sender)) => sender.ready().await.is_ok(),
        };
        if !usable {
            self.sender = Some(connect(&self.stage, self.http2).await);
        }
        let what = format!("an answer to {}", request.uri());
        let sent = match self.sender.as_mut()? {
            Sender::Http1(sender) => within(&what, sender.send_request(request)).await,
            Sender::Http2(sender) => within(&what, sender.send_request(request)).await,
        };
        sent.ok()
    }
}

async fn tls(stage: &Stage, http2: bool) -> ClientStream<TcpStream> {
    let files = ClientFiles {
        ca: Some(stage.ca.clone()),
        client: None,
    };
    let connector = Connector::open(&files, http2, Clock::system()).unwrap();
    let stream = TcpStream::connect(stage.gateway).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let connected = connector.connect("localhost", stream);
    within("a handshake", connected).await.unwrap()
}

async fn connect(stage: &Stage, http2: bool) -> Sender {
    let stream = TokioIo::new(tls(stage, http2).await);
    // The end of a connection is seen by its exchanges.
    if http2 {
        let handshake = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, connection) = handshake.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Sender::Http2(sender)
    } else {
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Sender::Http1(sender)
    }
}

/// The body of an answer as far as it came, and whether that was its end.
async fn read(answer: Response<Incoming>) -> (bool, Vec<u8>) {
    let (mut body, mut bytes) = (answer.into_body(), Vec::new());
    while let Some(frame) = within("a piece", body.frame()).await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => return (false, bytes),
        }
    }
    (true, bytes)
}

/// A whole answer with its trailers.
async fn collected(answer: Response<Incoming>) -> Option<(Bytes, Option<http::HeaderMap>)> {
    let mut bytes = BytesMut::new();
    let (mut body, mut trailers) = (answer.into_body(), None);
    while let Some(frame) = within("a piece", body.frame()).await {
        match frame.ok()?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Some((bytes.freeze(), trailers))
}
