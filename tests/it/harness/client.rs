//! HTTP clients: one call on a connection of its own, or several on one.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, Method, Request, Response, request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::body::{TestBody, full};
use super::{Answer, Gateway, within};

/// Whom a call is for.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Control,
    Gateway,
}

/// A call under construction.
pub(crate) struct Call<'g> {
    gate: &'g Gateway,
    side: Side,
    http2: bool,
    request: request::Builder,
    path: String,
    body: TestBody,
}

impl<'g> Call<'g> {
    pub(super) fn new(gate: &'g Gateway, side: Side, method: Method, path: &str) -> Self {
        Self {
            gate,
            side,
            http2: false,
            request: Request::builder().method(method),
            path: path.to_owned(),
            body: full(""),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request = self.request.header(name, value.as_ref());
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: TestBody) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.body(full(bytes))
    }

    pub(crate) fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json")
            .bytes(value.to_string())
    }

    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let encoded = |text: &str| -> String {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            text.bytes()
                .map(|b| {
                    if plain(b) {
                        char::from(b).to_string()
                    } else {
                        format!("%{b:02X}")
                    }
                })
                .collect()
        };
        let pairs = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        self.header("content-type", "application/x-www-form-urlencoded")
            .bytes(body)
    }

    /// Over HTTP/2, which a gateway with TLS speaks.
    pub(crate) fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        let what = format!("the answer to {}", self.path);
        within(&what, self.open().await.whole()).await.unwrap()
    }

    /// Sends it on a connection of its own and reads the head of the answer.
    pub(crate) async fn open(self) -> Opened {
        let mut client = Client::connect(self.gate, self.side, self.http2).await;
        self.open_on(&mut client).await
    }

    /// Sends it on a connection that is there, and reads the whole answer.
    pub(crate) async fn send_on(self, client: &mut Client) -> Answer {
        let what = format!("the answer to {}", self.path);
        within(&what, self.open_on(client).await.whole())
            .await
            .unwrap()
    }

    /// Sends it on a connection that is there, and reads the head of the answer.
    pub(crate) async fn open_on(self, client: &mut Client) -> Opened {
        let what = format!("the head of the answer to {}", self.path);
        within(&what, self.try_open_on(client)).await.unwrap()
    }

    /// As [`open_on`](Self::open_on), where there may be no answer.
    pub(crate) async fn try_open_on(self, client: &mut Client) -> hyper::Result<Opened> {
        let request = client.address(self.request, &self.path, self.body);
        let response = client.send(request).await?;
        let (head, body) = response.into_parts();
        Ok(Opened { head, body })
    }
}

/// A connection.
pub(crate) struct Client {
    authority: String,
    sender: Sender,
}

enum Sender {
    Http1(http1::SendRequest<TestBody>),
    Http2(http2::SendRequest<TestBody>),
}

impl Client {
    /// An HTTP/1.1 connection to the gateway.
    pub(crate) async fn http1(gate: &Gateway) -> Self {
        Self::connect(gate, Side::Gateway, false).await
    }

    /// An HTTP/2 connection to a gateway that has TLS.
    pub(crate) async fn http2(gate: &Gateway) -> Self {
        Self::connect(gate, Side::Gateway, true).await
    }

    async fn connect(gate: &Gateway, side: Side, http2: bool) -> Self {
        let address = match side {
            Side::Control => gate.control_address(),
            Side::Gateway => gate.address(),
        };
        let stream = within("a connection", TcpStream::connect(address))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let sender = match gate.connector(http2) {
            None => {
                assert!(!http2, "a gateway without TLS speaks HTTP/1.1");
                http1_over(stream).await
            }
            Some(tls) => {
                let stream = within("a handshake", tls.connect("localhost", stream))
                    .await
                    .unwrap();
                assert_eq!(stream.is_http2(), http2, "what ALPN agreed on");
                if http2 {
                    http2_over(stream).await
                } else {
                    http1_over(stream).await
                }
            }
        };
        let authority = format!("localhost:{}", address.port());
        Self { authority, sender }
    }

    /// The request in the form that the connection's protocol wants.
    fn address(&self, builder: request::Builder, path: &str, body: TestBody) -> Request<TestBody> {
        let named = builder
            .headers_ref()
            .is_some_and(|headers| headers.contains_key("host"));
        let builder = match &self.sender {
            Sender::Http1(_) if named => builder.uri(path),
            Sender::Http1(_) => builder.uri(path).header("host", &self.authority),
            Sender::Http2(_) => builder.uri(format!("https://{}{path}", self.authority)),
        };
        builder.body(body).unwrap()
    }

    async fn send(&mut self, request: Request<TestBody>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Whether the connection can take another request.
    pub(crate) async fn is_usable(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Another handle to the same HTTP/2 connection.
    pub(crate) fn another(&self) -> Self {
        let Sender::Http2(sender) = &self.sender else {
            panic!("HTTP/1.1 runs one exchange at a time");
        };
        Self {
            authority: self.authority.clone(),
            sender: Sender::Http2(sender.clone()),
        }
    }
}

async fn http1_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Sender {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    // The end of a connection is seen by its exchanges.
    tokio::spawn(async move { drop(connection.await) });
    Sender::Http1(sender)
}

async fn http2_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Sender {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(async move { drop(connection.await) });
    Sender::Http2(sender)
}

/// An answer whose head is there.
pub(crate) struct Opened {
    pub(crate) head: Parts,
    body: Incoming,
}

impl Opened {
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// The next piece of the body that is not empty; nothing at its orderly end.
    pub(crate) async fn piece(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            let frame = within("a piece of the answer", self.body.frame()).await?;
            match frame.map(|frame| frame.into_data().unwrap_or_default()) {
                Ok(data) if data.is_empty() => {}
                piece => return Some(piece),
            }
        }
    }

    /// A piece that has to be there, as text.
    pub(crate) async fn text(&mut self) -> String {
        let piece = self.piece().await.expect("the body goes on");
        String::from_utf8(piece.unwrap().to_vec()).unwrap()
    }

    /// Reads until the body breaks off; an orderly end is a failure.
    pub(crate) async fn cut(&mut self) -> hyper::Error {
        loop {
            match self.piece().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("the body ends as if it were whole"),
            }
        }
    }

    /// The whole answer, or what broke it off.
    pub(crate) async fn whole(mut self) -> hyper::Result<Answer> {
        let mut body = BytesMut::new();
        let mut trailers: Option<HeaderMap> = None;
        while let Some(frame) = self.body.frame().await {
            match frame?.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        Ok(Answer {
            status: self.status(),
            version: self.head.version,
            headers: self.head.headers,
            body: body.freeze(),
            trailers,
        })
    }
}

/// The HTTP/2 reason in an error's chain.
pub(crate) fn http2_reset(error: &hyper::Error) -> String {
    let mut chain = Vec::new();
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    chain.join(": ")
}
