//! Opening tasks and bringing grants into force.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

use super::clockwork::Timers;
use super::events::{Event, Events};
use super::forgetting::Retention;
use super::health::Health;
use super::index::Index;
use super::known::Known;
use super::parts::Parts;
use super::presence::Taskless;
use super::reading::Ends;
use super::suspension;
use super::unstored::Unstored;
use super::{GrantsError, LiveGrant, LiveTask, Move, PendingGrant};
use crate::base::{BootId, BootInstant, Clock, Live};
use crate::model::{
    AgentId, Circumstances, EndReason, Entitlement, Grant, GrantId, GrantRequest, Inputs,
    RequestId, Shared, Task, TaskId, TaskState, Transition,
};
use crate::signals::{HabitRules, Signals};
use crate::store::{Change, GrantStore, StoreError};
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

/// What belongs to what. Its lock orders every change of structure (a task opened below another, a
/// grant brought into force, an end) against every other; it is never held across an await.
#[derive(Debug, Default)]
pub(super) struct Family {
    /// The open spans of an open task.
    pub(super) children: Parts<TaskId>,
    pub(super) open_by_agent: HashMap<AgentId, usize>,
    /// The live grants that were carved from a live grant.
    pub(super) carved: Parts<GrantId>,
    pub(super) pending_of_task: HashMap<TaskId, Vec<Arc<PendingGrant>>>,
    pub(super) pending_by_agent: HashMap<AgentId, usize>,
    pub(super) endings: HashMap<TaskId, watch::Receiver<Option<Outcome>>>,
}

/// How the end of a task came out, for all who wait for it.
pub(super) type Outcome = Result<(), GrantsError>;

/// A task to open.
#[derive(Clone, Debug)]
pub struct OpenTask {
    /// Its id; a random one where absent.
    pub id: Option<TaskId>,
    /// The agent that will work on it.
    pub agent: AgentId,
    /// What kind of work it is.
    pub kind: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// The open task it is a span of.
    pub parent: Option<TaskId>,
    /// Who opens it.
    pub opened_by: String,
    /// How long it lives without a sign of life.
    pub lease: Option<Duration>,
}

/// A grant to bring into force, its conditions already asked.
#[derive(Clone, Debug)]
pub struct Asking<'a> {
    /// The entitlement, as the live generation has it.
    pub entitlement: &'a Entitlement,
    /// The task it is for.
    pub task: &'a Arc<LiveTask>,
    /// The agent's words.
    pub reason: Option<String>,
    /// The life asked for; the entitlement's longest where absent.
    pub duration: Option<Duration>,
    /// What calls will have to agree with.
    pub input: Inputs,
    /// What else is known of the asker.
    pub asked: Circumstances,
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

    /// Opens a task; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// When the id was used before, the parent is not open, or a limit is reached; no task is opened
    /// then.
    pub async fn open_task(&self, open: OpenTask) -> Result<Arc<LiveTask>, GrantsError> {
        let parent = open.parent.as_ref().map(|id| self.live_parent(id));
        let parent = parent.transpose()?;
        // Ids of this form are not remembered for ever, so nobody else may give one.
        if let Some(id) = open.id.as_ref().filter(|id| id.is_of_random_form()) {
            return Err(GrantsError::TaskIdUsed(id.clone()));
        }
        let task = self.0.draft(open, parent.as_deref())?;
        let grants = self.clone();
        self.see_through(async move { grants.open_drafted(task, parent).await })
            .await
    }

    async fn open_drafted(
        &self,
        task: Task,
        parent: Option<Arc<LiveTask>>,
    ) -> Result<Arc<LiveTask>, GrantsError> {
        let inner = &self.0;
        let (agent, id) = (task.agent.clone(), task.id.clone());
        if self.is_revoked(&agent) {
            return Err(GrantsError::AgentRevoked(agent));
        }
        inner
            .family()
            .count_open(&agent, inner.limits.tasks_per_agent)?;
        let now = inner.clock.now();
        let live = LiveTask::new(task.clone(), now, now).telling(&inner.unstored.tasks);
        let live = Arc::new(live);
        let (mark, changes) = live.mark();
        let marked = Change::MarkTask(id.clone(), mark.clone());
        let commit = inner.store.commit(vec![Change::OpenTask(task), marked]);
        if let Err(error) = commit.await {
            inner.family().count_ended(&agent);
            return Err(match error {
                StoreError::TaskIdUsed(id) => GrantsError::TaskIdUsed(id),
                error => GrantsError::Store(error),
            });
        }
        live.note_stored(&mark, changes);
        {
            let mut family = inner.family();
            inner.tasks.insert(Arc::clone(&live));
            inner.metrics.live_tasks.inc();
            if let Some(parent) = &parent {
                family.children.add(&parent.task().id, &id);
            }
            inner.timers.add_task(&live);
        }
        // The parent may have ended while the store was writing; its end did not see this task.
        if let Some(reason) = parent.and_then(|parent| parent.end_reason()) {
            self.end_task(&id, EndReason::ParentEnded).await?;
            return Err(GrantsError::TaskEnded(id, reason));
        }
        if self.is_revoked(&agent) {
            self.end_task(&id, EndReason::AgentRevoked).await?;
            return Err(GrantsError::AgentRevoked(agent));
        }
        Ok(live)
    }

    /// Brings a grant into force; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// When the task has ended or has too many grants, or the store can't keep it.
    pub async fn activate(&self, asking: Asking<'_>) -> Result<Arc<LiveGrant>, GrantsError> {
        let inner = &self.0;
        let task = Arc::clone(asking.task);
        let now = inner.clock.now();
        inner.check_room(&task, now)?;
        let deadline = (now + asking.term()).min(task.oldest());
        let at = inner.clock.wall();
        let mut grant = Grant::requested(inner.known.share(asking.request(at)));
        let expires_at = later(at, deadline - now);
        grant.apply(Transition::Activate { expires_at }, at)?;
        let inner = Arc::clone(inner);
        self.see_through(async move { inner.bring_into_force(&task, grant, deadline).await })
            .await
    }

    /// Runs a step that has to finish once it has begun, whether or not its caller waits for it.
    pub(super) async fn see_through<T: Send + 'static>(
        &self,
        step: impl Future<Output = Result<T, GrantsError>> + Send + 'static,
    ) -> Result<T, GrantsError> {
        let step = self.0.runtime.spawn(step);
        step.await.unwrap_or(Err(GrantsError::Stopping))
    }

    fn live_parent(&self, id: &TaskId) -> Result<Arc<LiveTask>, GrantsError> {
        let parent = self.task(id);
        let parent = parent.ok_or_else(|| GrantsError::TaskUnknown(id.clone()))?;
        match parent.ended(self.0.clock.now()) {
            Some(reason) => Err(GrantsError::TaskEnded(id.clone(), reason)),
            None => Ok(parent),
        }
    }
}

impl Inner {
    pub(super) fn family(&self) -> MutexGuard<'_, Family> {
        // Changes under the lock are single map operations; a poisoned one is still whole.
        self.family.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draft(&self, open: OpenTask, parent: Option<&LiveTask>) -> Result<Task, GrantsError> {
        let limits = &self.limits;
        let depth = parent.map_or(0, |parent| parent.task().depth + 1);
        if depth > limits.depth {
            let limit = limits.depth;
            return Err(GrantsError::TooDeep { limit });
        }
        let now = self.clock.now();
        let left_above = parent.map(|parent| parent.oldest() - now);
        Ok(Task {
            id: open.id.unwrap_or_else(TaskId::random),
            agent: open.agent,
            kind: open.kind,
            description: open.description,
            parent: open.parent,
            depth,
            opened_by: open.opened_by,
            opened_at: self.clock.wall(),
            lease: open.lease.unwrap_or(limits.lease).min(limits.longest_lease),
            max_age: left_above.map_or(limits.task_max_age, |left| left.min(limits.task_max_age)),
            state: TaskState::Open,
        })
    }

    /// Stores an active grant and makes it live.
    async fn bring_into_force(
        self: &Arc<Self>,
        task: &Arc<LiveTask>,
        grant: Grant,
        deadline: BootInstant,
    ) -> Result<Arc<LiveGrant>, GrantsError> {
        let live = self.store_active(grant, deadline, Change::AddGrant).await?;
        let attached = self.attach(&mut self.family(), task, &live);
        match attached {
            Ok(()) => Ok(live),
            Err(error) => Err(self.bury(task, &live, error).await),
        }
    }

    /// Stores a grant that comes into force, as a new one or as a step, with what a restart has to know of
    /// it.
    pub(super) async fn store_active(
        &self,
        grant: Grant,
        deadline: BootInstant,
        change: fn(Grant) -> Change,
    ) -> Result<Arc<LiveGrant>, GrantsError> {
        let live = LiveGrant::new(grant.clone(), self.clock.now(), deadline)
            .telling(&self.unstored.grants);
        let mark = live.mark();
        let marked = Change::MarkGrant(grant.request.grant.clone(), mark);
        self.store.commit(vec![change(grant), marked]).await?;
        live.note_stored(&mark);
        Ok(Arc::new(live))
    }

    /// Makes a stored grant live: calls may pass under it from here on.
    pub(super) fn attach(
        &self,
        family: &mut Family,
        task: &Arc<LiveTask>,
        live: &Arc<LiveGrant>,
    ) -> Result<(), GrantsError> {
        self.check_room(task, self.clock.now())?;
        let request = live.request();
        if let Some(parent) = request.parent.as_deref() {
            let above = self.grants.get(parent);
            above.ok_or_else(|| GrantsError::GrantUnknown(parent.clone()))?;
            family.carved.add(parent, &request.grant);
        }
        let others = task.grants();
        let grants = others.iter().chain([live]).map(Arc::clone);
        task.set_grants(grants.collect());
        self.grants.insert(Arc::clone(live));
        self.metrics.live_grants.inc();
        self.timers.add_grant(live);
        // Nobody may be listening.
        let _ = self.moves.send(Move::Came(Arc::clone(live)));
        self.events.tell(|| Event::GrantActive(live.record()));
        Ok(())
    }

    /// Ends a stored grant that could not be made live. Its task ended while the store was writing, and
    /// that end did not see the grant.
    pub(super) async fn bury(
        self: &Arc<Self>,
        task: &LiveTask,
        live: &LiveGrant,
        error: GrantsError,
    ) -> GrantsError {
        let now = self.clock.now();
        let reason = task.ended(now).unwrap_or(EndReason::Revoked);
        let Some(ended) = live.end(reason, now, self.clock.wall()) else {
            return error;
        };
        match self.store_end(vec![Change::PutGrant(ended)]).await {
            Ok(()) => error,
            Err(unstored) => unstored,
        }
    }

    pub(super) fn check_room(&self, task: &LiveTask, now: BootInstant) -> Result<(), GrantsError> {
        let id = || task.task().id.clone();
        if let Some(reason) = task.ended(now) {
            return Err(GrantsError::TaskEnded(id(), reason));
        }
        let limit = self.limits.grants_per_task;
        if task.grants().len() >= limit {
            let task = id();
            return Err(GrantsError::TooManyGrants { task, limit });
        }
        Ok(())
    }
}

impl Family {
    fn count_open(&mut self, agent: &AgentId, limit: usize) -> Result<(), GrantsError> {
        let open = self.open_by_agent.entry(agent.clone()).or_default();
        if *open >= limit {
            let agent = agent.clone();
            return Err(GrantsError::TooManyTasks { agent, limit });
        }
        *open += 1;
        Ok(())
    }

    /// A task is no open span of the one above any more.
    pub(super) fn part_from_parent(&mut self, task: &Task) {
        self.children.remove(task.parent.as_ref(), &task.id);
    }

    /// A grant is no live part of the one above any more.
    pub(super) fn part_from_whole(&mut self, request: &GrantRequest) {
        self.carved
            .remove(request.parent.as_deref(), &request.grant);
    }

    pub(super) fn count_ended(&mut self, agent: &AgentId) {
        if let Some(open) = self.open_by_agent.get_mut(agent) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open_by_agent.remove(agent);
            }
        }
    }
}

impl Asking<'_> {
    fn term(&self) -> Duration {
        let longest = self.entitlement.max_ttl;
        self.duration.map_or(longest, |asked| asked.min(longest))
    }

    pub(super) fn request(&self, requested_at: Timestamp) -> GrantRequest {
        let entitlement = self.entitlement;
        GrantRequest {
            id: RequestId::random(),
            grant: GrantId::random(),
            agent: self.task.task().agent.clone(),
            task: self.task.task().id.clone(),
            right: entitlement.right().into(),
            input: Shared::of(self.input.clone()),
            reason: self.reason.clone().map(String::into_boxed_str),
            duration: self.term(),
            requested_at,
            parent: None,
            asked: self.asked.clone().into(),
        }
    }
}

/// `at` plus `by`, or the end of time where the sum has no date.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}
