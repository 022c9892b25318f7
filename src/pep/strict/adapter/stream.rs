//! How hyper reads and writes the stream, and how one is watched that it does not read.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Stage, Strict};
use crate::wire::poll_write_gathered;

/// While an answer is on its way, so many bytes of what comes next are taken off the socket: enough to
/// see that the client has gone, and a bound on what it can leave here.
pub(super) const READ_AHEAD: usize = 1024;

/// So many bytes are taken at once of what ends the quiet: most heads are smaller.
const FIRST_READ: usize = 4096;

impl<S: AsyncRead + Unpin> Strict<S> {
    /// Ready when a quiet connection has something for a reader: bytes, or its end. No byte is lost: what
    /// was read is what is read next.
    pub(in crate::pep) fn poll_woken(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.stage, Stage::Head(_)) && self.held.is_empty() && !self.ended {
            let mut space = [MaybeUninit::uninit(); FIRST_READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    ready!(self.poll_patience(context));
                    return Poll::Ready(Ok(()));
                }
            }
            self.held.extend_from_slice(buffer.filled());
            if self.held.is_empty() {
                self.end();
            }
            self.since = Some(self.alarm.now());
        }
        self.verdict.said.quiet.set(false);
        Poll::Ready(Ok(()))
    }

    /// While an answer is on its way nobody reads, so that a client that has gone would be noticed at
    /// the next write only: of a quiet stream, never. One that has merely stopped sending gets its
    /// answer, for as long as that moves.
    fn watch(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.ended && self.held.len() < READ_AHEAD {
            let mut space = [MaybeUninit::uninit(); READ_AHEAD];
            let mut buffer = ReadBuf::uninit(&mut space);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut buffer)
            else {
                return Ok(());
            };
            read?;
            self.ended = buffer.filled().is_empty();
            self.held.extend_from_slice(buffer.filled());
        }
        if self.ended {
            let since = *self.since.get_or_insert_with(|| self.alarm.now());
            let over = self.alarm.poll(since + self.head_patience, context);
            if over.is_ready() {
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.stage, Stage::Head(_)) && this.passed == 0 {
            this.answering = false;
        }
        loop {
            if this.passed > 0 {
                this.hand_over(buffer);
                return Poll::Ready(Ok(()));
            }
            match this.stage {
                Stage::Broken(fault) => {
                    let fault = io::Error::new(io::ErrorKind::InvalidData, fault);
                    return Poll::Ready(Err(fault));
                }
                Stage::Over => return Poll::Ready(Ok(())),
                Stage::Head(_) | Stage::Length(_) | Stage::Chunked(_) => {}
            }
            if this.read_held() {
                continue;
            }
            if this.ended {
                this.end();
                continue;
            }
            let before = buffer.filled().len();
            match Pin::new(&mut this.stream).poll_read(context, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() == before => this.end(),
                Poll::Ready(Ok(())) => {
                    this.read_fresh(before, buffer);
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => ready!(this.poll_patience(context)),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.moved(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let stream = Pin::new(&mut this.stream);
        let written = poll_write_gathered(stream, context, slices);
        this.moved(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes at every turn, so that this is where to look after the client.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.blocked = flushed.is_pending();
        ready!(flushed)?;
        if this.answering && this.passed == 0 && matches!(this.stage, Stage::Head(_)) {
            this.watch(context)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S> Strict<S> {
    /// The answer moves, where it does.
    fn moved(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.blocked = written.is_pending();
        if !self.blocked && self.answering && self.ended {
            self.since = None;
        }
        written
    }
}
