//! What all tasks and grants of this gateway are held by, and how many there may be.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::broadcast;

use super::clockwork::Timers;
use super::events::Events;
use super::family::Family;
use super::forgetting::Retention;
use super::health::Health;
use super::index::Index;
use super::known::Known;
use super::presence::Taskless;
use super::reading::Ends;
use super::suspension;
use super::unstored::Unstored;
use super::{GrantsError, LiveGrant, LiveTask, Move, PendingGrant};
use crate::base::{BootId, Clock, Live};
use crate::model::{AgentId, GrantId, TaskId};
use crate::signals::{HabitRules, Signals};
use crate::store::GrantStore;
use crate::telemetry::Metrics;

/// How many of each there may be, and how long they may live.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The lease of a task that asks for none.
    pub lease: Duration,
    /// The longest lease.
    pub longest_lease: Duration,
    /// The longest life of a task, whatever its signs of life.
    pub task_max_age: Duration,
    /// How deep spans may lie.
    pub depth: u32,
    /// Open tasks of one agent.
    pub tasks_per_agent: usize,
    /// Grants in force for one task.
    pub grants_per_task: usize,
    /// Requests of one task that wait for people.
    pub pending_per_task: usize,
    /// Requests of one agent that wait for people.
    pub pending_per_agent: usize,
    /// How it is learnt what is usual for agents.
    pub habits: HabitRules,
    /// How long what has ended is kept.
    pub retention: Retention,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease: Duration::from_mins(1),
            longest_lease: Duration::from_hours(1),
            task_max_age: Duration::from_hours(8),
            depth: 8,
            tasks_per_agent: 10_000,
            grants_per_task: 64,
            pending_per_task: 32,
            pending_per_agent: 256,
            habits: HabitRules::default(),
            retention: Retention::default(),
        }
    }
}

/// The tasks and grants of this gateway. A clone is another handle to the same.
#[derive(Clone)]
pub struct Grants(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) clock: Clock,
    /// Read once: within a process it can't change.
    pub(super) boot: BootId,
    pub(super) store: Arc<dyn GrantStore>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    /// Where steps that have to finish run, whoever asked for them.
    pub(super) runtime: Handle,
    pub(super) tasks: Index<Arc<LiveTask>>,
    pub(super) grants: Index<Arc<LiveGrant>>,
    pub(super) pending: Index<Arc<PendingGrant>>,
    pub(super) timers: Timers,
    pub(super) unstored: Unstored,
    pub(super) events: Events,
    pub(super) revoked: Live<BTreeSet<AgentId>>,
    /// What agents run without a task; one entry at most for each agent that there ever was.
    pub(super) taskless: Index<Arc<Taskless>>,
    /// Agents are revoked and restored one after the other; held across the write.
    pub(super) revoking: tokio::sync::Mutex<()>,
    pub(super) health: Health,
    pub(super) ends: Ends,
    pub(super) signals: Signals,
    pub(super) known: Known,
    /// Baselines are written in turn; held across the write.
    pub(super) writing_habits: tokio::sync::Mutex<()>,
    pub(super) suspensions: broadcast::Sender<GrantId>,
    pub(super) moves: broadcast::Sender<Move>,
    family: Mutex<Family>,
}

impl Grants {
    /// No tasks and no grants. `runtime` must outlive the handle: ends are finished there.
    #[must_use]
    pub fn new(
        clock: Clock,
        store: Arc<dyn GrantStore>,
        limits: Limits,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Self {
        Self(Arc::new(Inner {
            boot: clock.boot_id(),
            signals: Signals::new(clock.clone(), limits.habits),
            writing_habits: tokio::sync::Mutex::default(),
            suspensions: broadcast::Sender::new(suspension::BACKLOG),
            moves: broadcast::Sender::new(suspension::MOVES),
            events: Events::new(clock.clone()),
            known: Known::default(),
            clock,
            store,
            metrics,
            limits,
            runtime,
            tasks: Index::new(),
            grants: Index::new(),
            pending: Index::new(),
            timers: Timers::default(),
            unstored: Unstored::default(),
            revoked: Live::new(BTreeSet::new()),
            taskless: Index::new(),
            revoking: tokio::sync::Mutex::default(),
            health: Health::default(),
            ends: Ends::new(),
            family: Mutex::default(),
        }))
    }

    /// An open task.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<Arc<LiveTask>> {
        self.0.tasks.get(id)
    }

    /// A grant in force.
    #[must_use]
    pub fn grant(&self, id: &GrantId) -> Option<Arc<LiveGrant>> {
        self.0.grants.get(id)
    }

    /// What is measured of the agents.
    #[must_use]
    pub fn signals(&self) -> &Signals {
        &self.0.signals
    }

    /// Where everything can be read that is or was, as far as it is kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn GrantStore> {
        &self.0.store
    }

    /// Runs a step that has to finish once it has begun, whether or not its caller waits for it.
    pub(super) async fn see_through<T: Send + 'static>(
        &self,
        step: impl Future<Output = Result<T, GrantsError>> + Send + 'static,
    ) -> Result<T, GrantsError> {
        let step = self.0.runtime.spawn(step);
        step.await.unwrap_or(Err(GrantsError::Stopping))
    }
}

impl Inner {
    pub(super) fn family(&self) -> MutexGuard<'_, Family> {
        // Changes under the lock are single map operations; a poisoned one is still whole.
        self.family.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}
