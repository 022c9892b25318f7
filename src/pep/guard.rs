//! The bodies on their way through, each under what its exchange runs under: bytes count against the
//! budget as they pass, and nothing passes once the grant or the task is over.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::cut::Slot;
use super::gate::InboundLimits;
use super::rewrite::clean_answer;
use super::running::{Late, Running};
use crate::base::{BootInstant, Clock, IdleTimer};
use crate::model::EndReason;
use crate::upstream::Received;
use crate::wire::{Body, BodyError};

/// A response body under guard.
pub(super) struct Guarded {
    body: Received,
    running: Rc<Running>,
    slot: Rc<Slot>,
    /// Whether the body came to its own end.
    complete: bool,
}

impl Guarded {
    /// Guards `body`; from now on `slot`, which is armed, cuts it.
    pub(super) fn new(body: Received, running: Rc<Running>, slot: Rc<Slot>) -> Self {
        slot.begin();
        Self {
            complete: body.is_end_stream(),
            body,
            running,
            slot,
        }
    }

    /// Why nothing more may pass, if that is so.
    fn over(&self) -> Option<EndReason> {
        self.running.ended().or_else(|| self.slot.withdrawn())
    }

    fn cut(&self, reason: EndReason) -> BodyError {
        self.running.cut(reason);
        BodyError::Cut(reason.as_str())
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(reason) = this.over() {
            return Poll::Ready(Some(Err(this.cut(reason))));
        }
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => {
                this.running
                    .note(|record| record.detail = Some("the service broke off".to_owned()));
                return Poll::Ready(Some(Err(error)));
            }
            Poll::Ready(None) => {
                this.complete = true;
                return Poll::Ready(None);
            }
            Poll::Pending => return Poll::Pending,
        };
        let frame = match frame.into_trailers() {
            Ok(mut trailers) => {
                clean_answer(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if this.running.pass_out(bytes).is_err() {
            return Poll::Ready(Some(Err(this.cut(EndReason::Exhausted))));
        }
        this.complete = this.body.is_end_stream();
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(reason) = self.over()
            && !self.complete
        {
            self.running.cut(reason);
        }
        self.slot.disarm();
    }
}

/// A request body under guard. Before the exchange is permitted it only keeps time.
pub(super) struct Upload {
    body: Incoming,
    clock: Clock,
    idle: IdleTimer,
    /// When the whole body has to be there, however lively it comes; never, for one that is a stream.
    deadline: Option<BootInstant>,
    under: Option<Rc<Running>>,
    /// What becomes of its trailers: they go on only where the protocol has a use for them.
    trailers: Option<TrailerFilter>,
}

/// Leaves of a request's trailers what may be passed on.
type TrailerFilter = Box<dyn Fn(HeaderMap) -> HeaderMap>;

impl Upload {
    pub(super) fn new(body: Incoming, clock: &Clock, limits: &InboundLimits) -> Self {
        Self {
            deadline: Some(clock.now() + limits.request_timeout),
            body,
            clock: clock.clone(),
            idle: IdleTimer::new(clock, limits.body_idle_timeout),
            under: None,
            trailers: None,
        }
    }

    /// It is one side of a call that goes on for as long as both have something to say: no pause is too
    /// long that the answer's side could make too, and its trailers, as `filter` leaves them, are part of
    /// it.
    pub(super) fn streaming(
        mut self,
        pause: Duration,
        filter: impl Fn(HeaderMap) -> HeaderMap + 'static,
    ) -> Self {
        self.idle = IdleTimer::new(&self.clock, pause);
        self.deadline = None;
        self.trailers = Some(Box::new(filter));
        self
    }

    /// From now on every byte passes under `running`.
    pub(super) fn under(mut self, running: &Rc<Running>) -> Self {
        self.under = Some(Rc::clone(running));
        self
    }

    pub(super) fn into_body(self) -> Body {
        Body::stream(self)
    }

    fn late(&self, late: Late) -> BodyError {
        if let Some(running) = &self.under {
            running.note_late(late);
        }
        BodyError::Idle
    }

    fn pass(&self, frame: &Frame<Bytes>) -> Result<(), BodyError> {
        let Some(running) = &self.under else {
            return Ok(());
        };
        let trailers = frame.trailers_ref().map_or(0, size);
        let bytes = frame.data_ref().map_or(trailers, Bytes::len);
        let over = match running.pass_in(bytes, self.clock.now()) {
            Ok(()) => running.ended(),
            Err(_) => Some(EndReason::Exhausted),
        };
        match over {
            None => Ok(()),
            Some(reason) => {
                running.cut(reason);
                Err(BodyError::Cut(reason.as_str()))
            }
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let late = |deadline| this.clock.now() >= deadline;
                if this.deadline.is_some_and(late) {
                    return Poll::Ready(Some(Err(this.late(Late::Body))));
                }
                this.idle.moved();
                let frame = match (frame.into_trailers(), &this.trailers) {
                    (Err(frame), _) => frame,
                    (Ok(trailers), Some(filter)) => Frame::trailers(filter(trailers)),
                    // Trailers of a request are headers that nobody has looked at.
                    (Ok(_), None) => return Poll::Ready(None),
                };
                Poll::Ready(Some(this.pass(&frame).map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::transport(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if this.idle.poll_idle(context).is_ready() => {
                Poll::Ready(Some(Err(this.late(Late::Pause))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The bytes of trailers: they count like others, so that nothing is smuggled past a budget in them.
fn size(trailers: &HeaderMap) -> usize {
    let sizes = trailers.iter();
    sizes
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}
