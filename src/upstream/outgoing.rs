//! The body of a request on its way out, and how far it has come.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use thiserror::Error;

use crate::base::{BootInstant, Clock};
use crate::wire::{Body, BodyError, Outbound};

/// A request body that keeps its [`Progress`].
pub(super) struct Outgoing {
    body: Body,
    /// What was taken and has come back unsent.
    returned: Bytes,
    returned_trailers: Option<HeaderMap>,
    /// Bytes that the declared length still has room for.
    left: Option<u64>,
    progress: Rc<Progress>,
}

/// A request that is ready to be sent. Boxed: it passes through many hands before its head is written.
pub struct Prepared {
    pub(super) request: Box<Outbound<Outgoing>>,
    /// When it was made ready.
    pub(super) at: BootInstant,
}

impl Prepared {
    pub(super) fn new(request: Outbound<Body>, clock: &Clock) -> Self {
        let at = clock.now();
        let request = request.map(|body| Outgoing::begun(body, clock, at));
        Self {
            request: Box::new(request),
            at,
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("method", &self.request.method)
            .field("fields", &self.request.fields)
            .finish_non_exhaustive()
    }
}

/// Why a request body breaks off.
#[derive(Debug, Error)]
pub enum OutgoingError {
    /// There is no use in sending more.
    #[error("nobody waits for the answer any more")]
    Abandoned,
    /// The client did not send it whole.
    #[error("the client's part broke off")]
    Body(#[source] BodyError),
    /// It is another length than the head said.
    #[error("it is not as long as was said")]
    Length,
}

/// How far a request has come.
#[derive(Debug)]
pub(super) struct Progress {
    clock: Clock,
    state: Cell<State>,
    /// Who is to be woken when the exchange is abandoned.
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nobody waits for the answer any more.
    Abandoned,
    /// The last byte is with HTTP.
    Ended(BootInstant),
    /// The body broke off.
    Failed(BootInstant),
    /// The next piece is the upstream's to take.
    Taken(BootInstant),
    /// The next piece is the client's to send.
    Waiting,
}

impl Outgoing {
    pub(super) fn new(body: Body, clock: &Clock) -> Self {
        Self::begun(body, clock, clock.now())
    }

    fn begun(body: Body, clock: &Clock, now: BootInstant) -> Self {
        let state = if body.is_end_stream() {
            State::Ended(now)
        } else {
            State::Taken(now)
        };
        let progress = Rc::new(Progress {
            clock: clock.clone(),
            state: Cell::new(state),
            waker: RefCell::default(),
        });
        Self {
            left: body.size_hint().exact(),
            body,
            returned: Bytes::new(),
            returned_trailers: None,
            progress,
        }
    }

    /// The same body once more, for a request that was not looked at.
    pub(super) fn again(&self) -> Option<Self> {
        let body = self.body.again()?;
        let clock = &self.progress.clock;
        Some(Self::new(body, clock))
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    /// Says that the body ends after `length` bytes, whatever it knows itself.
    pub(super) const fn declare(&mut self, length: u64) {
        self.left = Some(length);
    }

    /// Says that nothing of the body is to be asked for.
    pub(super) fn finish(&mut self) {
        if !self.progress.has_ended() {
            let now = self.progress.clock.now();
            self.progress.state.set(State::Ended(now));
        }
    }

    /// Takes back what was taken last, so that the body is whole again.
    pub(super) fn put_back(&mut self, data: Bytes, trailers: Option<HeaderMap>) {
        self.left = self.left.map(|left| left + data.len() as u64);
        self.returned = data;
        self.returned_trailers = trailers;
        let now = self.progress.clock.now();
        self.progress.state.set(State::Taken(now));
    }

    fn returned(&mut self) -> Option<Frame<Bytes>> {
        if !self.returned.is_empty() {
            return Some(Frame::data(mem::take(&mut self.returned)));
        }
        self.returned_trailers.take().map(Frame::trailers)
    }

    fn after(&mut self, frame: &Frame<Bytes>) -> State {
        let now = self.progress.clock.now();
        let mut ended = frame.is_trailers() || self.is_end_stream();
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            *left = left.saturating_sub(data.len() as u64);
            // HTTP/1 does not ask for the end of a body whose declared bytes it has.
            ended |= *left == 0;
        }
        if ended {
            State::Ended(now)
        } else {
            State::Taken(now)
        }
    }
}

impl Progress {
    /// Whether HTTP has the whole request.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state.get(), State::Ended(_))
    }

    /// Whether it was the request's body that broke off.
    pub(super) const fn has_failed(&self) -> bool {
        matches!(self.state.get(), State::Failed(_))
    }

    /// Since when it is the upstream that we wait for: `None` while the client is to send more.
    pub(super) const fn upstream_since(&self) -> Option<BootInstant> {
        match self.state.get() {
            State::Ended(at) | State::Failed(at) | State::Taken(at) => Some(at),
            State::Abandoned | State::Waiting => None,
        }
    }

    /// Breaks the request off if it has not ended: letting go of the answer alone leaves an HTTP/2
    /// stream open for as long as the client sends.
    pub(super) fn abandon(&self) {
        if self.has_ended() {
            return;
        }
        self.state.set(State::Abandoned);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = OutgoingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutgoingError>>> {
        let this = self.get_mut();
        if let State::Abandoned = this.progress.state.get() {
            return Poll::Ready(Some(Err(OutgoingError::Abandoned)));
        }
        let polled = match this.returned() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut this.body).poll_frame(context),
        };
        let state = match &polled {
            Poll::Pending => {
                *this.progress.waker.borrow_mut() = Some(context.waker().clone());
                State::Waiting
            }
            Poll::Ready(Some(Ok(frame))) => this.after(frame),
            Poll::Ready(Some(Err(_))) => State::Failed(this.progress.clock.now()),
            Poll::Ready(None) => State::Ended(this.progress.clock.now()),
        };
        this.progress.state.set(state);
        polled.map_err(OutgoingError::Body)
    }

    fn is_end_stream(&self) -> bool {
        self.returned.is_empty() && self.returned_trailers.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        if self.returned.is_empty() {
            return rest;
        }
        let returned = self.returned.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(returned));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(returned));
        }
        hint
    }
}
