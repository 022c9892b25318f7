//! A request on its way out: head and content, as fast as the content comes and the other side takes it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http::header::HeaderName;
use http::uri::Authority;
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;
use tokio::task::{AbortHandle, spawn_local};

use super::request::{Framing, announced_trailers, write_head, write_trailers};
use super::{Failure, Http1Error};
use crate::upstream::OutgoingError;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::socket::Stream;
use crate::wire::Outbound;

/// So many pieces go out before somebody looks whether the answer has come: an upload that never has to
/// wait must not keep the answer waiting.
const PIECES_AT_ONCE: usize = 8;

/// A request that is being sent.
pub(super) struct Upload {
    request: Box<Outbound<Outgoing>>,
    /// Whether a byte of it has left.
    begun: bool,
    framing: Framing,
    trailers: Vec<HeaderName>,
    /// What goes out next: lines, then data, then the bytes behind it. What has left is taken away.
    lines: Vec<u8>,
    lines_sent: usize,
    data: Bytes,
    tail: &'static [u8],
    /// Whether nothing comes behind that.
    last: bool,
    /// The trailers among the lines, until a byte has left.
    trailers_taken: Option<Box<HeaderMap>>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Some is still to be sent.
    Sending,
    /// The other side takes no more.
    Stopped,
    /// All is with the kernel.
    Sent,
}

impl Upload {
    /// Makes the head ready. `lines` is memory to use; what it holds is lost.
    pub(super) fn begin(
        mut request: Box<Outbound<Outgoing>>,
        mut lines: Vec<u8>,
        address: &Authority,
        websocket_key: Option<&str>,
    ) -> Result<Self, Http1Error> {
        lines.clear();
        let framing = write_head(&mut lines, &mut request, address, websocket_key)?;
        let trailers = match framing {
            Framing::Chunked => announced_trailers(&request.fields),
            Framing::Length(_) => Vec::new(),
        };
        let last = framing == Framing::Length(0);
        if last {
            request.body.finish();
        }
        Ok(Self {
            request,
            begun: false,
            framing,
            trailers,
            lines,
            lines_sent: 0,
            data: Bytes::new(),
            tail: b"",
            last,
            trailers_taken: None,
            state: State::Sending,
        })
    }

    /// Whether the whole request is with the kernel.
    pub(super) fn is_sent(&self) -> bool {
        self.state == State::Sent
    }

    /// Whether a byte of the request has left.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether there is still something to send, and somebody who takes it.
    pub(super) fn goes_on(&self) -> bool {
        self.state == State::Sending
    }

    /// The memory for the next request's lines.
    pub(super) fn into_lines(self) -> Vec<u8> {
        self.lines
    }

    /// Fails with `error`; the request comes back if no byte of it has left.
    pub(super) fn fail(mut self, error: Http1Error) -> Failure {
        let unsent = !self.begun && matches!(error, Http1Error::Io(_));
        if unsent {
            let trailers = self.trailers_taken.map(|trailers| *trailers);
            self.request.body.put_back(self.data, trailers);
        }
        Failure {
            error,
            unsent: unsent.then_some(self.request),
        }
    }

    /// Sends on. `false`: there may be more that could go at once. An error of the network is final for the
    /// upload, but the answer may lie in the kernel by then.
    pub(super) fn poll_send(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<bool, Http1Error>> {
        for _ in 0..PIECES_AT_ONCE {
            if self.data.is_empty() && !self.last {
                match self.poll_content(context) {
                    Poll::Ready(piece) => piece?,
                    Poll::Pending if self.is_written() => {
                        // TLS may hold back what it has taken.
                        ready!(self.poll_flush(stream, context))?;
                        return Poll::Pending;
                    }
                    // Head and first piece leave together, but the head does not wait for it.
                    Poll::Pending => {}
                }
            }
            ready!(self.poll_write(stream, context)).inspect_err(|_| self.stop())?;
            if self.last {
                ready!(self.poll_flush(stream, context))?;
                self.state = State::Sent;
                return Poll::Ready(Ok(true));
            }
        }
        Poll::Ready(Ok(false))
    }

    fn stop(&mut self) {
        self.state = State::Stopped;
    }

    fn poll_flush(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Http1Error>> {
        let flushed = Pin::new(stream).poll_flush(context);
        flushed.map_err(|error| {
            self.stop();
            Http1Error::Io(error)
        })
    }

    fn is_written(&self) -> bool {
        self.lines_sent == self.lines.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Writes all that is at hand.
    fn poll_write(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Http1Error>> {
        while !self.is_written() {
            let lines = self.lines.get(self.lines_sent..).unwrap_or_default();
            let slices = [lines, &self.data, self.tail].map(IoSlice::new);
            let written = Pin::new(&mut *stream).poll_write_vectored(context, &slices);
            match ready!(written).map_err(Http1Error::Io)? {
                0 => return Poll::Ready(Err(Http1Error::Io(io::ErrorKind::WriteZero.into()))),
                written => self.take_away(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take_away(&mut self, mut written: usize) {
        self.begun = true;
        let lines = (self.lines.len() - self.lines_sent).min(written);
        self.lines_sent += lines;
        written -= lines;
        let data = self.data.len().min(written);
        self.data.advance(data);
        written -= data;
        self.tail = self.tail.get(written..).unwrap_or_default();
        if self.lines_sent == self.lines.len() {
            self.lines.clear();
            self.lines_sent = 0;
        }
    }

    /// Puts the next piece of content behind what is still to go.
    fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Http1Error>> {
        if !self.tail.is_empty() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let frame = ready!(Pin::new(&mut self.request.body).poll_frame(context));
            let frame = frame.transpose().map_err(Http1Error::Request)?;
            let data = match frame.map(Frame::into_data) {
                None => return Poll::Ready(self.end(None)),
                Some(Err(other)) => return Poll::Ready(self.end(other.into_trailers().ok())),
                Some(Ok(data)) => data,
            };
            // A chunk of no bytes would be the last.
            if !data.is_empty() {
                return Poll::Ready(self.put(data));
            }
        }
    }

    fn put(&mut self, data: Bytes) -> Result<(), Http1Error> {
        let size = data.len() as u64;
        match &mut self.framing {
            Framing::Chunked => {
                // Into memory, which takes it.
                let _written = write!(self.lines, "{size:x}\r\n");
                self.last = self.request.body.is_end_stream();
                self.tail = if self.last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
            }
            Framing::Length(left) => {
                let length = Http1Error::Request(OutgoingError::Length);
                *left = left.checked_sub(size).ok_or(length)?;
                self.last = *left == 0;
            }
        }
        self.data = data;
        Ok(())
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Http1Error> {
        match (self.framing, trailers) {
            (Framing::Length(0), _) => {}
            (Framing::Length(_), _) => return Err(Http1Error::Request(OutgoingError::Length)),
            (Framing::Chunked, None) => self.tail = b"0\r\n\r\n",
            (Framing::Chunked, Some(trailers)) => {
                write_trailers(&mut self.lines, &trailers, &self.trailers);
                if !self.begun {
                    self.trailers_taken = Some(Box::new(trailers));
                }
            }
        }
        self.last = true;
        Ok(())
    }
}

/// An upload that goes on beside an early answer, whether or not anybody reads that. Dropping it ends it.
pub(super) struct Beside {
    task: AbortHandle,
    outcome: Rc<Outcome>,
}

#[derive(Default)]
struct Outcome {
    failure: RefCell<Option<Http1Error>>,
    waker: RefCell<Option<Waker>>,
}

impl Beside {
    pub(super) fn spawn(mut upload: Upload, stream: Rc<RefCell<Stream>>) -> Self {
        let outcome = Rc::<Outcome>::default();
        let told = Rc::clone(&outcome);
        let task = spawn_local(async move {
            let sent = poll_fn(|context| {
                let sent = upload.poll_send(&mut stream.borrow_mut(), context);
                if let Poll::Ready(Ok(false)) = sent {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                sent
            });
            // That the other side takes no more is no fault of its answer.
            if let Err(error @ Http1Error::Request(_)) = sent.await {
                *told.failure.borrow_mut() = Some(error);
                if let Some(waker) = told.waker.take() {
                    waker.wake();
                }
            }
        });
        let task = task.abort_handle();
        Self { task, outcome }
    }

    /// How the request has broken off, if it has; else `context` is woken when it does.
    pub(super) fn poll_failure(&self, context: &mut Context<'_>) -> Option<Http1Error> {
        let failure = self.outcome.failure.take();
        if failure.is_none() {
            let mut waker = self.outcome.waker.borrow_mut();
            match &mut *waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
        }
        failure
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.task.abort();
    }
}
