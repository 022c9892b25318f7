//! The body of a request on its way out, and how far it has come.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::base::{BootInstant, Clock};
use crate::wire::{Body, BodyError};

/// A request body that keeps its [`Progress`].
pub(super) struct Outgoing {
    body: Body,
    /// Bytes that the declared length still has room for.
    left: Option<u64>,
    progress: Rc<Progress>,
}

/// How far a request has come.
#[derive(Debug)]
pub(super) struct Progress {
    clock: Clock,
    state: Cell<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
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
        let now = clock.now();
        let state = if body.is_end_stream() {
            State::Ended(now)
        } else {
            State::Taken(now)
        };
        let progress = Rc::new(Progress {
            clock: clock.clone(),
            state: Cell::new(state),
        });
        Self {
            left: body.size_hint().exact(),
            body,
            progress,
        }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    /// Makes the body end after `length` bytes, whatever it thinks itself.
    pub(super) const fn declare(&mut self, length: u64) {
        self.left = Some(length);
    }

    fn note(&mut self, frame: &Frame<Bytes>) {
        let now = self.progress.clock.now();
        let mut ended = frame.is_trailers() || self.body.is_end_stream();
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            *left = left.saturating_sub(data.len() as u64);
            // HTTP/1 does not ask for the end of a body whose declared bytes it has.
            ended |= *left == 0;
        }
        self.progress.state.set(if ended {
            State::Ended(now)
        } else {
            State::Taken(now)
        });
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
            State::Waiting => None,
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Pending => this.progress.state.set(State::Waiting),
            Poll::Ready(Some(Ok(frame))) => this.note(frame),
            Poll::Ready(Some(Err(_))) => {
                let now = this.progress.clock.now();
                this.progress.state.set(State::Failed(now));
            }
            Poll::Ready(None) => {
                let now = this.progress.clock.now();
                this.progress.state.set(State::Ended(now));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
