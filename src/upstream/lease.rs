//! A connection while one exchange has it.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::connect::{Elapsed, within};
use super::lane::Lane;
use super::outgoing::{Outgoing, Progress};
use super::socket::Watch;
use crate::base::Clock;

/// The shortest time that is waited at once, so that a timeout of zero does not spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A connection.
pub(super) enum Link {
    Http1(Http1),
    Http2(Http2),
}

/// The most exchanges on one connection, whatever the other side would take: its bytes come in order,
/// so that one lost packet stops them all.
const MOST_STREAMS: usize = 128;

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
        Rc::strong_count(&self.handles) <= self.most.get().min(MOST_STREAMS)
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

impl Link {
    /// Sends a request; gives it back if the connection was dead before a byte was written.
    pub(super) async fn send(&mut self, request: Request<Outgoing>) -> Sent {
        match self {
            Self::Http1(link) => link.sender.try_send_request(request).await,
            Self::Http2(link) => link.sender.try_send_request(request).await,
        }
    }
}

/// A connection for one exchange at a time. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Http1 {
    sender: http1::SendRequest<Outgoing>,
    watch: Watch,
    task: JoinHandle<()>,
}

impl Http1 {
    pub(super) const fn new(
        sender: http1::SendRequest<Outgoing>,
        watch: Watch,
        task: JoinHandle<()>,
    ) -> Self {
        Self {
            sender,
            watch,
            task,
        }
    }

    /// Whether the last exchange is wholly over and nothing has come since.
    pub(super) fn is_clean(&self) -> bool {
        self.sender.is_ready() && self.watch.is_quiet()
    }

    #[cfg(test)]
    pub(super) fn poison(&self) {
        self.task.abort();
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        // hyper would first try to read a body that nobody wants, and keep the connection.
        self.task.abort();
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

/// Why an exchange got no answer.
pub(super) enum ExchangeError {
    /// HTTP failed.
    Broken(hyper::Error),
    /// Nothing came in time.
    Late,
    /// The connection was dead already; not a byte of the request was written.
    Unsent(Box<Request<Outgoing>>, hyper::Error),
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
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let progress = request.body().progress();
        let sent = in_time(clock, timeout, &progress, self.link.send(request)).await;
        match sent {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut error)) => Err(match error.take_message() {
                Some(request) => ExchangeError::Unsent(Box::new(request), error.into_error()),
                None => ExchangeError::Broken(error.into_error()),
            }),
            Err(Elapsed) => {
                // A connection that is silent to one exchange may be dead for all that would follow.
                self.lane.forget(&self.link);
                Err(ExchangeError::Late)
            }
        }
    }

    /// Ends the exchange cleanly: the connection may serve again, if it says so itself.
    pub(super) fn give_back(self) {
        if let Link::Http1(link) = self.link
            && link.sender.is_ready()
        {
            self.lane.take_back(link, self.age);
        }
    }
}

pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>;

/// Waits for the head no longer than `timeout`, counted from when the upstream was given the last
/// byte of the request, or the last that it would take. While the client is still to send, only
/// the client is waited for, and the time does not run.
async fn in_time(
    clock: &Clock,
    timeout: Duration,
    progress: &Progress,
    sent: impl Future<Output = Sent>,
) -> Result<Sent, Elapsed> {
    let timeout = timeout.max(SHORTEST_WAIT);
    let mut sent = pin!(sent);
    loop {
        // If the upstream's time starts later than now, it can't be over before this.
        let wake = progress.upstream_since().unwrap_or_else(|| clock.now()) + timeout;
        if let Ok(sent) = within(clock, wake, &mut sent).await {
            return Ok(sent);
        }
        let over = |since| clock.now() - since >= timeout;
        if progress.upstream_since().is_some_and(over) {
            return Err(Elapsed);
        }
    }
}
