//! Requests that wait for people: from the asking to the decision.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tracing::error;

use super::activation::{Asking, later};
use super::ending::Begun;
use super::events::Event;
use super::family::Family;
use super::service::Inner;
use super::{Grants, GrantsError, LiveGrant, LiveTask, PendingGrant, agreed_life};
use crate::base::{BootInstant, ErrorChain};
use crate::model::{
    Approval, ApprovalRule, EndReason, Grant, GrantState, RequestId, Shared, Transition,
    TransitionError,
};
use crate::store::{Change, GrantMark};

/// What the rules say when they are asked again; why not, where they say no.
pub type Verdict = Result<(), Arc<str>>;

/// What an approval has led to.
#[derive(Debug)]
pub enum Approved {
    /// The grant is in force.
    Active(Arc<LiveGrant>),
    /// The rules, asked again, say no: the request is over, with this reason.
    Refused(Arc<str>),
    /// So many more people have to agree.
    Waits(usize),
}

impl Grants {
    /// Lets a request wait for the people of `rule`; it is durable when this returns. Where the same
    /// request waits already, that one is the answer. Tells too whether it has come to wait just now.
    ///
    /// # Errors
    ///
    /// When the task has ended, too many requests wait, or the store can't keep it.
    pub async fn ask_people(
        &self,
        asking: Asking<'_>,
        rule: Shared<ApprovalRule>,
    ) -> Result<(Arc<PendingGrant>, bool), GrantsError> {
        let task = Arc::clone(asking.task);
        let (now, at) = self.0.clock.times();
        let until = (now + rule.expires).min(task.oldest());
        let mut request = asking.request(at);
        request.right.approval = Some(rule);
        let mut grant = Grant::requested(self.0.known.share(request));
        let time = later(at, until - now);
        grant.apply(Transition::AskApproval { until: time }, at)?;
        let inner = Arc::clone(&self.0);
        self.see_through(async move { inner.let_wait(&task, grant, until).await })
            .await
    }

    /// A request that waits.
    #[must_use]
    pub fn pending(&self, id: &RequestId) -> Option<Arc<PendingGrant>> {
        self.0.pending.get(id)
    }

    /// All requests that wait and that `wanted` names, in no order.
    #[must_use]
    pub fn all_pending(&self, wanted: impl Fn(&PendingGrant) -> bool) -> Vec<Arc<PendingGrant>> {
        self.0.pending.collect(|pending| wanted(pending))
    }

    /// Takes down that a person agrees. Where that is the last one needed, `rules` are asked again and
    /// the grant comes into force. What is answered is durable.
    ///
    /// # Errors
    ///
    /// When the request is over, the same person has agreed before, the task has no room, or the store
    /// can't keep it; then nothing has changed.
    pub async fn approve(
        &self,
        pending: &Arc<PendingGrant>,
        approval: Approval,
        rules: impl FnOnce() -> Verdict + Send + 'static,
    ) -> Result<Approved, GrantsError> {
        let (grants, pending) = (self.clone(), Arc::clone(pending));
        self.see_through(async move { grants.approve_in_turn(&pending, approval, rules).await })
            .await
    }

    /// Decides against a request that waits, as its agent or a person wishes; durable when this returns.
    ///
    /// # Errors
    ///
    /// When it is decided already, or the store can't keep the end: in memory it stands.
    pub async fn refuse(
        &self,
        pending: &Arc<PendingGrant>,
        reason: EndReason,
        note: Option<Arc<str>>,
    ) -> Result<Grant, GrantsError> {
        let step = match note {
            Some(note) => Transition::Refuse { reason, note },
            None => Transition::End(reason),
        };
        let begun = self.0.decide_against(vec![Arc::clone(pending)], &step);
        if begun.is_empty() {
            let id = pending.request().id.clone();
            return Err(GrantsError::RequestUnknown(id));
        }
        let inner = Arc::clone(&self.0);
        self.see_through(async move { inner.finish(&begun).await })
            .await?;
        Ok(pending.record())
    }

    /// Decides against requests in memory and leaves the rest to a task of its own.
    pub(super) fn begin_end_pending(&self, pending: Vec<Arc<PendingGrant>>, step: &Transition) {
        let begun = self.0.decide_against(pending, step);
        if begun.is_empty() {
            return;
        }
        let inner = Arc::clone(&self.0);
        self.0.runtime.spawn(async move {
            if let Err(error) = inner.finish(&begun).await {
                error!(error = %ErrorChain(&error), "decided requests are not stored as decided");
            }
        });
    }

    /// Lets a request wait that waited when the gateway stopped. `until` is what is left of its time.
    pub fn restore_pending(&self, grant: Grant, until: BootInstant) {
        let pending = Arc::new(PendingGrant::new(grant, until));
        self.0.remember_pending(&mut self.0.family(), &pending);
    }

    async fn approve_in_turn(
        &self,
        pending: &Arc<PendingGrant>,
        approval: Approval,
        rules: impl FnOnce() -> Verdict,
    ) -> Result<Approved, GrantsError> {
        let inner = &self.0;
        let _turn = pending.turn.lock().await;
        let request = pending.request();
        let over = || GrantsError::RequestUnknown(request.id.clone());
        let task = inner.tasks.get(&request.task).ok_or_else(over)?;
        let (now, at) = inner.clock.times();
        if now >= pending.until() {
            return Err(over());
        }
        let mut grant = pending.record();
        grant.apply(Transition::Approve(approval), at)?;
        let missing = missing(&grant);
        if missing > 0 {
            inner
                .store
                .commit(vec![Change::PutGrant(grant.clone())])
                .await?;
            pending.advance(&grant.state)?;
            return Ok(Approved::Waits(missing));
        }
        if let Err(note) = rules() {
            let reason = EndReason::ConditionChanged;
            self.refuse(pending, reason, Some(Arc::clone(&note)))
                .await?;
            return Ok(Approved::Refused(note));
        }
        inner.check_room(&task, now)?;
        let agreed = agreed_life(request, approvals(&grant));
        let deadline = (now + agreed.unwrap_or(request.duration)).min(task.oldest());
        let expires_at = later(at, deadline - now);
        grant.apply(Transition::Activate { expires_at }, at)?;
        let live = inner.decide_for(&task, pending, grant, deadline).await?;
        Ok(Approved::Active(live))
    }
}

impl Inner {
    async fn let_wait(
        self: &Arc<Self>,
        task: &Arc<LiveTask>,
        grant: Grant,
        until: BootInstant,
    ) -> Result<(Arc<PendingGrant>, bool), GrantsError> {
        if let Some(same) = self.check_waiting_room(&self.family(), task, &grant)? {
            return Ok((same, false));
        }
        let mark = GrantMark {
            starts: self.clock.now(),
            deadline: until,
            calls_left: None,
            bytes_left: None,
        };
        let marked = Change::MarkGrant(grant.request.grant.clone(), mark);
        self.store
            .commit(vec![Change::AddGrant(grant.clone()), marked])
            .await?;
        let pending = Arc::new(PendingGrant::new(grant, until));
        let outcome = {
            let mut family = self.family();
            // The same may have come to wait, or the task may have ended, while the store was writing.
            let outcome = self.check_waiting_room(&family, task, &pending.record());
            if matches!(outcome, Ok(None)) {
                self.remember_pending(&mut family, &pending);
            }
            outcome
        };
        if let Ok(None) = outcome {
            self.events.tell(|| Event::RequestPending(pending.record()));
            return Ok((pending, true));
        }
        let reason = task.ended(self.clock.now());
        let reason = reason.unwrap_or(EndReason::Withdrawn);
        let ended = pending.step(Transition::End(reason), self.clock.wall())?;
        self.store_end(vec![Change::PutGrant(ended)]).await?;
        let id = || pending.request().id.clone();
        let same = outcome?.ok_or_else(|| GrantsError::RequestUnknown(id()))?;
        Ok((same, false))
    }

    /// The same request, where it waits already; nothing, where there is room for one more.
    fn check_waiting_room(
        &self,
        family: &Family,
        task: &LiveTask,
        grant: &Grant,
    ) -> Result<Option<Arc<PendingGrant>>, GrantsError> {
        let now = self.clock.now();
        let id = &task.task().id;
        if let Some(reason) = task.ended(now) {
            return Err(GrantsError::TaskEnded(id.clone(), reason));
        }
        let waiting = family.pending_of_task.get(id);
        let waiting = waiting.map_or(&[][..], Vec::as_slice);
        let same = |one: &&Arc<PendingGrant>| now < one.until() && one.is_same_as(&grant.request);
        if let Some(same) = waiting.iter().find(same) {
            return Ok(Some(Arc::clone(same)));
        }
        let of_agent = family.pending_by_agent.get(&task.task().agent);
        let full = |count: usize, limit: usize| (count >= limit).then_some(limit);
        let full = full(waiting.len(), self.limits.pending_per_task).or_else(|| {
            let count = of_agent.copied().unwrap_or_default();
            full(count, self.limits.pending_per_agent)
        });
        match full {
            Some(limit) => Err(GrantsError::TooManyPending { limit }),
            None => Ok(None),
        }
    }

    fn remember_pending(&self, family: &mut Family, pending: &Arc<PendingGrant>) {
        let request = pending.request();
        let of_task = family.pending_of_task.entry(request.task.clone());
        of_task.or_default().push(Arc::clone(pending));
        let of_agent = family.pending_by_agent.entry(request.agent.clone());
        *of_agent.or_default() += 1;
        self.pending.insert(Arc::clone(pending));
        self.timers.add_request(pending);
    }

    pub(super) fn forget_pending(&self, family: &mut Family, pending: &Arc<PendingGrant>) {
        let request = pending.request();
        if self.pending.remove(&request.id).is_none() {
            return;
        }
        self.timers.remove_request(pending);
        if let Some(of_task) = family.pending_of_task.get_mut(&request.task) {
            of_task.retain(|other| !Arc::ptr_eq(other, pending));
            if of_task.is_empty() {
                family.pending_of_task.remove(&request.task);
            }
        }
        if let Some(of_agent) = family.pending_by_agent.get_mut(&request.agent) {
            *of_agent = of_agent.saturating_sub(1);
            if *of_agent == 0 {
                family.pending_by_agent.remove(&request.agent);
            }
        }
    }

    /// Stores a request as the grant that it has become, and makes that live.
    async fn decide_for(
        self: &Arc<Self>,
        task: &Arc<LiveTask>,
        pending: &Arc<PendingGrant>,
        grant: Grant,
        deadline: BootInstant,
    ) -> Result<Arc<LiveGrant>, GrantsError> {
        let state = grant.state.clone();
        let live = self.store_active(grant, deadline, Change::PutGrant).await?;
        let attached = {
            let mut family = self.family();
            // An end that came while the store was writing stands, in memory and in the store.
            let advanced = pending.advance(&state).map_err(GrantsError::from);
            let attached = advanced.and_then(|()| self.attach(&mut family, task, &live));
            if attached.is_ok() {
                self.forget_pending(&mut family, pending);
            }
            attached
        };
        match attached {
            Ok(()) => {
                pending.settle();
                self.events.tell(|| Event::RequestDecided(live.record()));
                Ok(live)
            }
            Err(error @ GrantsError::OutOfPlace(TransitionError::Ended(_))) => Err(error),
            Err(error) => {
                self.forget_pending(&mut self.family(), pending);
                let error = self.bury(task, &live, error).await;
                pending.settle();
                Err(error)
            }
        }
    }

    fn decide_against(&self, pending: Vec<Arc<PendingGrant>>, step: &Transition) -> Begun {
        let mut begun = Begun::new(self.clock.now());
        let mut family = self.family();
        for one in pending {
            self.end_pending_in_memory(&mut family, &one, step.clone(), &mut begun);
        }
        begun
    }
}

/// How many more people have to agree. A quorum of none would be no approval: one is the least.
fn missing(grant: &Grant) -> usize {
    let rule = grant.request.right.approval.as_ref();
    let quorum = rule.map_or(1, |rule| rule.quorum.max(1));
    usize::try_from(quorum)
        .unwrap_or(usize::MAX)
        .saturating_sub(approvals(grant).len())
}

fn approvals(grant: &Grant) -> &[Approval] {
    match &grant.state {
        GrantState::Pending { approvals, .. } => approvals,
        GrantState::Active(_)
        | GrantState::Ended { .. }
        | GrantState::Requested
        | GrantState::Suspended(_) => &[],
    }
}
