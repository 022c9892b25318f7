//! The pool: which address a request goes to, over which connection, and whether it may go twice.

#[cfg(test)]
mod tests;
mod websocket;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::connect::{connect, share, within};
use super::lane::Lane;
use super::lease::{ExchangeError, Lease, Link};
use super::outgoing::{Outgoing, Progress};
use super::received::Received;
use super::target::{Address, Target};
use super::{Fault, Phase, PoolLimits, SendError, framing};
use crate::base::{BootInstant, Clock, Digest, IdleTimer, random_bytes};
use crate::wire::Body;

/// One worker's connections to all services. It must be used inside a `LocalSet`.
#[derive(Debug)]
pub struct Pool {
    clock: Clock,
    limits: PoolLimits,
    groups: RefCell<HashMap<Digest, Group>>,
    dice: Dice,
}

/// The lanes of a target, in the order of its addresses.
#[derive(Debug)]
struct Group {
    target: Arc<Target>,
    lanes: Rc<[Rc<Lane>]>,
}

impl Pool {
    /// A pool without a connection.
    #[must_use]
    pub fn new(clock: Clock, limits: PoolLimits) -> Self {
        Self {
            clock,
            limits,
            groups: RefCell::default(),
            dice: Dice::new(),
        }
    }

    /// Sends `request` to one of the target's addresses and waits for the answer's head.
    ///
    /// Path and query go out as they stand, and so does `Host`; where there is none, the URI's host
    /// or else the address takes its place. Headers that belong to a connection are not copied but
    /// written here, and a `Content-Length` that can't be the body's is a fault. A request body's
    /// trailers need a `Trailer` header over HTTP/1.1.
    ///
    /// An address that can't be connected to is passed over for the next. A kept connection that
    /// proves dead before a byte was written is replaced once.
    ///
    /// # Errors
    ///
    /// As [`SendError`] says.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the exchange: the connection is closed, or the stream reset.
    pub async fn send(
        &self,
        target: &Arc<Target>,
        request: Request<Body>,
    ) -> Result<Response<Received>, SendError> {
        let mut request = request.map(|body| Outgoing::new(body, &self.clock));
        let progress = request.body().progress();
        let timeout = target.timeouts.response;
        let timeout = timeout.unwrap_or(self.limits.response_timeout);
        let (address, mut lease) = self.lease(target).await?;
        loop {
            let shaped = shape(&lease.link, request, address)
                .map_err(|fault| protocol(target, address, fault))?;
            match lease.exchange(&self.clock, timeout, shaped).await {
                Ok(answer) => return self.receive(target, address, lease, &progress, answer),
                Err(ExchangeError::Unsent(unsent, _)) if lease.pooled => {
                    request = *unsent;
                    lease = self.replace(target, address, lease).await?;
                }
                Err(error) => return Err(broken(target, address, &progress, error)),
            }
        }
    }

    /// Closes the unused connections of targets that are no longer `live`; their other connections
    /// follow as their exchanges end.
    pub fn retain(&self, live: impl Fn(&Target) -> bool) {
        self.groups.borrow_mut().retain(|_, group| {
            let keep = live(&group.target);
            if !keep {
                group.lanes.iter().for_each(|lane| lane.retire());
            }
            keep
        });
    }

    /// Closes connections that have been unused for too long. Without it, one is closed when the
    /// next request to its address comes.
    pub fn sweep(&self) {
        for group in self.groups.borrow().values() {
            group.lanes.iter().for_each(|lane| lane.sweep());
        }
    }

    /// A connection to the address with the lesser load of two, or to another one where that can't
    /// be had: nothing has been sent yet.
    async fn lease<'t>(&self, target: &'t Arc<Target>) -> Result<(&'t Address, Lease), SendError> {
        let lanes = self.lanes(target);
        let deadline = self.clock.now() + self.connect_timeout(target);
        let pairs = lanes.iter().zip(&target.addresses).cycle();
        let order = pairs.skip(self.choose(&lanes)).take(lanes.len());
        let mut failure = None;
        let mut full = None;
        for (tried, (lane, address)) in order.enumerate() {
            let Some(permit) = lane.try_admit() else {
                full = full.or(Some((lane, address)));
                continue;
            };
            let until = || share(&self.clock, deadline, lanes.len() - tried);
            match self.take(target, address, lane, permit, until).await {
                Ok(lease) => return Ok((address, lease)),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if let Some((lane, address)) = full
            && let Some(permit) = lane.admit(deadline).await
        {
            let lease = self
                .take(target, address, lane, permit, || deadline)
                .await?;
            return Ok((address, lease));
        }
        Err(SendError::Overloaded {
            place: target.home().clone(),
        })
    }

    /// A kept connection, or else a new one.
    async fn take(
        &self,
        target: &Target,
        address: &Address,
        lane: &Rc<Lane>,
        permit: OwnedSemaphorePermit,
        deadline: impl FnOnce() -> BootInstant,
    ) -> Result<Lease, SendError> {
        let (link, pooled) = match lane.pooled() {
            Some(link) => (link, true),
            None => (self.open(target, address, lane, deadline()).await?, false),
        };
        Ok(Lease::new(Rc::clone(lane), link, pooled, permit))
    }

    /// A new connection in the place of one that proved dead.
    async fn replace(
        &self,
        target: &Target,
        address: &Address,
        dead: Lease,
    ) -> Result<Lease, SendError> {
        let (lane, permit) = dead.into_place();
        lane.unshare();
        let deadline = self.clock.now() + self.connect_timeout(target);
        let link = self.open(target, address, &lane, deadline).await?;
        Ok(Lease::new(lane, link, false, permit))
    }

    async fn open(
        &self,
        target: &Target,
        address: &Address,
        lane: &Lane,
        deadline: BootInstant,
    ) -> Result<Link, SendError> {
        let may_share = target.may_be_http2(address) && !lane.is_http1();
        if !may_share {
            return connect(&self.clock, target, address, deadline).await;
        }
        let Ok(_turn) = within(&self.clock, deadline, lane.opening.lock()).await else {
            return Err(SendError::Timeout {
                place: target.place(address),
                phase: Phase::Connect,
            });
        };
        if let Some(link) = lane.shared() {
            return Ok(Link::Http2(link));
        }
        let link = connect(&self.clock, target, address, deadline).await?;
        lane.learn(&link);
        Ok(link)
    }

    fn receive(
        &self,
        target: &Target,
        address: &Address,
        lease: Lease,
        progress: &Rc<Progress>,
        answer: Response<Incoming>,
    ) -> Result<Response<Received>, SendError> {
        let (head, body) = answer.into_parts();
        let reusable = framing::judge(&head).map_err(|fault| protocol(target, address, fault))?;
        // What is still to be sent after an early answer may be read by nobody.
        let reusable = reusable && progress.has_ended();
        let unfinished = (!progress.has_ended()).then(|| Rc::clone(progress));
        let idle = target.timeouts.idle.or(self.limits.body_idle_timeout);
        let idle = idle.map(|timeout| IdleTimer::new(&self.clock, timeout));
        let body = Received::new(body, lease, reusable, idle, unfinished);
        Ok(Response::from_parts(head, body))
    }

    fn lanes(&self, target: &Arc<Target>) -> Rc<[Rc<Lane>]> {
        let mut groups = self.groups.borrow_mut();
        let group = groups.entry(*target.key()).or_insert_with(|| Group {
            target: Arc::clone(target),
            lanes: target
                .addresses
                .iter()
                .map(|_| Rc::new(Lane::new(&self.clock, self.limits)))
                .collect(),
        });
        Rc::clone(&group.lanes)
    }

    /// The index of the less busy of two addresses picked at random.
    fn choose(&self, lanes: &[Rc<Lane>]) -> usize {
        if lanes.len() < 2 {
            return 0;
        }
        let one = self.dice.roll(lanes.len());
        let other = (one + 1 + self.dice.roll(lanes.len() - 1)) % lanes.len();
        let load = |index: usize| lanes.get(index).map(|lane| lane.in_flight());
        if load(other) < load(one) { other } else { one }
    }

    fn connect_timeout(&self, target: &Target) -> Duration {
        let own = target.timeouts.connect;
        own.unwrap_or(self.limits.connect_timeout)
    }
}

fn shape(
    link: &Link,
    request: Request<Outgoing>,
    address: &Address,
) -> Result<Request<Outgoing>, Fault> {
    match link {
        Link::Http1(_) => framing::for_http1(request, &address.authority),
        Link::Http2(_) => framing::for_http2(request, &address.authority, address.tls),
    }
}

fn protocol(target: &Target, address: &Address, fault: Fault) -> SendError {
    SendError::Protocol {
        place: target.place(address),
        fault,
    }
}

fn broken(
    target: &Target,
    address: &Address,
    progress: &Progress,
    error: ExchangeError,
) -> SendError {
    let place = target.place(address);
    match error {
        ExchangeError::Late => SendError::Timeout {
            place,
            phase: Phase::Response,
        },
        ExchangeError::Broken(source) if progress.has_failed() => {
            SendError::RequestBody { place, source }
        }
        ExchangeError::Broken(source) | ExchangeError::Unsent(_, source) => {
            SendError::BrokeOff { place, source }
        }
    }
}

/// Picks addresses. Nobody gains by guessing it.
#[derive(Debug)]
struct Dice(Cell<u64>);

impl Dice {
    fn new() -> Self {
        // Not zero, from which it would never move.
        Self(Cell::new(u64::from_le_bytes(random_bytes()) | 1))
    }

    /// A number below `sides` (xorshift64).
    fn roll(&self, sides: usize) -> usize {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        usize::try_from(state >> 33).unwrap_or(0) % sides.max(1)
    }
}
