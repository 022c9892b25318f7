//! Bringing grants into force.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::events::Event;
use super::family::Family;
use super::service::Inner;
use super::{Grants, GrantsError, LiveGrant, LiveTask, Move};
use crate::base::BootInstant;
use crate::model::{
    Circumstances, EndReason, Entitlement, Grant, GrantId, GrantRequest, Inputs, RequestId, Shared,
    Transition,
};
use crate::store::Change;

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
}

impl Inner {
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
