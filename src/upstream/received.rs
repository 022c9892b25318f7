//! The body of an answer, which holds the connection that it comes over.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::http1::Connection;
use super::lease::{Content, Lease};
use super::outgoing::Progress;
use crate::base::IdleTimer;
use crate::wire::BodyError;

/// The body of an answer. Read to its end, it gives its connection back to the pool; dropped
/// before, it closes the connection (HTTP/1.1) or resets the stream (HTTP/2), and drains nothing.
pub struct Received {
    content: Content,
    /// `None` once the exchange is over.
    lease: Option<Lease>,
    /// Whether the connection may serve again.
    reusable: bool,
    idle: Option<IdleTimer>,
    /// The request, where it had not ended when the answer began.
    request: Option<Rc<Progress>>,
    /// Whether the body came to its own end.
    over: bool,
}

impl Received {
    pub(super) fn new(
        content: Content,
        lease: Lease,
        reusable: bool,
        idle: Option<IdleTimer>,
        request: Option<Rc<Progress>>,
    ) -> Self {
        let mut received = Self {
            content,
            lease: Some(lease),
            reusable,
            idle,
            request,
            over: false,
        };
        received.settle_if_over();
        received
    }

    fn poll_content(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match (&mut self.content, &mut self.lease) {
            (Content::Http2(body), _) => Pin::new(body)
                .poll_frame(context)
                .map_err(BodyError::transport),
            (Content::Http1, Some(lease)) => {
                lease.poll_frame(context).map_err(BodyError::transport)
            }
            (Content::Http1, None) => Poll::Ready(None),
        }
    }

    /// Whoever serves this body stops asking when it says that it is over.
    fn settle_if_over(&mut self) {
        let over = match &self.content {
            Content::Http1 => {
                let connection = self.lease.as_ref().and_then(Lease::http1);
                connection.is_some_and(Connection::is_over)
            }
            Content::Http2(body) => body.is_end_stream(),
        };
        if over {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.over |= self.lease.is_some();
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
        match this.poll_content(context) {
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
                this.settle_if_over();
                if !this.over
                    && let Some(idle) = &mut this.idle
                {
                    idle.moved();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.abandon();
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.settle();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.content, &self.lease) {
            _ if self.over => SizeHint::with_exact(0),
            (Content::Http2(body), _) => body.size_hint(),
            (Content::Http1, Some(lease)) => {
                let connection = lease.http1();
                connection.map_or_else(SizeHint::default, Connection::size_hint)
            }
            (Content::Http1, None) => SizeHint::default(),
        }
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
