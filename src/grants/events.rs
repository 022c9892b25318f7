//! What happens to tasks, requests and grants, as it happens, for whoever watches.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::Grants;
use crate::base::{Clock, random_id};
use crate::model::{AgentId, Grant, Task, TaskId};

/// How many events are remembered: so many may a watcher be behind, or have missed while it was away.
const REMEMBERED: usize = 4096;

/// Something that happened. Each holds the state that it led to.
#[derive(Clone, Debug)]
pub enum Event {
    /// A grant is in force.
    GrantActive(Grant),
    /// A grant is over.
    GrantEnded(Grant),
    /// The last tenth of a grant's term has begun.
    GrantExpiring(Grant),
    /// A grant is in force again, for what is left of its term.
    GrantResumed(Grant),
    /// A grant is not in force for now: a condition does not hold.
    GrantSuspended(Grant),
    /// A request that waited is decided: it has become a grant, or is over.
    RequestDecided(Grant),
    /// A request waits for people.
    RequestPending(Grant),
    /// A task is over.
    TaskEnded(Task),
}

impl Event {
    /// What programs call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GrantActive(_) => "grant.active",
            Self::GrantEnded(_) => "grant.ended",
            Self::GrantExpiring(_) => "grant.expiring",
            Self::GrantResumed(_) => "grant.resumed",
            Self::GrantSuspended(_) => "grant.suspended",
            Self::RequestDecided(_) => "request.decided",
            Self::RequestPending(_) => "request.pending",
            Self::TaskEnded(_) => "task.ended",
        }
    }

    /// The grant or request that it is about.
    #[must_use]
    pub const fn grant(&self) -> Option<&Grant> {
        match self {
            Self::GrantActive(grant)
            | Self::GrantEnded(grant)
            | Self::GrantExpiring(grant)
            | Self::GrantResumed(grant)
            | Self::GrantSuspended(grant)
            | Self::RequestDecided(grant)
            | Self::RequestPending(grant) => Some(grant),
            Self::TaskEnded(_) => None,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        match self {
            Self::TaskEnded(task) => &task.agent,
            Self::GrantActive(grant)
            | Self::GrantEnded(grant)
            | Self::GrantExpiring(grant)
            | Self::GrantResumed(grant)
            | Self::GrantSuspended(grant)
            | Self::RequestDecided(grant)
            | Self::RequestPending(grant) => &grant.request.agent,
        }
    }

    /// The task that it belongs to.
    #[must_use]
    pub fn task(&self) -> &TaskId {
        match self {
            Self::TaskEnded(task) => &task.id,
            Self::GrantActive(grant)
            | Self::GrantEnded(grant)
            | Self::GrantExpiring(grant)
            | Self::GrantResumed(grant)
            | Self::GrantSuspended(grant)
            | Self::RequestDecided(grant)
            | Self::RequestPending(grant) => &grant.request.task,
        }
    }
}

/// Something that happened, with its place among all that did.
#[derive(Debug)]
pub struct Happened {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    stamp: u64,
}

/// Tells all watchers, and remembers the youngest events for those who come back. Nobody waits for a slow
/// watcher: it loses the oldest events and is told so.
#[derive(Debug)]
pub(super) struct Events {
    ring: Arc<Ring>,
    told: watch::Sender<()>,
    clock: Clock,
}

/// What is remembered. Each event has a stamp, larger than those before it: the time of its telling, so
/// that it says nothing about how much happens to others.
#[derive(Debug)]
struct Ring {
    /// Another in each process.
    epoch: String,
    recent: Mutex<Recent>,
}

#[derive(Debug)]
struct Recent {
    /// In the order of their stamps.
    events: VecDeque<Arc<Happened>>,
    /// The stamp of the last one that is no longer remembered.
    forgotten: u64,
    /// The stamp of the last one.
    last: u64,
}

/// What a watcher hears next.
#[derive(Clone, Debug)]
pub enum Heard {
    /// This happened.
    Event(Arc<Happened>),
    /// Something may have happened before what comes next that is not known any more.
    Gap,
}

/// A watcher: it hears everything that happens after its place.
#[derive(Debug)]
pub struct Listener {
    ring: Arc<Ring>,
    told: watch::Receiver<()>,
    at: u64,
    gap: bool,
}

impl Events {
    pub(super) fn new(clock: Clock) -> Self {
        // An event never has the stamp of the start: whoever was there then has missed nothing.
        let start = clock.now().as_nanos();
        Self {
            ring: Arc::new(Ring {
                epoch: random_id("e"),
                recent: Mutex::new(Recent {
                    events: VecDeque::new(),
                    forgotten: start,
                    last: start,
                }),
            }),
            told: watch::Sender::new(()),
            clock,
        }
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        let (event, now, at) = (event(), self.clock.now().as_nanos(), self.clock.wall());
        {
            let mut recent = self.ring.recent();
            let stamp = now.max(recent.last.saturating_add(1));
            recent.last = stamp;
            if recent.events.len() >= REMEMBERED
                && let Some(oldest) = recent.events.pop_front()
            {
                recent.forgotten = oldest.stamp;
            }
            let happened = Happened { at, event, stamp };
            recent.events.push_back(Arc::new(happened));
        }
        self.told.send_replace(());
    }

    fn listen(&self) -> Listener {
        Listener {
            told: self.told.subscribe(),
            at: self.ring.recent().last,
            ring: Arc::clone(&self.ring),
            gap: false,
        }
    }

    /// A listener from a place on; where the place is not known any more, with a gap, from the first that
    /// is.
    fn listen_after(&self, place: &str) -> Listener {
        let mut listener = self.listen();
        let recent = self.ring.recent();
        let stamp = place
            .split_once('-')
            .filter(|(epoch, _)| *epoch == self.ring.epoch)
            .and_then(|(_, stamp)| stamp.parse::<u64>().ok())
            .filter(|stamp| (recent.forgotten..=recent.last).contains(stamp));
        listener.gap = stamp.is_none();
        listener.at = stamp.unwrap_or(recent.forgotten);
        listener
    }
}

impl Ring {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        // A telling that broke off has told nothing: what is there is whole.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// What comes next; nothing once the gateway is gone. Dropped before it is ready, nothing is lost.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            // What is told from here on wakes the wait below.
            self.told.borrow_and_update();
            if let Some(heard) = self.look() {
                return Some(heard);
            }
            self.told.changed().await.ok()?;
        }
    }

    /// The place behind what was heard last: [`Grants::events_after`] goes on from it.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}-{}", self.ring.epoch, self.at)
    }

    fn look(&mut self) -> Option<Heard> {
        if std::mem::take(&mut self.gap) {
            return Some(Heard::Gap);
        }
        let recent = self.ring.recent();
        if self.at < recent.forgotten {
            self.at = recent.forgotten;
            return Some(Heard::Gap);
        }
        let next = recent.events.partition_point(|one| one.stamp <= self.at);
        let happened = Arc::clone(recent.events.get(next)?);
        self.at = happened.stamp;
        Some(Heard::Event(happened))
    }
}

impl Grants {
    /// Everything that happens from now on.
    #[must_use]
    pub fn events(&self) -> Listener {
        self.0.events.listen()
    }

    /// Everything that happened after the [place](Listener::place) of another listener, as far as it is
    /// remembered, and happens from now on.
    #[must_use]
    pub fn events_after(&self, place: &str) -> Listener {
        self.0.events.listen_after(place)
    }
}
