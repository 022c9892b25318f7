//! Which protocol a client speaks that has no TLS to agree on one: HTTP/2 begins with bytes that are no
//! request of HTTP/1 (RFC 9113 §3.3, "prior knowledge").

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::frames::PREFACE;

/// A stream of which the first bytes were read already.
#[derive(Debug)]
pub(in crate::pep) struct Rewound<S> {
    stream: S,
    unread: BytesMut,
}

/// Reads until it is clear what the client speaks; says whether that is HTTP/2. Nothing where the client
/// ends, or does not say it in time: so long to its first byte, and so long from there on.
///
/// # Errors
///
/// When the socket fails.
pub(in crate::pep) async fn begins<S>(
    mut stream: S,
    idle: Duration,
    head: Duration,
) -> io::Result<Option<(Rewound<S>, bool)>>
where
    S: AsyncRead + Unpin,
{
    let mut unread = BytesMut::with_capacity(PREFACE.len());
    let Ok(first) = timeout(idle, stream.read_buf(&mut unread)).await else {
        return Ok(None);
    };
    if first? == 0 {
        return Ok(None);
    }
    let decided = timeout(head, async {
        loop {
            let count = unread.len().min(PREFACE.len());
            if unread.get(..count) != PREFACE.get(..count) {
                return Ok(false);
            }
            if count == PREFACE.len() {
                return Ok(true);
            }
            if stream.read_buf(&mut unread).await? == 0 {
                // Whatever it was to be, HTTP/1 has an answer to it.
                return Ok(false);
            }
        }
    });
    match decided.await {
        Ok(Ok(http2)) => Ok(Some((Rewound { stream, unread }, http2))),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

impl<S> Rewound<S> {
    pub(in crate::pep) const fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let count = this.unread.len().min(buffer.remaining());
        buffer.put_slice(this.unread.get(..count).unwrap_or_default());
        this.unread.advance(count);
        if this.unread.is_empty() {
            this.unread = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
