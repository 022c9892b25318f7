//! The pool: which address a request goes to, over which connection, and whether it may go twice.

#[cfg(test)]
mod tests;
mod websocket;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use http::Response;
use smallvec::SmallVec;
use tokio::sync::OwnedSemaphorePermit;

use super::connect::{connect, share, within};
use super::group::Group;
use super::lane::Lane;
use super::lease::{Answer, ExchangeError, Lease, Link};
use super::outgoing::{Outgoing, Prepared, Progress};
use super::received::Received;
use super::target::{Address, Target};
use super::{Common, Fault, Phase, PoolLimits, SendError};
use crate::base::{BootInstant, Clock, Digest, IdleTimer, random_bytes};
use crate::wire::{Body, Outbound};

/// One worker's connections to all services. It must be used inside a `LocalSet`.
#[derive(Debug)]
pub struct Pool {
    clock: Clock,
    limits: PoolLimits,
    common: Arc<Common>,
    groups: RefCell<HashMap<Digest, Rc<Group>, RandomState>>,
    dice: Dice,
}

/// No request tries more addresses than this.
const MOST_TRIES: usize = 5;

impl Pool {
    /// A pool without a connection.
    #[must_use]
    pub fn new(clock: Clock, limits: PoolLimits, common: Arc<Common>) -> Self {
        Self {
            clock,
            limits,
            common,
            groups: RefCell::default(),
            dice: Dice::new(),
        }
    }

    /// Makes `request` ready to be sent.
    #[must_use]
    pub fn prepare(&self, request: impl Into<Outbound<Body>>) -> Prepared {
        Prepared::new(request.into(), &self.clock)
    }

    /// Sends `request` to one of the target's addresses and waits for the answer's head.
    ///
    /// Path and query go out as they stand, and so does `Host`; where there is none, the URI's host
    /// or else the address takes its place. Headers that belong to a connection are not copied but
    /// written here, and a `Content-Length` that can't be the body's is a fault. A request body's
    /// trailers need a `Trailer` header over HTTP/1.1.
    ///
    /// An address that can't be connected to is passed over for the next. A kept connection that
    /// proves dead before a byte was written is replaced once, and so is one over which the other side
    /// says that it has not looked at the request (RFC 9113 §8.7), if its body can be had again.
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
        request: Prepared,
    ) -> Result<Response<Received>, SendError> {
        let Prepared { mut request, at } = request;
        let mut progress = request.body.progress();
        let timeout = target.timeouts.response;
        let timeout = timeout.unwrap_or(self.limits.response_timeout);
        let mut lease = match self.at_hand(target, at) {
            Some(lease) => lease,
            // Boxed, so that a request that finds a connection has no room for all that opening one takes.
            None => Box::pin(self.lease(target)).await?,
        };
        let lane = Rc::clone(&lease.lane);
        let mut copy = match lease.link {
            Link::Http1(_) => None,
            Link::Http2(_) => again(&request),
        };
        loop {
            match lease.exchange(&self.clock, timeout, request, None).await {
                Ok(answer) => return Ok(self.receive(target, lease, &progress, answer)),
                Err(ExchangeError::Unsent(unsent, _)) if lease.pooled => {
                    request = unsent;
                    lease = Box::pin(self.replace(target, lease)).await?;
                }
                Err(ExchangeError::Unprocessed(error)) => {
                    let Some(copy) = copy.take() else {
                        let error = ExchangeError::Broken(error);
                        return Err(broken(target, &lane, &progress, error));
                    };
                    request = copy;
                    progress = request.body.progress();
                    lease = Box::pin(self.replace(target, lease)).await?;
                }
                Err(error) => return Err(broken(target, &lane, &progress, error)),
            }
        }
    }

    /// Closes the unused connections of targets that are no longer `live`; their other connections
    /// follow as their exchanges end.
    pub fn retain(&self, live: impl Fn(&Target) -> bool) {
        self.groups.borrow_mut().retain(|_, group| {
            let keep = live(&group.target());
            if !keep {
                group.retire();
            }
            keep
        });
    }

    /// Begins to look after a target before anybody calls it: health checks need that.
    pub fn attend(&self, target: &Arc<Target>) {
        self.group(target);
    }

    /// Does what is not done for a request: closes connections that have been unused for too long,
    /// looks up names again, makes health checks. Meant to be called about twice a second.
    pub fn sweep(&self) {
        self.groups.borrow().values().for_each(Group::sweep);
    }

    /// A kept connection to the less busy of two addresses, if there is one.
    fn at_hand(&self, target: &Arc<Target>, now: BootInstant) -> Option<Lease> {
        let lanes = self.group(target).known()?;
        let lane = lanes.get(self.choose(&lanes))?;
        if lanes.len() > 1 && !lane.is_open(now) {
            return None;
        }
        let permit = lane.try_admit()?;
        let link = lane.pooled(now)?;
        Some(Lease::new(Rc::clone(lane), link, true, permit))
    }

    /// A connection to the address with the lesser load of two, or to another one where that can't
    /// be had: nothing has been sent yet.
    async fn lease(&self, target: &Arc<Target>) -> Result<Lease, SendError> {
        let take = async |lane: &Rc<Lane>, permit, deadline| {
            self.take(target, lane, permit, deadline).await
        };
        self.at_one_of(target, take).await
    }

    /// What `act` comes to at one of the target's addresses: at the less busy of two picked at random,
    /// or else the others in turn. Those that are out come last.
    async fn at_one_of<T>(
        &self,
        target: &Arc<Target>,
        act: impl AsyncFn(&Rc<Lane>, OwnedSemaphorePermit, BootInstant) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        let deadline = self.clock.now() + self.connect_timeout(target);
        let lanes = self.group(target).lanes(deadline).await?;
        let most = lanes.len().min(MOST_TRIES);
        let mut tried = 0;
        let mut failure = None;
        let mut full = None;
        for lane in self.order(&lanes) {
            let Some(permit) = lane.try_admit() else {
                full = full.or(Some(lane));
                continue;
            };
            if tried == most {
                break;
            }
            let until = match most - tried {
                1 => deadline,
                left => share(&self.clock, deadline, left),
            };
            tried += 1;
            match act(lane, permit, until).await {
                Ok(done) => return Ok(done),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if let Some(lane) = full
            && let Some(permit) = lane.admit(deadline).await
        {
            return act(lane, permit, deadline).await;
        }
        Err(SendError::Overloaded {
            place: target.home().clone(),
        })
    }

    /// A kept connection, or else a new one.
    async fn take(
        &self,
        target: &Target,
        lane: &Rc<Lane>,
        permit: OwnedSemaphorePermit,
        deadline: BootInstant,
    ) -> Result<Lease, SendError> {
        let (link, pooled) = match lane.pooled(self.clock.now()) {
            Some(link) => (link, true),
            None => (self.open(target, lane, deadline).await?, false),
        };
        Ok(Lease::new(Rc::clone(lane), link, pooled, permit))
    }

    /// A new connection in the place of one that proved dead.
    async fn replace(&self, target: &Target, dead: Lease) -> Result<Lease, SendError> {
        let (lane, permit) = dead.into_place();
        let deadline = self.clock.now() + self.connect_timeout(target);
        let link = self.open(target, &lane, deadline).await?;
        Ok(Lease::new(lane, link, false, permit))
    }

    async fn open(
        &self,
        target: &Target,
        lane: &Lane,
        deadline: BootInstant,
    ) -> Result<Link, SendError> {
        let may_share = target.may_be_http2(&lane.address) && !lane.is_http1();
        if !may_share {
            return connect(&self.clock, target, lane, deadline).await;
        }
        let Ok(_turn) = within(&self.clock, deadline, lane.opening.lock()).await else {
            return Err(SendError::Timeout {
                place: target.place(&lane.address),
                phase: Phase::Connect,
            });
        };
        if let Some(link) = lane.shared() {
            return Ok(Link::Http2(link));
        }
        let link = connect(&self.clock, target, lane, deadline).await?;
        lane.learn(&link);
        Ok(link)
    }

    fn receive(
        &self,
        target: &Target,
        lease: Lease,
        progress: &Rc<Progress>,
        answer: Answer,
    ) -> Response<Received> {
        let Answer { head, content } = answer;
        lease.lane.note_answer(!head.status.is_server_error());
        // What is still to be sent after an early answer may be read by nobody.
        let reusable = progress.has_ended();
        let unfinished = (!reusable).then(|| Rc::clone(progress));
        let idle = target.timeouts.idle.or(self.limits.body_idle_timeout);
        let idle = idle.map(|timeout| IdleTimer::new(&self.clock, timeout));
        let body = Received::new(content, lease, reusable, idle, unfinished);
        Response::from_parts(head, body)
    }

    fn group(&self, target: &Arc<Target>) -> Rc<Group> {
        let mut groups = self.groups.borrow_mut();
        let open = || Group::open(target, &self.clock, self.limits, &self.common);
        let group = groups.entry(*target.key()).or_insert_with(open);
        group.follow(target);
        Rc::clone(group)
    }

    /// The lanes in the order in which they are tried.
    fn order<'l>(&self, lanes: &'l [Rc<Lane>]) -> SmallVec<[&'l Rc<Lane>; 4]> {
        let mut order: SmallVec<[&Rc<Lane>; 4]> = lanes.iter().collect();
        if lanes.len() > 1 {
            let now = self.clock.now();
            order.rotate_left(self.choose(lanes));
            order.sort_by_key(|lane| !lane.is_open(now));
        }
        order
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

/// The same request once more, if its body can be had again.
fn again(request: &Outbound<Outgoing>) -> Option<Box<Outbound<Outgoing>>> {
    Some(Box::new(Outbound {
        method: request.method.clone(),
        target: request.target.clone(),
        fields: request.fields.clone(),
        body: request.body.again()?,
    }))
}

fn protocol(target: &Target, address: &Address, fault: Fault) -> SendError {
    SendError::Protocol {
        place: target.place(address),
        fault,
    }
}

fn broken(target: &Target, lane: &Lane, progress: &Progress, error: ExchangeError) -> SendError {
    let place = target.place(&lane.address);
    let is_requests = matches!(&error, ExchangeError::Fault(fault) if fault.is_of_request());
    if !progress.has_failed() && !is_requests {
        lane.note_answer(false);
    }
    match error {
        ExchangeError::Late => {
            lane.metrics.response_timeouts.inc();
            SendError::Timeout {
                place,
                phase: Phase::Response,
            }
        }
        ExchangeError::Fault(fault) => SendError::Protocol { place, fault },
        ExchangeError::Broken(source) if progress.has_failed() => {
            SendError::RequestBody { place, source }
        }
        ExchangeError::Broken(source)
        | ExchangeError::Unprocessed(source)
        | ExchangeError::Unsent(_, source) => SendError::BrokeOff { place, source },
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
