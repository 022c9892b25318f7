//! What one worker keeps of one address: idle connections, and how many exchanges run.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::PoolLimits;
use super::connect::within;
use super::lease::{Http1, Http2, Link};
use crate::base::{BootInstant, Clock};

/// One address.
#[derive(Debug)]
pub(super) struct Lane {
    clock: Clock,
    limits: PoolLimits,
    /// One permit for each exchange. No connection is opened while one is idle, so over HTTP/1.1
    /// this bounds the connections too.
    permits: Arc<Semaphore>,
    waiting: Cell<usize>,
    /// Oldest first; taken from the back, so that what is not needed grows old.
    idle: RefCell<VecDeque<(Http1, BootInstant)>>,
    shared: RefCell<Option<(Http2, BootInstant)>>,
    /// Held while an HTTP/2 connection is opened, so that a burst opens one.
    pub(super) opening: Mutex<()>,
    /// Whether the other side, asked for HTTP/2, chose HTTP/1.1: then nothing is gained by
    /// opening one connection after the other.
    http1: Cell<bool>,
    retired: Cell<bool>,
}

impl Lane {
    pub(super) fn new(clock: &Clock, mut limits: PoolLimits) -> Self {
        let most = &mut limits.connections_per_upstream;
        *most = (*most).min(Semaphore::MAX_PERMITS);
        Self {
            clock: clock.clone(),
            limits,
            permits: Arc::new(Semaphore::new(limits.connections_per_upstream)),
            waiting: Cell::new(0),
            idle: RefCell::default(),
            shared: RefCell::default(),
            opening: Mutex::default(),
            http1: Cell::new(false),
            retired: Cell::new(false),
        }
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

    /// A connection that can be used at once.
    pub(super) fn pooled(&self) -> Option<Link> {
        if let Some(link) = self.shared() {
            return Some(Link::Http2(link));
        }
        let mut idle = self.idle.borrow_mut();
        while let Some((link, since)) = idle.pop_back() {
            if self.is_old(since) {
                // So are all that lie below it.
                idle.clear();
            } else if link.is_clean() {
                return Some(Link::Http1(link));
            }
        }
        None
    }

    /// The HTTP/2 connection that all exchanges share.
    pub(super) fn shared(&self) -> Option<Http2> {
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|(link, _)| link.has_ended()) {
            *shared = None;
        }
        let (link, used) = shared.as_mut()?;
        *used = self.clock.now();
        Some(link.clone())
    }

    /// Remembers what a new connection speaks, and shares it if it can be shared.
    pub(super) fn learn(&self, link: &Link) {
        self.http1.set(matches!(link, Link::Http1(_)));
        if let Link::Http2(link) = link
            && !self.retired.get()
        {
            *self.shared.borrow_mut() = Some((link.clone(), self.clock.now()));
        }
    }

    /// Whether the last connection that could have been HTTP/2 was not.
    pub(super) const fn is_http1(&self) -> bool {
        self.http1.get()
    }

    /// Lets no further exchange onto the shared connection; those that run go on.
    pub(super) fn unshare(&self) {
        *self.shared.borrow_mut() = None;
    }

    /// Takes back a connection whose exchange ended cleanly.
    pub(super) fn take_back(&self, link: Http1) {
        let mut idle = self.idle.borrow_mut();
        if !self.retired.get() && idle.len() < self.limits.idle_per_upstream {
            idle.push_back((link, self.clock.now()));
        }
    }

    /// Closes what has been idle for too long, or was closed from the other side.
    pub(super) fn sweep(&self) {
        self.idle
            .borrow_mut()
            .retain(|(link, since)| !self.is_old(*since) && link.is_clean());
        let mut shared = self.shared.borrow_mut();
        let unused = |(link, used): &(Http2, BootInstant)| {
            link.has_ended() || (self.in_flight() == 0 && self.is_old(*used))
        };
        if shared.as_ref().is_some_and(unused) {
            *shared = None;
        }
    }

    /// Closes what is idle, and each other connection when its exchange ends.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.unshare();
    }

    fn is_old(&self, since: BootInstant) -> bool {
        self.clock.now() - since >= self.limits.idle_timeout
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
