//! One connection: who has it sends a request and reads the answer, and nothing happens in between.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::mem;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::response::Parts;
use http::uri::Authority;
use http::{Method, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncReadExt as _;

use super::Http1Error;
use super::inbound::{Answer, Inbound, Step};
use super::upload::{Beside, Upload};
use crate::base::IdleTimer;
use crate::upstream::Fault;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::socket::{Stream, Watch};
use crate::wire::Outbound;

/// A connection for one exchange at a time. Dropping it closes it.
pub(in crate::upstream) struct Connection {
    /// Shared only with an upload that goes on beside its answer.
    stream: Rc<RefCell<Stream>>,
    watch: Watch,
    inbound: Inbound,
    /// Memory for a request's lines.
    lines: Vec<u8>,
    beside: Option<Beside>,
    /// Whether it serves again once the answer has been read.
    persists: bool,
    /// A timer that exchange after exchange uses.
    pub(in crate::upstream) patience: Option<IdleTimer>,
}

/// Why an exchange got no head.
pub(in crate::upstream) struct Failure {
    pub(in crate::upstream) error: Http1Error,
    /// The request, if no byte of it has left.
    pub(in crate::upstream) unsent: Option<Box<Outbound<Outgoing>>>,
}

impl From<Http1Error> for Failure {
    fn from(error: Http1Error) -> Self {
        Self {
            error,
            unsent: None,
        }
    }
}

impl Connection {
    pub(in crate::upstream) fn new(stream: Stream, watch: Watch) -> Self {
        Self {
            stream: Rc::new(RefCell::new(stream)),
            watch,
            inbound: Inbound::new(),
            lines: Vec::new(),
            beside: None,
            persists: true,
            patience: None,
        }
    }

    /// Sends a request to what is called `address`, and reads the head of the answer. Only with a
    /// `websocket_key` may that be a switch of protocols.
    ///
    /// An answer may come before the request has been sent whole; the rest of that is then sent beside it.
    ///
    /// # Cancellation
    ///
    /// A connection whose future was dropped is good for nothing but to be dropped, too.
    pub(in crate::upstream) async fn send(
        &mut self,
        request: Box<Outbound<Outgoing>>,
        address: &Authority,
        websocket_key: Option<&str>,
    ) -> Result<Parts, Failure> {
        self.persists = false;
        let to_head = request.method == Method::HEAD;
        let lines = mem::take(&mut self.lines);
        let mut upload = Upload::begin(request, lines, address, websocket_key)?;
        let answer = poll_fn(|context| self.poll_exchange(&mut upload, to_head, context)).await;
        let Answer { parts, persists } = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(upload.fail(error)),
        };
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let fault = match websocket_key {
                None => Some(Fault::Upgrade),
                Some(_) => (!upload.is_sent()).then_some(Fault::Handshake),
            };
            if let Some(fault) = fault {
                return Err(Http1Error::Fault(fault).into());
            }
        }
        if upload.is_sent() {
            self.lines = upload.into_lines();
            self.persists = persists;
        } else if upload.goes_on() {
            self.beside = Some(Beside::spawn(upload, Rc::clone(&self.stream)));
        }
        Ok(parts)
    }

    fn poll_exchange(
        &mut self,
        upload: &mut Upload,
        to_head: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Answer, Http1Error>> {
        loop {
            let mut more = false;
            if upload.goes_on() {
                match upload.poll_send(&mut self.stream.borrow_mut(), context) {
                    Poll::Ready(Ok(sent)) => more = !sent,
                    Poll::Pending => {}
                    // Whoever takes no more may have said why.
                    Poll::Ready(Err(Http1Error::Io(_))) if upload.has_begun() => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
            match self.poll_head(to_head, context) {
                Poll::Pending if more => {}
                answer => return answer,
            }
        }
    }

    fn poll_head(
        &mut self,
        to_head: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Answer, Http1Error>> {
        loop {
            if let Some(answer) = self.inbound.head(to_head)? {
                return Poll::Ready(Ok(answer));
            }
            if ready!(self.poll_fill(context))? == 0 {
                return Poll::Ready(Err(if self.inbound.is_empty() {
                    Http1Error::Unanswered
                } else {
                    Http1Error::Truncated
                }));
            }
        }
    }

    /// What comes next of the answer's content.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        if let Some(beside) = &self.beside
            && let Some(error) = beside.poll_failure(context)
        {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match self.inbound.next()? {
                Step::End => return Poll::Ready(None),
                Step::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Step::More => {}
            }
            if ready!(self.poll_fill(context))? == 0 {
                self.inbound.end()?;
            }
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Http1Error>> {
        let mut stream = self.stream.borrow_mut();
        let bytes = self.inbound.room();
        let room = bytes.capacity() - bytes.len();
        let read = pin!(stream.read_buf(bytes)).poll(context);
        let read = ready!(read).map_err(Http1Error::Io)?;
        self.inbound.filled(read, room);
        Poll::Ready(Ok(read))
    }

    /// Whether the answer has been read to its end.
    pub(in crate::upstream) fn is_over(&self) -> bool {
        self.inbound.is_over()
    }

    /// How much of the answer is still to be read.
    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        self.inbound.size_hint()
    }

    /// Ends an exchange. Whether the connection may serve another one: the last is over, and nothing has come
    /// behind it.
    pub(in crate::upstream) fn rest(&mut self) -> bool {
        let serves_again = self.persists && self.inbound.is_over() && self.inbound.is_empty();
        self.inbound.rest();
        serves_again
    }

    /// Whether nothing has come since the last exchange, and the other side has not closed.
    pub(in crate::upstream) fn is_clean(&mut self) -> bool {
        if !self.inbound.is_empty() {
            return false;
        }
        // TLS may hold what it has deciphered, of which the kernel knows nothing, and the kernel what TLS
        // says for itself alone.
        if self.is_tls() && self.poll_fill(&mut idle_context()).is_ready() {
            return false;
        }
        self.watch.is_quiet()
    }

    /// Whether the other side has said something before it was asked for the first time.
    pub(in crate::upstream) fn has_spoken(&mut self) -> bool {
        if self.is_tls() {
            // How it fails, if it does, is told to the exchange.
            let _read = self.poll_fill(&mut idle_context());
            return !self.inbound.is_empty();
        }
        self.watch.holds_bytes()
    }

    fn is_tls(&self) -> bool {
        matches!(&*self.stream.borrow(), Stream::Tls(_))
    }

    /// What is left when HTTP is over: the stream, and what came behind the last head. `None` while a request is
    /// being sent.
    pub(in crate::upstream) fn into_stream(self) -> Option<(Stream, Bytes)> {
        let stream = Rc::into_inner(self.stream)?.into_inner();
        Some((stream, self.inbound.into_bytes()))
    }

    /// Ends the connection in a way that only using it shows.
    #[cfg(test)]
    pub(in crate::upstream) fn poison(&self) {
        self.watch.shut();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("persists", &self.persists)
            .field("over", &self.is_over())
            .finish_non_exhaustive()
    }
}

/// Nobody is to be told when more comes.
fn idle_context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
