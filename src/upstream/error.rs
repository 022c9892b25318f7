//! What goes wrong on the way to a service: before anything is served ([`UpstreamError`]), and with
//! one request ([`SendError`]).
//!
//! No message holds a header's value: an upstream's words are not ours to repeat, and the injected
//! credential is one of them.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use super::Http1Error;
use crate::model::ServiceName;
use crate::tls::TlsError;

/// Why a service or its credential can't be used as configured.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// A credential that no header can carry, or none at all.
    #[error("`{0}` holds no valid header value")]
    CredentialInvalid(String),
    /// A credential whose environment variable is not set.
    #[error("`{0}` is not set")]
    CredentialMissing(String),
    /// A credential that is more than one.
    #[error("`{0}` is longer than 8 KiB")]
    CredentialTooLong(String),
    /// A credential whose file can't be read.
    #[error("can't read `{0}`")]
    CredentialUnreadable(String, #[source] io::Error),
    /// TLS files that changed each time they were read.
    #[error("the TLS files of service `{0}` change while they are read")]
    FilesMoving(ServiceName),
    /// An address that leads to the machine's own network or to its cloud's secrets.
    #[error("{0} is link-local or a cloud's metadata service")]
    Forbidden(Place),
    /// A service without an address.
    #[error("service `{0}` has no address")]
    NoAddress(ServiceName),
    /// A Unix socket with a path that the system can't take.
    #[error("{0} is not the path of a socket: it has to be absolute, and no longer than 107 bytes")]
    NoSocket(Place),
    /// An address without a port.
    #[error("{0} has no port")]
    NoPort(Place),
    /// TLS files that can't be used.
    #[error("the TLS files of service `{service}` can't be used")]
    Tls {
        /// The service.
        service: ServiceName,
        /// What is wrong with them.
        #[source]
        source: TlsError,
    },
}

/// Why a request got no answer that can be passed on.
#[derive(Debug, Error)]
pub enum SendError {
    /// The connection broke off, or what came is not HTTP.
    #[error("{place} broke off")]
    BrokeOff {
        /// Where.
        place: Place,
        /// How.
        #[source]
        source: BreakError,
    },
    /// No connection; no byte was sent.
    #[error("can't connect to {place}")]
    Connect {
        /// Where.
        place: Place,
        /// Why not.
        #[source]
        source: ConnectError,
    },
    /// The process has as many files open as it may have: not the upstream's doing, and no byte was sent.
    #[error("no file descriptor is left to connect to {place}")]
    NoDescriptor {
        /// Where.
        place: Place,
    },
    /// As many exchanges as may run do, and as many wait as may.
    #[error("{place} is busy")]
    Overloaded {
        /// Where.
        place: Place,
    },
    /// The request or the answer can be read two ways, or asks for what is not done here.
    #[error("{place}: {fault}")]
    Protocol {
        /// Where.
        place: Place,
        /// What.
        fault: Fault,
    },
    /// The body of the request broke off before it was sent whole: not the upstream's doing.
    #[error("the body of the request to {place} broke off")]
    RequestBody {
        /// Where it was going.
        place: Place,
        /// How.
        #[source]
        source: BreakError,
    },
    /// Too slow.
    #[error("{place} took too long {phase}")]
    Timeout {
        /// Where.
        place: Place,
        /// At what.
        phase: Phase,
    },
    /// No TLS; no byte of the request was sent.
    #[error("can't speak TLS with {place}")]
    Tls {
        /// Where.
        place: Place,
        /// Why not.
        #[source]
        source: TlsError,
    },
}

impl SendError {
    /// Whether the upstream took too long.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether the request has certainly not reached an upstream.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::NoDescriptor { .. }
                | Self::Overloaded { .. }
                | Self::Timeout {
                    phase: Phase::Connect,
                    ..
                }
                | Self::Tls { .. }
        )
    }
}

/// How a connection broke off under an exchange.
#[derive(Debug, Error)]
pub enum BreakError {
    /// Over HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] Http1Error),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name leads only to addresses that are never connected to.
    #[error("`{0}` is link-local or a cloud's metadata service")]
    Forbidden(IpAddr),
    /// The other side speaks HTTP/2, and takes no WebSockets over it.
    #[error(
        "it takes no WebSockets over HTTP/2 (RFC 8441), which the service is configured to speak"
    )]
    NoWebSockets,
    /// The other side did not agree to HTTP/2.
    #[error("it does not offer HTTP/2, which the service is configured to speak")]
    NoHttp2,
    /// HTTP/2 could not begin.
    #[error("HTTP/2 could not begin")]
    Http2(#[source] hyper::Error),
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// The name can't be looked up.
    #[error("the name can't be looked up")]
    Resolve(#[source] io::Error),
    /// The network said no.
    #[error("the network refused")]
    Socket(#[source] io::Error),
}

impl ConnectError {
    /// The same error once more, where it is about a name: a look-up's failure is told to all that
    /// wait for it.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Forbidden(address) => Self::Forbidden(*address),
            Self::Resolve(error) => Self::Resolve(io::Error::new(error.kind(), error.to_string())),
            _ => Self::NoAddress,
        }
    }
}

/// What can't be passed on without guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The answer's head is larger than what is read of one.
    #[error("the head of the answer is too large")]
    AnswerHeadTooLarge,
    /// The answer's length is said twice or in two ways.
    #[error("the length of the answer is ambiguous")]
    AnswerLength,
    /// More header lines than are read.
    #[error("the answer has too many header lines")]
    AnswerTooManyHeaders,
    /// The method makes a tunnel of the connection.
    #[error("CONNECT is not forwarded")]
    Connect,
    /// A protocol switch to something else than was asked for.
    #[error("it switches to something else than the WebSocket that it was asked for")]
    Handshake,
    /// More interim answers (1xx) than are waited through.
    #[error("it sends interim answers without end")]
    InterimAnswers,
    /// The request has a header field that can't be written.
    #[error("a header field of the request can't be written")]
    RequestField,
    /// The request has no host that a header can carry.
    #[error("the host of the request is missing or ambiguous")]
    RequestHost,
    /// The request's length is said twice, or is not its body's.
    #[error("the length of the request is ambiguous")]
    RequestLength,
    /// An answer that comes before the request.
    #[error("it answers before it is asked")]
    Unasked,
    /// A protocol switch that nobody asked for.
    #[error("it switches protocols unasked")]
    Upgrade,
}

impl Fault {
    /// Whether it lies in the request, and so is not the upstream's.
    pub(super) const fn is_of_request(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::RequestField | Self::RequestHost | Self::RequestLength
        )
    }
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// To a connection that is ready to use.
    Connect,
    /// To the answer's head.
    Response,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "to connect",
            Self::Response => "to answer",
        })
    }
}

/// A service at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The service.
    pub service: ServiceName,
    /// The address, as it is configured.
    pub address: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service `{}` at `{}`", self.service, self.address)
    }
}
