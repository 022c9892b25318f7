//! What one worker keeps of one address: idle connections, how many exchanges run, how they went.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tracing::info;

use super::PoolLimits;
use super::checks::Checked;
use super::connect::within;
use super::endpoint::Endpoint;
use super::health::{Health, Standing};
use super::http1::Connection;
use super::lease::{Http2, Link};
use super::target::Address;
use crate::base::{BootInstant, Clock};
use crate::telemetry::UpstreamMetrics;

/// One address.
#[derive(Debug)]
pub(super) struct Lane {
    /// As it is configured.
    pub(super) address: Arc<Address>,
    /// Where it leads.
    pub(super) endpoint: Endpoint,
    pub(super) metrics: Rc<UpstreamMetrics>,
    /// What health checks say, where there are any.
    pub(super) checked: Option<Arc<Checked>>,
    health: Health,
    clock: Clock,
    limits: PoolLimits,
    /// One permit for each exchange. No connection is opened while one is idle, so over HTTP/1.1
    /// this bounds the connections too.
    permits: Arc<Semaphore>,
    waiting: Cell<usize>,
    /// Oldest first; taken from the back, so that what is not needed grows old.
    idle: RefCell<VecDeque<(Box<Connection>, BootInstant)>>,
    /// The HTTP/2 connections, which exchanges share. Those before are used first, so that what is
    /// not needed grows old.
    shared: RefCell<Vec<(Http2, BootInstant)>>,
    /// Held while an HTTP/2 connection is opened, so that a burst opens one.
    pub(super) opening: Mutex<()>,
    /// Whether the other side, asked for HTTP/2, chose HTTP/1.1: then nothing is gained by
    /// opening one connection after the other.
    http1: Cell<bool>,
    retired: Cell<bool>,
    age: Cell<u64>,
}

impl Lane {
    pub(super) fn new(
        clock: &Clock,
        mut limits: PoolLimits,
        address: Arc<Address>,
        endpoint: Endpoint,
        checked: Option<Arc<Checked>>,
        metrics: Rc<UpstreamMetrics>,
    ) -> Self {
        let most = &mut limits.connections_per_upstream;
        *most = (*most).min(Semaphore::MAX_PERMITS);
        Self {
            address,
            endpoint,
            metrics,
            checked,
            health: Health::default(),
            clock: clock.clone(),
            limits,
            permits: Arc::new(Semaphore::new(limits.connections_per_upstream)),
            waiting: Cell::new(0),
            idle: RefCell::default(),
            shared: RefCell::default(),
            opening: Mutex::default(),
            http1: Cell::new(false),
            retired: Cell::new(false),
            age: Cell::new(0),
        }
    }

    /// Whether a request should come here while there are others to choose from.
    pub(super) fn is_open(&self, now: BootInstant) -> bool {
        if self
            .checked
            .as_ref()
            .is_some_and(|checked| checked.is_down())
        {
            return false;
        }
        match self.health.standing(now) {
            Standing::In => true,
            Standing::Out => false,
            Standing::Probation => self.in_flight() == 0,
        }
    }

    /// Whether the last that was heard of it is bad.
    pub(super) fn is_failing(&self) -> bool {
        self.health.is_failing()
    }

    /// Notes whether a connection could be opened.
    pub(super) fn note_connection(&self, well: bool) {
        let counter = if well {
            &self.metrics.connections
        } else {
            &self.metrics.connect_failures
        };
        counter.inc();
        if self.health.connected(well, self.clock.now()) {
            self.put_out("connections can't be opened");
        }
    }

    /// Notes whether an exchange got an answer other than the upstream's own failure.
    pub(super) fn note_answer(&self, well: bool) {
        if self.health.answered(well, || self.clock.now()) {
            self.put_out("it answers with errors or not at all");
        }
    }

    fn put_out(&self, why: &'static str) {
        self.metrics.ejections.inc();
        let (address, endpoint) = (&self.address.name, &self.endpoint);
        info!(%address, %endpoint, why, "an upstream is left out for a while");
    }

    /// How many exchanges run.
    pub(super) fn in_flight(&self) -> usize {
        self.limits
            .connections_per_upstream
            .saturating_sub(self.permits.available_permits())
    }

    /// A place for an exchange, if there is one.
    pub(super) fn try_admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// A place for an exchange as soon as there is one, in order of arrival. `None` where too many
    /// wait already, or none comes free before the deadline.
    pub(super) async fn admit(&self, deadline: BootInstant) -> Option<OwnedSemaphorePermit> {
        if self.waiting.get() >= self.limits.waiting_per_upstream {
            return None;
        }
        let _waiter = Waiter::new(&self.waiting);
        let free = Arc::clone(&self.permits).acquire_owned();
        within(&self.clock, deadline, free).await.ok()?.ok()
    }

    /// A connection that can be used now, at once.
    pub(super) fn pooled(&self, now: BootInstant) -> Option<Link> {
        if let Some(link) = self.shared() {
            return Some(Link::Http2(link));
        }
        let mut idle = self.idle.borrow_mut();
        while let Some((mut link, since)) = idle.pop_back() {
            if self.is_old(since, now) {
                // So are all that lie below it.
                idle.clear();
            } else if link.is_clean() {
                return Some(Link::Http1(link));
            }
        }
        None
    }

    /// An HTTP/2 connection with room for one more exchange.
    pub(super) fn shared(&self) -> Option<Http2> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|(link, _)| !link.has_ended());
        let (link, used) = shared.iter_mut().find(|(link, _)| link.has_room())?;
        *used = self.clock.now();
        Some(link.clone())
    }

    /// Remembers what a new connection speaks, and shares it if it can be shared.
    pub(super) fn learn(&self, link: &Link) {
        self.http1.set(matches!(link, Link::Http1(_)));
        if let Link::Http2(link) = link
            && !self.retired.get()
        {
            let now = self.clock.now();
            self.shared.borrow_mut().push((link.clone(), now));
        }
    }

    /// Whether the last connection that could have been HTTP/2 was not.
    pub(super) const fn is_http1(&self) -> bool {
        self.http1.get()
    }

    /// Lets no further exchange onto a shared connection; those that run go on.
    pub(super) fn forget(&self, link: &Link) {
        if let Link::Http2(link) = link {
            self.shared.borrow_mut().retain(|(one, _)| !one.is(link));
        }
    }

    /// Takes back a connection of such an age whose exchange ended cleanly.
    pub(super) fn take_back(&self, link: Box<Connection>, age: u64) {
        let mut idle = self.idle.borrow_mut();
        if !self.retired.get()
            && age == self.age.get()
            && idle.len() < self.limits.idle_per_upstream
        {
            idle.push_back((link, self.clock.now()));
        }
    }

    /// Closes what has been idle for too long, or was closed from the other side.
    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        self.idle
            .borrow_mut()
            .retain_mut(|(link, since)| !self.is_old(*since, now) && link.is_clean());
        self.shared.borrow_mut().retain(|(link, used)| {
            !(link.has_ended() || link.is_unused() && self.is_old(*used, now))
        });
    }

    /// Closes what is idle, and each other connection when its exchange ends.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.renew();
    }

    /// Lets no exchange onto a connection that there is now, but for those that run.
    pub(super) fn renew(&self) {
        self.age.set(self.age.get().wrapping_add(1));
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }

    /// Tells the connections before a renewal from those after it.
    pub(super) const fn age(&self) -> u64 {
        self.age.get()
    }

    fn is_old(&self, since: BootInstant, now: BootInstant) -> bool {
        now - since >= self.limits.idle_timeout
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Ends the idle connections in a way that only using one of them shows.
    #[cfg(test)]
    pub(super) fn poison(&self) {
        self.idle
            .borrow()
            .iter()
            .for_each(|(link, _)| link.poison());
    }
}

/// Counts one that waits, for as long as it does.
struct Waiter<'a>(&'a Cell<usize>);

impl<'a> Waiter<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
