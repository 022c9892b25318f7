//! Protected services: how a request finds one, and how the gateway reaches it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::uri::{Authority, PathAndQuery};
use jiff::tz::TimeZone;

use super::ServiceName;

/// A protected service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Which requests are for it.
    pub matches: ServiceMatch,
    /// Where it runs: at least one address.
    pub upstreams: Vec<UpstreamAddress>,
    /// How its certificate is checked and what the gateway shows it.
    pub tls: UpstreamTls,
    /// Which HTTP it is spoken to in.
    pub protocol: UpstreamProtocol,
    /// How its addresses are checked while nobody calls them, if they are.
    pub health: Option<HealthCheck>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// The credential that the gateway adds for it.
    pub inject: Option<Injection>,
    /// The zone in which conditions see its local time.
    pub time_zone: TimeZone,
}

/// Which requests are for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceMatch {
    /// Those for a host name, in lower case and without a port.
    Host(Arc<str>),
    /// Those whose path is or lies below a prefix.
    Path {
        /// The prefix: starts with a slash, does not end with one unless it is `/` itself.
        prefix: Arc<str>,
        /// Whether the prefix is removed before routing and forwarding.
        strip: bool,
    },
}

/// Where a service runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamAddress {
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Host and port, the port always written. For a Unix socket, the host that it is told where a
    /// request names none.
    pub authority: Authority,
    /// The Unix socket that takes the place of host and port.
    pub socket: Option<PathBuf>,
}

/// Which HTTP an upstream is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// HTTP/2 where TLS agrees on it (ALPN), else HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: agreed on over TLS, unasked without it (RFC 9113 §3.3).
    Http2,
}

/// A request that shows whether an address serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// What is asked for, with GET: path and query.
    pub path: PathAndQuery,
    /// From one check of an address to the next.
    pub interval: Duration,
    /// From the start of a check to the head of the answer. Not longer than the interval.
    pub timeout: Duration,
}

/// TLS to an upstream. Files are read and checked when a generation is compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// The authorities whose certificates are believed; the system's where absent.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate and key for this service.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name expected in the certificate, where it is not the address's host.
    pub server_name: Option<Arc<str>>,
}

/// How long an upstream may take; where absent, the gateway's `[limits]` hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// To a connection that is ready to use.
    pub connect: Option<Duration>,
    /// From the end of the request to the response head.
    pub response: Option<Duration>,
    /// Between two pieces of a body.
    pub idle: Option<Duration>,
}

/// A credential that the gateway adds to requests of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The header that carries it.
    pub header: HeaderName,
    /// Where its value is read from.
    pub value_from: CredentialSource,
}

/// Where a credential is read from. The value itself is never part of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CredentialSource {
    /// An environment variable.
    Env(String),
    /// A file; blanks at its end are not part of the value.
    File(PathBuf),
}
