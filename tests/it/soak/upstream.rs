//! The services behind the gate: what they answer can be told from any other answer, and they go away and
//! come back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::wire::websocket_accept;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::harness::{Feed, TestBody, full, pipe};

/// How many pieces a download, an upload or a stream of events has.
pub(super) const PIECES: usize = 12;

/// The pause between two events.
const PACE: Duration = Duration::from_millis(10);

/// A piece of what belongs to this number alone.
pub(super) fn piece(number: u64, index: usize) -> Bytes {
    let filler = char::from(b'a' + (index % 26) as u8)
        .to_string()
        .repeat(2000);
    Bytes::from(format!("data: {number} {index} {filler}\n\n"))
}

/// All of them.
pub(super) fn pieces(number: u64) -> Vec<u8> {
    (0..PIECES).flat_map(|index| piece(number, index)).collect()
}

/// What tells one body from another (FNV-1a).
pub(super) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A server that can be started again where it was.
pub(super) struct Upstream {
    address: SocketAddr,
    http2: bool,
    running: Option<JoinHandle<()>>,
}

impl Upstream {
    pub(super) async fn start(http2: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = Some(tokio::spawn(accept(listener, http2)));
        Self {
            address,
            http2,
            running,
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops every connection, is away for a while, and is back.
    pub(super) async fn restarts(&mut self, away: Duration) {
        if let Some(running) = self.running.take() {
            running.abort();
            // Its connections go with it.
            let _ = running.await;
        }
        sleep(away).await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.running = Some(tokio::spawn(accept(listener, self.http2)));
    }
}

async fn accept(listener: TcpListener, http2: bool) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        connections.spawn(async move {
            // However a connection ends, its exchanges are judged by who asked.
            if http2 {
                let server = http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(stream, service_fn(answer)).await;
            } else {
                let served = http1::Builder::new()
                    .serve_connection(stream, service_fn(answer))
                    .with_upgrades();
                let _ = served.await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<TestBody>, Infallible> {
    let path = request.uri().path().to_owned();
    let (_, number) = path.rsplit_once('/').expect("a path");
    let number: u64 = number.parse().expect("a number");
    Ok(match path.split('/').nth(2) {
        Some("items") => Response::new(full(format!("item {number}"))),
        Some("data") if request.method() == "PUT" => takes(request, number).await,
        Some("data") => streams(number, PIECES, Duration::ZERO),
        Some("endless") => streams(number, usize::MAX, PACE),
        Some("stream") => {
            let mut response = streams(number, PIECES, PACE);
            let kind = "text/event-stream".parse().unwrap();
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Some("socket") => switches(request),
        Some("call") => calls(request, number),
        other => panic!("{other:?} is not served"),
    })
}

/// An upload: says how much of what arrived.
async fn takes(request: Request<Incoming>, number: u64) -> Response<TestBody> {
    let Ok(body) = request.into_body().collect().await else {
        // It broke off: nobody waits for this.
        return Response::new(full(""));
    };
    let body = body.to_bytes();
    let text = format!("took {number} {} {:x}", body.len(), digest(&body));
    Response::new(full(text))
}

fn streams(number: u64, count: usize, pace: Duration) -> Response<TestBody> {
    let (feed, body) = pipe();
    tokio::spawn(async move {
        for index in 0..count {
            if !feed.offer(piece(number, index)).await {
                return;
            }
            sleep(pace).await;
        }
    });
    Response::new(body)
}

/// A WebSocket whose bytes come back as they are.
fn switches(mut request: Request<Incoming>) -> Response<TestBody> {
    let key = request.headers()["sec-websocket-key"].as_bytes();
    let accept = websocket_accept(key);
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut space = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut space).await {
            if stream.write_all(&space[..count]).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", accept)
        .body(full(""))
        .unwrap()
}

/// A call of gRPC's kind: what comes goes back, and its trailers say how it went.
fn calls(request: Request<Incoming>, number: u64) -> Response<TestBody> {
    let (feed, body) = pipe();
    tokio::spawn(async move { echoes(request.into_body(), feed, number).await });
    Response::builder()
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap()
}

async fn echoes(mut incoming: Incoming, feed: Feed, number: u64) {
    while let Some(frame) = incoming.frame().await {
        let data = frame.map(|frame| frame.into_data().unwrap_or_default());
        let goes_on = match data {
            Ok(data) if data.is_empty() => true,
            Ok(data) => feed.offer(data).await,
            Err(_) => {
                feed.break_off_if_heard().await;
                return;
            }
        };
        if !goes_on {
            return;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("x-number", number.into());
    feed.offer_trailers(trailers).await;
}
