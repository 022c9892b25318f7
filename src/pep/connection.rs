//! One downstream connection: TLS, the protocol that was agreed on, and the cutting of what runs.

mod closing;
mod http1;
mod http2;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::header::{HeaderValue, InvalidHeaderValue};
use http1::serve_http1;
use http2::serve_http2;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::http2::begins;
use super::session::LastShown;
use super::worker::{Worker, stopped_for};
use crate::config::Protocols;
use crate::tls::{Acceptor, TlsError};
use crate::wire::Peer;

/// How long after the stop connections go on as before. hyper would close one whose first request is
/// still on its way, and its client could not know whether that was served.
const LAST_CALL: Duration = Duration::from_millis(250);

/// What a request knows of the connection that it came over.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: Peer,
    /// The peer's address, as upstreams are told it.
    pub(super) source: HeaderValue,
    pub(super) secure: bool,
    /// Whose token it has shown last.
    pub(super) last_shown: LastShown,
}

/// Why a connection ended before its time.
#[derive(Debug, Error)]
pub(super) enum ConnectionError {
    #[error("the peer's address can't be written down")]
    Address(#[from] InvalidHeaderValue),
    #[error("HTTP broke off")]
    Http(#[from] hyper::Error),
    #[error("the socket failed")]
    Socket(#[from] io::Error),
    #[error("no TLS handshake in time")]
    Slow,
    #[error("the TLS handshake failed")]
    Tls(#[from] TlsError),
}

/// Serves a connection to its end, or until `stop` and the end of what runs on it. Each way of doing so is
/// boxed: an idle connection then takes the room of its own way, not of the largest.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    (tls, protocols): (Option<Acceptor>, Protocols),
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let mut connection = Connection {
        source: HeaderValue::try_from(peer.ip().to_string())?,
        last_shown: LastShown::default(),
        peer: Peer {
            address: peer,
            certificate: None,
        },
        secure: tls.is_some(),
    };
    let Some(acceptor) = tls else {
        return Box::pin(serve_plain(worker, connection, stream, protocols, stop)).await;
    };
    let patience = worker.gate.facts.limits.header_timeout;
    let accepted = timeout(patience, Box::pin(acceptor.accept(stream))).await;
    let stream = accepted.map_err(|_| ConnectionError::Slow)??;
    connection.peer.certificate = stream.peer().map(|peer| peer.thumbprint);
    if stream.is_http2() {
        Box::pin(serve_http2(worker, connection, stream, stop)).await
    } else {
        Box::pin(serve_http1(worker, connection, stream, stop)).await
    }
}

/// Serves a connection without TLS in what the listener speaks, and where that is more than one, in what
/// the client begins with.
async fn serve_plain(
    worker: Rc<Worker>,
    connection: Connection,
    stream: TcpStream,
    protocols: Protocols,
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError> {
    match protocols {
        Protocols::Http1 => Box::pin(serve_http1(worker, connection, stream, stop)).await,
        Protocols::Http2 => Box::pin(serve_http2(worker, connection, stream, stop)).await,
        Protocols::Both => {
            let limits = worker.gate.facts.limits;
            let begun = begins(stream, limits.idle_timeout, limits.header_timeout);
            let begun = tokio::select! {
                begun = begun => begun?,
                () = stopped_for(stop.clone(), LAST_CALL) => None,
            };
            match begun {
                None => Ok(()),
                Some((stream, true)) => {
                    Box::pin(serve_http2(worker, connection, stream, stop)).await
                }
                Some((stream, false)) => {
                    Box::pin(serve_http1(worker, connection, stream, stop)).await
                }
            }
        }
    }
}
