//! A connection while one exchange has it.

use std::cell::Cell;
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{Request, StatusCode};
use http_body::Frame;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use tokio::sync::OwnedSemaphorePermit;

use super::connect::Elapsed;
use super::http1::{Connection, Failure};
use super::lane::Lane;
use super::outgoing::{Outgoing, Progress};
use super::socket::{Stream, Watch};
use super::target::Address;
use super::{BreakError, Fault, Http1Error, framing};
use crate::base::{Clock, IdleTimer};
use crate::wire::Outbound;

/// The shortest time that is waited at once, so that a timeout of zero does not spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A connection.
pub(super) enum Link {
    Http1(Box<Connection>),
    Http2(Http2),
}

/// The most exchanges on one connection, whatever the other side would take: its bytes come in order,
/// so that one lost packet stops them all.
pub(super) const MOST_STREAMS: u32 = 128;

/// A connection that exchanges share. It closes when the last of them has let go of it.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    sender: http2::SendRequest<Outgoing>,
    watch: Watch,
    /// How many streams the other side takes.
    most: Rc<Cell<usize>>,
    /// Counts the handles: the lane's, and one for each exchange.
    handles: Rc<()>,
}

impl Http2 {
    pub(super) fn new(
        sender: http2::SendRequest<Outgoing>,
        watch: Watch,
        most: Rc<Cell<usize>>,
    ) -> Self {
        let handles = Rc::new(());
        Self {
            sender,
            watch,
            most,
            handles,
        }
    }

    /// Whether one more exchange has a place, asked of the lane's own handle.
    pub(super) fn has_room(&self) -> bool {
        Rc::strong_count(&self.handles) <= self.most.get().min(MOST_STREAMS as usize)
    }

    /// Whether nothing runs, asked of the lane's own handle.
    pub(super) fn is_unused(&self) -> bool {
        Rc::strong_count(&self.handles) == 1
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.handles, &other.handles)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.sender.is_closed() || self.watch.has_ended()
    }
}

/// The head of an answer, and where its content comes from.
pub(super) struct Answer {
    pub(super) head: Parts,
    pub(super) content: Content,
}

/// Where the content of an answer comes from.
pub(super) enum Content {
    /// The connection.
    Http1,
    /// A stream of the connection.
    Http2(Incoming),
}

/// Why an exchange got no answer.
pub(super) enum ExchangeError {
    /// HTTP failed.
    Broken(BreakError),
    /// The request or the answer has more than one reading.
    Fault(Fault),
    /// The head did not come in time.
    Late,
    /// The other side says that it has not looked at the request (RFC 9113 §8.7).
    Unprocessed(BreakError),
    /// The connection was dead before a byte was written.
    Unsent(Box<Outbound<Outgoing>>, BreakError),
}

impl From<Fault> for ExchangeError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Failure> for ExchangeError {
    fn from(failure: Failure) -> Self {
        match (failure.error, failure.unsent) {
            (Http1Error::Fault(fault), _) => Self::Fault(fault),
            (error, Some(request)) => Self::Unsent(request, error.into()),
            (error, None) => Self::Broken(error.into()),
        }
    }
}

impl From<TrySendError<Request<Outgoing>>> for ExchangeError {
    fn from(mut error: TrySendError<Request<Outgoing>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request.into()), error.into_error().into()),
            None => match error.into_error() {
                error if is_unprocessed(&error) => Self::Unprocessed(error.into()),
                error => Self::Broken(error.into()),
            },
        }
    }
}

impl Link {
    /// A timer for such a time: the last exchange's, where there is one, which saves setting another.
    fn patience(&mut self, clock: &Clock, timeout: Duration) -> IdleTimer {
        let kept = match self {
            Self::Http1(connection) => connection.patience.take(),
            Self::Http2(_) => None,
        };
        let kept = kept.filter(|kept| kept.timeout() == timeout);
        kept.unwrap_or_else(|| IdleTimer::new(clock, timeout))
    }

    /// Sends a request and waits for the answer's head; gives the request back if the connection was dead
    /// before a byte was written. With a `websocket_key` it asks for a WebSocket, in the way of HTTP/2
    /// (RFC 8441 §5) without the key.
    pub(super) async fn send(
        &mut self,
        request: Box<Outbound<Outgoing>>,
        address: &Address,
        websocket_key: Option<&str>,
    ) -> Result<Answer, ExchangeError> {
        match self {
            Self::Http1(connection) => {
                let sent = connection.send(request, &address.authority, websocket_key);
                let head = sent.await?;
                let content = Content::Http1;
                Ok(Answer { head, content })
            }
            Self::Http2(link) => {
                let request = framing::for_http2(*request, &address.authority, address.tls)?;
                let request = match websocket_key {
                    Some(_) => framing::connect_to_websocket(request)?,
                    None => request,
                };
                let (head, body) = link.sender.try_send_request(request).await?.into_parts();
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(Fault::Upgrade.into());
                }
                framing::judge(&head.headers)?;
                let content = Content::Http2(body);
                Ok(Answer { head, content })
            }
        }
    }
}

/// A connection, and the place among its lane's exchanges that goes with it.
pub(super) struct Lease {
    pub(super) lane: Rc<Lane>,
    pub(super) link: Link,
    /// Whether the connection has served before, and so may be dead by now.
    pub(super) pooled: bool,
    permit: OwnedSemaphorePermit,
    /// The lane's age when the exchange began.
    age: u64,
}

impl Lease {
    pub(super) fn new(
        lane: Rc<Lane>,
        link: Link,
        pooled: bool,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            age: lane.age(),
            lane,
            link,
            pooled,
            permit,
        }
    }

    /// Gives up the connection, for other exchanges too, but not the place.
    pub(super) fn into_place(self) -> (Rc<Lane>, OwnedSemaphorePermit) {
        self.lane.forget(&self.link);
        (self.lane, self.permit)
    }

    /// Sends the request and waits for the answer's head.
    pub(super) async fn exchange(
        &mut self,
        clock: &Clock,
        timeout: Duration,
        request: Box<Outbound<Outgoing>>,
        websocket_key: Option<&str>,
    ) -> Result<Answer, ExchangeError> {
        if !self.pooled
            && let Link::Http1(connection) = &mut self.link
            && connection.has_spoken()
        {
            return Err(Fault::Unasked.into());
        }
        let progress = request.body.progress();
        let mut patience = self.link.patience(clock, timeout.max(SHORTEST_WAIT));
        let sent = {
            let sent = pin!(self.link.send(request, &self.lane.address, websocket_key));
            in_time(clock, &mut patience, &progress, sent).await
        };
        if let Link::Http1(connection) = &mut self.link {
            connection.patience = Some(patience);
        }
        sent.unwrap_or_else(|Elapsed| {
            // A connection that is silent to one exchange may be dead for all that would follow.
            self.lane.forget(&self.link);
            Err(ExchangeError::Late)
        })
    }

    /// What comes next of an answer over HTTP/1.1.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        match &mut self.link {
            Link::Http1(connection) => connection.poll_frame(context),
            Link::Http2(_) => Poll::Ready(None),
        }
    }

    /// The connection of an exchange over HTTP/1.1.
    pub(super) fn http1(&self) -> Option<&Connection> {
        match &self.link {
            Link::Http1(connection) => Some(connection),
            Link::Http2(_) => None,
        }
    }

    /// Ends the exchange cleanly: the connection may serve again, if it says so itself.
    pub(super) fn give_back(self) {
        if let Link::Http1(mut connection) = self.link
            && connection.rest()
        {
            self.lane.take_back(connection, self.age);
        }
    }

    /// What is left of an HTTP/1.1 connection that has switched protocols, and its place.
    pub(super) fn into_stream(self) -> Option<(Stream, Bytes, OwnedSemaphorePermit)> {
        let Link::Http1(connection) = self.link else {
            return None;
        };
        let (stream, unread) = connection.into_stream()?;
        Some((stream, unread, self.permit))
    }
}

/// Whether the other side has said that it did nothing for the stream and never will: by refusing it, or
/// by a goodbye that names an earlier one as the last. Only streams above that one break off for it.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (refused || error.is_go_away());
        }
        source = cause.source();
    }
    false
}

/// Waits for the head no longer than `patience` has, counted from when the upstream was given the last
/// byte of the request, or the last that it would take. While the client is still to send, only the
/// client is waited for, and the time does not run.
async fn in_time<T>(
    clock: &Clock,
    patience: &mut IdleTimer,
    progress: &Progress,
    mut sent: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Elapsed> {
    let timeout = patience.timeout();
    // If the upstream's time starts later than now, it can't be over before this.
    patience.moved_at(progress.upstream_since().unwrap_or_else(|| clock.now()));
    poll_fn(|context| {
        if let Poll::Ready(sent) = sent.as_mut().poll(context) {
            return Poll::Ready(Ok(sent));
        }
        while patience.poll_idle(context).is_ready() {
            let now = clock.now();
            let since = progress.upstream_since().unwrap_or(now);
            if now - since >= timeout {
                return Poll::Ready(Err(Elapsed));
            }
            patience.moved_at(since);
        }
        Poll::Pending
    })
    .await
}
