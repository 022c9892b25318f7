//! The body of an answer, which holds the connection that it comes over.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::lease::Lease;
use super::outgoing::Progress;
use crate::base::IdleTimer;
use crate::wire::BodyError;

/// The body of an answer. Read to its end, it gives its connection back to the pool; dropped
/// before, it closes the connection (HTTP/1.1) or resets the stream (HTTP/2), and drains nothing.
pub struct Received {
    body: Incoming,
    /// `None` once the exchange is over.
    lease: Option<Lease>,
    /// Whether the connection may serve again.
    reusable: bool,
    idle: Option<IdleTimer>,
    /// The request, where it had not ended when the answer began.
    request: Option<Rc<Progress>>,
}

impl Received {
    pub(super) fn new(
        body: Incoming,
        lease: Lease,
        reusable: bool,
        idle: Option<IdleTimer>,
        request: Option<Rc<Progress>>,
    ) -> Self {
        let mut received = Self {
            body,
            lease: Some(lease),
            reusable,
            idle,
            request,
        };
        received.settle_if_over();
        received
    }

    /// Whoever serves this body stops asking when it says that it is over.
    fn settle_if_over(&mut self) {
        if self.body.is_end_stream() {
            self.settle();
        }
    }

    fn settle(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.reusable
        {
            lease.give_back();
        }
    }

    /// Lets go of the connection with the exchange unfinished.
    fn abandon(&mut self) {
        self.lease = None;
        if let Some(request) = self.request.take() {
            request.abandon();
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Pending => {
                let stalled = this
                    .idle
                    .as_mut()
                    .is_some_and(|idle| idle.poll_idle(context).is_ready());
                if !stalled {
                    return Poll::Pending;
                }
                this.abandon();
                Poll::Ready(Some(Err(BodyError::Idle)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(idle) = &mut this.idle {
                    idle.moved();
                }
                this.settle_if_over();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.abandon();
                Poll::Ready(Some(Err(BodyError::Transport(error))))
            }
            Poll::Ready(None) => {
                this.settle();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("over", &self.lease.is_none())
            .field("reusable", &self.reusable)
            .finish_non_exhaustive()
    }
}
