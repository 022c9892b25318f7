//! A small HTTP client for the control side: one call, one connection, JSON both ways.
//!
//! It follows no redirects, waits for no longer than it was told to, and reads no more than
//! [`LARGEST_ANSWER`].

mod address;
mod refusal;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(super) use self::address::Address;
pub(super) use self::refusal::{Refusal, diagnostic};
use crate::base::{Clock, Secret};
use crate::tls::{ClientFiles, Connector, TlsError};

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 4 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an ordinary call may take.
pub(super) const ORDINARY: Duration = Duration::from_secs(30);

/// Why a call has no answer that can be used.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    #[error("the connection to `{0}` broke off")]
    Broken(String, #[source] hyper::Error),
    #[error("{0} can't be put into a request")]
    Malformed(&'static str),
    #[error("`{place}` did not answer with JSON (status {status})")]
    NotJson { place: String, status: u16 },
    #[error(transparent)]
    Refused(Box<Refusal>),
    #[error("`{0}` did not answer within {1:?}")]
    Timeout(String, Duration),
    #[error("`{0}` answered with more than {LARGEST_ANSWER} bytes")]
    TooLarge(String),
    #[error("no trustworthy connection to `{0}`")]
    Tls(String, #[source] TlsError),
    #[error("`{0}` can't be reached")]
    Unreachable(String, #[source] io::Error),
}

impl ClientError {
    /// What the caller can do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Broken(..) | Self::NotJson { .. } | Self::TooLarge(_) => {
                "is this the control side, with the right scheme and port? Say which with \
                 --control or PORTCULLIS_CONTROL"
            }
            Self::Malformed(_) => return None,
            Self::Refused(refusal) => return refusal.hint(),
            Self::Timeout(..) | Self::Unreachable(..) => {
                "is the gateway running there? Say where its control side is with --control or \
                 PORTCULLIS_CONTROL"
            }
            Self::Tls(..) => {
                "name the authority that signed the gateway's certificate with --ca or PORTCULLIS_CA"
            }
        })
    }

    /// The control side's own answer, where there was one.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Broken(..)
            | Self::Malformed(_)
            | Self::NotJson { .. }
            | Self::Timeout(..)
            | Self::TooLarge(_)
            | Self::Tls(..)
            | Self::Unreachable(..) => None,
        }
    }
}

/// What a refusal that wants a nonce in the proof, or another one, carries (RFC 9449 §8).
const DPOP_NONCE: &str = "dpop-nonce";

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<(&'static str, String)>,
    bearer: Option<&'a Secret<String>>,
    proof: Option<Secret<String>>,
    within: Duration,
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct Answered {
    /// The document, or why there is none.
    pub(super) document: Result<Value, ClientError>,
    /// The nonce for the next proof, where one was given.
    pub(super) nonce: Option<String>,
}

impl<'a> Call<'a> {
    /// A `GET` of a path with its query.
    pub(super) const fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    /// A `POST` to a path, with nothing in it so far.
    pub(super) const fn post(path: &'a str) -> Self {
        Self::new(Method::POST, path)
    }

    /// A call of another method.
    pub(super) const fn of(method: Method, path: &'a str) -> Self {
        Self::new(method, path)
    }

    const fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            body: None,
            bearer: None,
            proof: None,
            within: ORDINARY,
        }
    }

    /// Carries a JSON document.
    pub(super) fn json(mut self, document: &Value) -> Self {
        self.body = Some(("application/json", document.to_string()));
        self
    }

    /// Carries a form.
    pub(super) fn form(mut self, pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", form_encode(name), form_encode(value)));
        let form = pairs.collect::<Vec<_>>().join("&");
        self.body = Some(("application/x-www-form-urlencoded", form));
        self
    }

    /// Shows a bearer token or a personal key.
    pub(super) const fn bearer(mut self, bearer: &'a Secret<String>) -> Self {
        self.bearer = Some(bearer);
        self
    }

    /// Proves that the caller holds the key that its token is bound to (RFC 9449 §7.1).
    pub(super) fn proof(mut self, proof: Secret<String>) -> Self {
        self.proof = Some(proof);
        self
    }

    /// Its method, and its path without the query.
    pub(super) fn target(&self) -> (&str, &str) {
        let path = self.path.split('?').next().unwrap_or(self.path);
        (self.method.as_str(), path)
    }

    /// Waits this long for the answer.
    pub(super) const fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    fn into_request(self, authority: &str) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .header(
                header::USER_AGENT,
                concat!("portcullis/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(bearer) = self.bearer {
            let scheme = if self.proof.is_some() {
                "DPoP"
            } else {
                "Bearer"
            };
            let mut value = HeaderValue::try_from(format!("{scheme} {}", bearer.expose()))
                .map_err(|_| ClientError::Malformed("the token or key"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(proof) = &self.proof {
            request = request.header("dpop", proof.expose());
        }
        let body = match self.body {
            Some((kind, text)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                Full::from(text)
            }
            None => Full::default(),
        };
        request
            .body(body)
            .map_err(|_| ClientError::Malformed("the path"))
    }
}

/// Talks to one control side.
#[derive(Clone, Debug)]
pub(super) struct Client {
    address: Address,
    tls: Option<Connector>,
}

impl Client {
    /// Gets ready to talk to `address`, whose certificate is signed by an authority of the file
    /// `ca`; the system's authorities where there is none.
    pub(super) fn open(address: Address, ca: Option<PathBuf>) -> Result<Self, ClientError> {
        let tls = if address.tls {
            let files = ClientFiles { ca, client: None };
            let connector = Connector::open(&files, false, Clock::system())
                .map_err(|error| ClientError::Tls(address.to_string(), error))?;
            Some(connector)
        } else {
            None
        };
        Ok(Self { address, tls })
    }

    /// Whom it talks to.
    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    /// Makes a call. The answer is `null` where there is nothing in it; a status of 400 and above
    /// is an error. When dropped, the connection is closed.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Value, ClientError> {
        self.send_for_nonce(call).await?.document
    }

    /// As [`send`](Self::send), for the nonce of the answer, too; an error where there is no answer.
    pub(super) async fn send_for_nonce(&self, call: Call<'_>) -> Result<Answered, ClientError> {
        let place = format!("{} {}{}", call.method, self.address, call.path);
        let within = call.within;
        let request = call.into_request(&self.address.authority)?;
        let answer = timeout(within, self.exchange(request))
            .await
            .map_err(|_| ClientError::Timeout(self.address.to_string(), within))??;
        let nonce = answer.headers().get(DPOP_NONCE);
        let nonce = nonce.and_then(|nonce| nonce.to_str().ok());
        Ok(Answered {
            nonce: nonce.map(str::to_owned),
            document: read(place, answer.status(), answer.body()),
        })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let (host, port) = (self.address.host.as_str(), self.address.port);
        let tcp = timeout(CONNECT, TcpStream::connect((host, port)))
            .await
            .map_err(|_| ClientError::Timeout(self.address.to_string(), CONNECT))?
            .map_err(|error| ClientError::Unreachable(self.address.to_string(), error))?;
        match &self.tls {
            None => self.over(tcp, request).await,
            Some(connector) => {
                let stream = connector
                    .connect(host, tcp)
                    .await
                    .map_err(|error| ClientError::Tls(self.address.to_string(), error))?;
                self.over(stream, request).await
            }
        }
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let broken = |error| ClientError::Broken(self.address.to_string(), error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            self.read(response).await
        };
        tokio::pin!(connection, answer);
        // The connection moves the bytes of the answer: both are polled, until the answer is there.
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Response<Bytes>, ClientError> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => ClientError::Broken(self.address.to_string(), *error),
                Err(_) => ClientError::TooLarge(self.address.to_string()),
            })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// The document in a whole answer.
fn read(place: String, status: StatusCode, body: &Bytes) -> Result<Value, ClientError> {
    if status.is_client_error() || status.is_server_error() {
        let refusal = Refusal::read(place, status, body);
        return Err(ClientError::Refused(Box::new(refusal)));
    }
    let document = if !status.is_success() {
        None
    } else if body.is_empty() {
        Some(Value::Null)
    } else {
        serde_json::from_slice(body).ok()
    };
    let status = status.as_u16();
    document.ok_or(ClientError::NotJson { place, status })
}

/// Percent-encodes for a form (or a query), so that any reader reads the same bytes back.
pub(super) fn form_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
