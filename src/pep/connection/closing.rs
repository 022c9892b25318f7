//! The end of a connection: a goodbye that is heard, or none.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ConnectionError;
use crate::pep::http2::Rewound;
use crate::pep::strict::Rest;
use crate::tls::ServerStream;

/// How long a peer may take to take note of the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How long what a peer still sends is thrown away, and how much of it: most clients read the answer when they have
/// sent a body whole, and those see a reset in its place.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

/// So much is thrown away at once.
const LINGER_PIECE: usize = 64 << 10;

/// A stream whose socket can be told to forget what it still holds.
pub(super) trait Resettable {
    fn socket(&self) -> &TcpStream;
}

impl Resettable for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Resettable for Rewound<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

impl Resettable for ServerStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

/// Has the connection reset when it is dropped: what the kernel still holds is not delivered either.
pub(super) fn reset(stream: &impl Resettable) -> Result<(), ConnectionError> {
    Ok(SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO))?)
}

/// Says goodbye (TLS `close_notify`, FIN). Where the client has sent more than was read, its bytes are
/// thrown away for a while (RFC 9112 §9.6): a reset would overtake the last answer.
pub(super) async fn close<S>(rest: Rest<S>) -> Result<(), ConnectionError>
where
    S: AsyncWrite + Resettable + Unpin,
{
    let Rest {
        mut stream, unread, ..
    } = rest;
    let shutdown = poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context));
    match timeout(CLOSE_PATIENCE, shutdown).await {
        Ok(closed) => closed?,
        Err(_) => return Ok(()),
    }
    if unread {
        // However it ends, the connection is over.
        let _ = timeout(LINGER, discard(stream.socket())).await;
    }
    Ok(())
}

async fn discard(socket: &TcpStream) -> io::Result<()> {
    let mut space = vec![0; LINGER_PIECE];
    let mut left = LINGER_BYTES;
    while left > 0 {
        socket.readable().await?;
        match socket.try_read(&mut space) {
            Ok(0) => break,
            Ok(count) => left = left.saturating_sub(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
