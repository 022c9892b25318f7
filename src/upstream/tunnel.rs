//! A connection that has become a WebSocket.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::alone::Streamed;
use super::received::Received;
use super::socket::Stream;

/// What an upstream says that is asked for a WebSocket.
#[derive(Debug)]
pub enum WebSocket {
    /// No: its answer is one like any other.
    Refused(Response<Received>),
    /// Yes.
    Switched(Response<()>, Tunnel),
}

/// The bytes behind a switch, both ways. It keeps its place among the exchanges of its address; dropping
/// it closes the connection.
pub struct Tunnel {
    carrier: Carrier,
    /// What came with the answer's head.
    unread: Bytes,
    idle: Option<Duration>,
    _permit: OwnedSemaphorePermit,
}

/// What the bytes go over.
enum Carrier {
    /// A connection that has become the WebSocket.
    Connection(Stream),
    /// The only stream of a connection.
    Stream(Box<Streamed>),
}

impl Tunnel {
    pub(super) fn over_http2(
        streamed: Streamed,
        idle: Option<Duration>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            carrier: Carrier::Stream(Box::new(streamed)),
            unread: Bytes::new(),
            idle,
            _permit: permit,
        }
    }

    pub(super) const fn new(
        stream: Stream,
        unread: Bytes,
        idle: Option<Duration>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            carrier: Carrier::Connection(stream),
            unread,
            idle,
            _permit: permit,
        }
    }

    /// The longest silence, where the service or the pool sets one.
    #[must_use]
    pub const fn idle_timeout(&self) -> Option<Duration> {
        self.idle
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            return match &mut this.carrier {
                Carrier::Connection(stream) => Pin::new(stream).poll_read(context, buffer),
                Carrier::Stream(stream) => Pin::new(&mut stream.io).poll_read(context, buffer),
            };
        }
        let count = this.unread.len().min(buffer.remaining());
        if let Some(bytes) = this.unread.get(..count) {
            buffer.put_slice(bytes);
        }
        this.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().carrier {
            Carrier::Connection(stream) => Pin::new(stream).poll_write(context, bytes),
            Carrier::Stream(stream) => Pin::new(&mut stream.io).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Connection(stream) => Pin::new(stream).poll_flush(context),
            Carrier::Stream(stream) => Pin::new(&mut stream.io).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Connection(stream) => Pin::new(stream).poll_shutdown(context),
            Carrier::Stream(stream) => Pin::new(&mut stream.io).poll_shutdown(context),
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}
