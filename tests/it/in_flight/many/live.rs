//! WebSockets and gRPC calls among the many: what the client says comes back after a while.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response};
use portcullis::wire::websocket_accept;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::{Ended, How, Stage, Stream, piece};
use crate::harness::{Asked, Http2Service, Http2Stream, Plan, Raw, masked, server, within};

/// Beside the shop, in front of which the other streams run.
const SERVICES: &str = r#"
[[service]]
name = "shop"
match = { path = "/shop" }
upstreams = ["http://{upstream}"]

[[service]]
name = "plain"
match = { path = "/plain" }
upstreams = ["http://{plain}"]

[[service]]
name = "live"
match = { path = "/live" }
upstreams = ["http://{live}"]
protocol = "http2"

[[service]]
name = "ledger"
match = { path = "/ledger.Ledger" }
upstreams = ["http://{live}"]
protocol = "http2"
"#;

const OPERATIONS: &str = r#"
[[operation]]
id = "shop.data"
service = "shop"
route = "ANY /shop/data/{*rest}"
groups = ["open"]

[[operation]]
id = "shop.stream"
service = "shop"
route = "GET /shop/stream"
groups = ["open"]
protocol = "sse"

[[operation]]
id = "plain.socket"
service = "plain"
route = "GET /plain/socket"
groups = ["open"]
protocol = "websocket"

[[operation]]
id = "live.socket"
service = "live"
route = "GET /live/socket"
groups = ["open"]
protocol = "websocket"

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
operations = ["shop.data", "shop.stream", "plain.socket", "live.socket", "ledger.call"]
max_ttl = "1h"
"#;

const RULES: &str = r#"
@id("open")
permit (principal, action in Action::"open", resource);

@id("bots-may-ask")
permit (principal in AgentGroup::"bots", action == Action::"request", resource);
"#;

/// A gateway in front of all that; what comes back comes after `pace`.
pub(super) async fn plan(pace: Duration) -> Plan {
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut live = Http2Service::start(true).await;
    let services = SERVICES
        .replace("{plain}", &plain.local_addr().unwrap().to_string())
        .replace("{live}", &live.address.to_string());
    tokio::spawn(async move {
        while let Ok((stream, _)) = plain.accept().await {
            tokio::spawn(takes(stream, pace));
        }
    });
    tokio::spawn(async move {
        while let Some(asked) = live.next().await {
            tokio::spawn(answers(asked, pace));
        }
    });
    Plan::new()
        .tls()
        .file("services.toml", &services)
        .file("operations.toml", OPERATIONS)
        .file("entitlements.toml", ENTITLEMENTS)
        .file("rules.cedar", RULES)
}

/// One end of a WebSocket that may be cut at any time.
trait Line {
    /// So many bytes; nothing where the end comes before.
    async fn hear(&mut self, count: usize) -> Option<Vec<u8>>;

    async fn say(&mut self, bytes: &[u8]);
}

impl Line for Raw {
    async fn hear(&mut self, count: usize) -> Option<Vec<u8>> {
        self.bytes_or_end(count).await
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.offer_now(bytes).await;
    }
}

impl Line for Http2Stream {
    async fn hear(&mut self, count: usize) -> Option<Vec<u8>> {
        self.bytes_or_end(count).await.ok()
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.offer(bytes);
    }
}

impl Line for TcpStream {
    async fn hear(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).await.ok().map(|_| bytes)
    }

    async fn say(&mut self, bytes: &[u8]) {
        // What is cut is seen by who hears.
        let _ = self.write_all(bytes).await;
    }
}

/// The next frame: its first byte, and what it carries.
async fn frame(line: &mut impl Line) -> Option<(u8, Vec<u8>)> {
    let head = line.hear(2).await?;
    let length = match head[1] & 0x7f {
        126 => {
            let length = line.hear(2).await?;
            usize::from(u16::from_be_bytes([length[0], length[1]]))
        }
        short => usize::from(short),
    };
    let mask = match head[1] & 0x80 {
        0 => vec![0; 4],
        _ => line.hear(4).await?,
    };
    let payload = line.hear(length).await?.into_iter();
    let payload = payload.zip(mask.iter().cycle());
    Some((head[0], payload.map(|(byte, key)| byte ^ key).collect()))
}

/// The service's side of a WebSocket over HTTP/1.1.
async fn takes(mut stream: TcpStream, pace: Duration) {
    stream.set_nodelay(true).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let accept = websocket_accept(key.expect("a key").as_bytes());
    let consent = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.say(consent.as_bytes()).await;
    repeats_after(&mut stream, pace).await;
}

async fn repeats_after(line: &mut impl Line, pace: Duration) {
    while let Some((first, payload)) = frame(line).await {
        if first == 0x88 {
            line.say(&server(0x88, &payload)).await;
            return;
        }
        sleep(pace).await;
        line.say(&server(first, &payload)).await;
    }
}

/// The service's side of what comes over HTTP/2.
async fn answers((request, mut respond): Asked, pace: Duration) {
    let socket = request.method() == Method::CONNECT;
    let head = match socket {
        true => Response::builder(),
        false => Response::builder().header("content-type", "application/grpc"),
    };
    let Ok(send) = respond.send_response(head.body(()).unwrap(), false) else {
        return;
    };
    let mut stream = Http2Stream::new(send, request.into_body());
    if socket {
        repeats_after(&mut stream, pace).await;
        // It is over on both sides, however the client's side has ended.
        let _ = stream.send.send_data(Bytes::new(), true);
        return;
    }
    let whole = loop {
        match stream.bytes_or_end(message(0).len()).await {
            Ok(message) => {
                sleep(pace).await;
                stream.offer(message);
            }
            Err(reset) => break reset.is_none(),
        }
    };
    if whole {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        // Whoever is gone by now does not need them.
        let _ = stream.send.send_trailers(trailers);
    }
}

/// A piece as a message with gRPC's prefix.
fn message(number: usize) -> Vec<u8> {
    let piece = piece(number);
    let length = u32::try_from(piece.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &piece].concat()
}

impl Stage {
    /// A WebSocket over HTTP/1.1.
    pub(super) async fn talks(&self, stream: Stream, token: String) -> Ended {
        let mut raw = Raw::connect(&self.gate).await;
        raw.say(format!(
            "GET /plain/socket HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
        .await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        self.says_and_hears(stream, &mut raw).await
    }

    /// A WebSocket over HTTP/2 (RFC 8441).
    pub(super) async fn talks_over_http2(
        &self,
        stream: Stream,
        client: SendRequest<Bytes>,
        token: String,
    ) -> Ended {
        let request = self.request(Method::CONNECT, "/live/socket", &token);
        let request = request
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"));
        let mut line = opens(client, request.body(()).unwrap()).await;
        self.says_and_hears(stream, &mut line).await
    }

    /// A call of gRPC, both of whose directions stream.
    pub(super) async fn calls(
        &self,
        stream: Stream,
        client: SendRequest<Bytes>,
        token: String,
    ) -> Ended {
        let request = self.request(Method::POST, "/ledger.Ledger/Chat", &token);
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let mut line = opens(client, request.body(()).unwrap()).await;
        self.is_there();
        let (mut bytes, mut last) = (Vec::new(), Instant::now());
        let how = loop {
            let next = message(bytes.len() / piece(0).len());
            line.offer(&next);
            match line.bytes_or_end(next.len()).await {
                Ok(back) => {
                    bytes.extend_from_slice(&back[5..]);
                    last = Instant::now();
                    self.moves(stream);
                }
                Err(reset) => {
                    assert_eq!(reset, Some(Reason::INTERNAL_ERROR), "{stream:?}");
                    break How::Broken;
                }
            }
            if *self.finish.borrow() {
                line.send.send_data(Bytes::new(), true).unwrap();
                break status(&mut line.receive).await;
            }
        };
        let end = Instant::now();
        Ended {
            stream,
            how,
            bytes,
            last,
            end,
        }
    }

    async fn says_and_hears(&self, stream: Stream, line: &mut impl Line) -> Ended {
        self.is_there();
        let (mut bytes, mut last) = (Vec::new(), Instant::now());
        let how = loop {
            let number = bytes.len() / piece(0).len();
            let closes = *self.finish.borrow();
            if closes {
                line.say(&masked(8, &1000_u16.to_be_bytes())).await;
            } else {
                line.say(&masked(2, &piece(number))).await;
            }
            match frame(line).await {
                None => break How::Broken,
                Some((0x88, close)) => {
                    let code = u16::from_be_bytes([close[0], close[1]]);
                    break match (closes, code) {
                        (true, 1000) => How::Whole,
                        (_, 1008) => How::Refused,
                        other => panic!("{stream:?} is closed with {other:?}"),
                    };
                }
                Some((first, payload)) => {
                    assert_eq!(first, 0x82, "{stream:?}");
                    bytes.extend_from_slice(&payload);
                    last = Instant::now();
                    self.moves(stream);
                }
            }
        };
        let end = Instant::now();
        Ended {
            stream,
            how,
            bytes,
            last,
            end,
        }
    }

    fn request(&self, method: Method, path: &str, token: &str) -> http::request::Builder {
        let port = self.gate.address().port();
        Request::builder()
            .method(method)
            .uri(format!("https://localhost:{port}{path}"))
            .header("authorization", format!("Bearer {token}"))
    }
}

async fn opens(client: SendRequest<Bytes>, request: Request<()>) -> Http2Stream {
    let mut client = within("room for a stream", client.ready()).await.unwrap();
    let (answer, send) = client.send_request(request, false).unwrap();
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    Http2Stream::new(send, answer.into_body())
}

/// How a call ended whose client has said all.
async fn status(received: &mut RecvStream) -> How {
    if within("the end of the data", received.data())
        .await
        .is_some()
    {
        return How::Broken;
    }
    match within("trailers", received.trailers()).await {
        Ok(Some(trailers)) if trailers["grpc-status"] == "0" => How::Whole,
        _ => How::Broken,
    }
}
