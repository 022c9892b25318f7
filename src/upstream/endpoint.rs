//! Where a connection goes in the end, and the plain stream to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};

use super::socket::Plain;

/// A peer that vanished without a word is noticed after this long, under streams that are silent
/// for good reasons too.
pub(super) const PROBE_AFTER: Duration = Duration::from_secs(30);
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// A socket to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    Tcp(SocketAddr),
    Unix(Arc<Path>),
}

impl Endpoint {
    /// Connects, for as long as the system tries: set a deadline.
    pub(super) async fn connect(&self) -> io::Result<Plain> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let probes = TcpKeepalive::new()
                    .with_time(PROBE_AFTER)
                    .with_interval(PROBE_TIMEOUT);
                SockRef::from(&stream).set_tcp_keepalive(&probes)?;
                Ok(Plain::Tcp(stream))
            }
            Self::Unix(path) => Ok(Plain::Unix(UnixStream::connect(path).await?)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
