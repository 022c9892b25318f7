//! Ends: in memory at once, then in the store, then — when the last exchange is gone — acknowledged.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::error;

use super::events::Event;
use super::family::{Family, Outcome};
use super::service::Inner;
use super::{Grants, GrantsError, LiveGrant, LiveTask, Move, PendingGrant};
use crate::base::{BootInstant, ErrorChain};
use crate::model::{
    ClosedGrant, EndReason, Grant, GrantId, GrantRequest, Receipt, Task, TaskId, TaskState,
    Transition,
};
use crate::store::{Change, StoredTask};

/// A task that has ended, and the account of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The task as it is now.
    pub task: Task,
    /// What its end did.
    pub receipt: Receipt,
}

/// What an end has changed in memory and is still to be stored and waited for.
#[derive(Debug)]
pub(super) struct Begun {
    at: BootInstant,
    /// The ended tasks; the first is the one that was named.
    tasks: Vec<Task>,
    records: Vec<Grant>,
    closing: Vec<Arc<LiveGrant>>,
    decided: Vec<Arc<PendingGrant>>,
}

impl Grants {
    /// Ends a task, all tasks below it and all their grants, and answers when that is durable and the
    /// last exchange under them is gone. Ending what has ended gives the first answer again.
    ///
    /// Dropping the future does not undo or stop the end.
    ///
    /// # Errors
    ///
    /// When there is no such task, open or kept, or the store can't keep the end: in memory it stands.
    pub async fn end_task(&self, id: &TaskId, reason: EndReason) -> Result<Ending, GrantsError> {
        self.begin_end(id, reason);
        let waiting = self.0.family().endings.get(id).cloned();
        if let Some(mut waiting) = waiting
            && let Ok(outcome) = waiting.wait_for(Option::is_some).await
            && let Some(Err(error)) = &*outcome
        {
            return Err(error.clone());
        }
        match self.0.store.task(id).await? {
            Some(StoredTask { task, receipt }) if !task.is_open() => Ok(Ending {
                task,
                receipt: receipt.unwrap_or_default(),
            }),
            Some(_) | None => Err(GrantsError::TaskUnknown(id.clone())),
        }
    }

    /// Ends one grant, and answers when that is durable and the last exchange under it is gone.
    ///
    /// # Errors
    ///
    /// When the grant is not in force, or the store can't keep the end: in memory it stands. Whoever asks
    /// again then is told so, until it is stored.
    pub async fn end_grant(
        &self,
        id: &GrantId,
        reason: EndReason,
    ) -> Result<ClosedGrant, GrantsError> {
        let unknown = || GrantsError::GrantUnknown(id.clone());
        let over = || match self.0.ends.has_grant(id) && self.0.health.has_unstored_ends() {
            true => GrantsError::Unstored(id.clone()),
            false => unknown(),
        };
        let grant = self.grant(id).ok_or_else(over)?;
        let begun = self.0.end_grants_in_memory(vec![(grant, reason)]);
        let inner = Arc::clone(&self.0);
        // Spawned, so that a caller who hangs up can't leave an end half done.
        let finished = self
            .0
            .runtime
            .spawn(async move { inner.finish(&begun).await });
        let receipt = finished.await.map_err(|_| unknown())??;
        receipt.grants.into_iter().next().ok_or_else(unknown)
    }

    /// Ends grants, all of them in one step of the store, and answers when that is durable and the last
    /// exchanges under them are gone. The ids are of those that this has ended: the others were over.
    ///
    /// # Errors
    ///
    /// When the store can't keep the ends: in memory they stand.
    pub async fn end_grants(
        &self,
        grants: Vec<Arc<LiveGrant>>,
        reason: EndReason,
    ) -> Result<BTreeSet<GrantId>, GrantsError> {
        let named = grants.iter().map(|grant| grant.request().grant.clone());
        let named: BTreeSet<_> = named.collect();
        let grants = grants.into_iter().map(|grant| (grant, reason)).collect();
        let begun = self.0.end_grants_in_memory(grants);
        let ended = begun.records.iter().map(|one| one.request.grant.clone());
        let ended = ended.filter(|id| named.contains(id)).collect();
        let inner = Arc::clone(&self.0);
        self.see_through(async move { inner.finish(&begun).await.map(drop) })
            .await?;
        Ok(ended)
    }

    /// The grants that [`Grants::reconcile`] would end.
    #[must_use]
    pub fn would_end(&self, keep_grant: impl Fn(&GrantRequest) -> bool) -> Vec<Arc<LiveGrant>> {
        self.0.grants.collect(|grant| !keep_grant(grant.request()))
    }

    /// Ends every grant and task that `keep` does not want kept, as a new generation of policies may
    /// ask. They are over in memory when this returns.
    pub fn reconcile(
        &self,
        keep_task: impl Fn(&Task) -> bool,
        keep_grant: impl Fn(&GrantRequest) -> bool,
    ) {
        let lost = self.0.tasks.collect(|task| !keep_task(task.task()));
        for task in lost {
            self.begin_end(&task.task().id, EndReason::PolicyChanged);
        }
        let lost = self.0.grants.collect(|grant| !keep_grant(grant.request()));
        let lost = lost.into_iter().map(|g| (g, EndReason::PolicyChanged));
        self.begin_end_grants(lost.collect());
        let lost = self.0.pending.collect(|one| !keep_grant(one.request()));
        self.begin_end_pending(lost, &Transition::End(EndReason::PolicyChanged));
    }

    /// Ends a task in memory and leaves the rest to a task of its own.
    pub(super) fn begin_end(&self, id: &TaskId, reason: EndReason) {
        let (sender, receiver) = watch::channel(None);
        let begun = {
            let mut family = self.0.family();
            let Some(root) = self.0.tasks.get(id) else {
                return;
            };
            let mut line = vec![(root, reason)];
            let mut next = 0;
            while let Some((task, _)) = line.get(next) {
                let below = family.children.take(&task.task().id);
                let below = below.iter().filter_map(|id| self.0.tasks.get(id));
                line.extend(below.map(|task| (task, EndReason::ParentEnded)));
                next += 1;
            }
            for (task, _) in &line {
                family.count_ended(&task.task().agent);
                family.part_from_parent(task.task());
                family
                    .endings
                    .insert(task.task().id.clone(), receiver.clone());
            }
            self.0.end_tasks_in_memory(&mut family, &line)
        };
        let inner = Arc::clone(&self.0);
        self.0.runtime.spawn(async move {
            inner.finish_tasks(begun, sender).await;
        });
    }

    /// Ends grants in memory and leaves the rest to a task of its own.
    pub(super) fn begin_end_grants(&self, grants: Vec<(Arc<LiveGrant>, EndReason)>) {
        if grants.is_empty() {
            return;
        }
        let begun = self.0.end_grants_in_memory(grants);
        let inner = Arc::clone(&self.0);
        self.0.runtime.spawn(async move {
            if let Err(error) = inner.finish(&begun).await {
                error!(error = %ErrorChain(&error), "ended grants are not stored as ended");
            }
        });
    }
}

impl Inner {
    fn end_tasks_in_memory(
        &self,
        family: &mut Family,
        line: &[(Arc<LiveTask>, EndReason)],
    ) -> Begun {
        let (now, at) = (self.clock.now(), self.clock.wall());
        let mut begun = Begun::new(now);
        for (live, reason) in line {
            live.end(*reason, now);
            let mut task = live.task().clone();
            task.state = TaskState::Ended {
                reason: *reason,
                at,
            };
            self.ends.note_task(&task);
            begun.tasks.push(task);
            self.tasks.remove(&live.task().id);
            self.timers.remove_task(live);
            self.metrics.live_tasks.dec();
            for grant in live.grants().iter() {
                self.end_in_memory(family, grant, *reason, &mut begun);
            }
            live.set_grants(Vec::new());
            let waiting = family.pending_of_task.get(&live.task().id).cloned();
            for pending in waiting.unwrap_or_default() {
                self.end_pending_in_memory(family, &pending, Transition::End(*reason), &mut begun);
            }
        }
        begun
    }

    fn end_grants_in_memory(&self, grants: Vec<(Arc<LiveGrant>, EndReason)>) -> Begun {
        let mut begun = Begun::new(self.clock.now());
        let mut family = self.family();
        for (grant, reason) in grants {
            self.end_in_memory(&mut family, &grant, reason, &mut begun);
        }
        begun
    }

    /// Ends a grant, and with it all that were carved from it.
    fn end_in_memory(
        &self,
        family: &mut Family,
        grant: &Arc<LiveGrant>,
        reason: EndReason,
        begun: &mut Begun,
    ) {
        let mut line = vec![(Arc::clone(grant), reason)];
        while let Some((grant, reason)) = line.pop() {
            let id = &grant.request().grant;
            let ended = grant.end(reason, begun.at, self.clock.wall());
            if let Some(ended) = ended {
                self.note_end(ended, &mut begun.records);
            }
            if self.grants.remove(id).is_some() {
                self.timers.remove_grant(&grant);
                self.metrics.live_grants.dec();
                // Nobody may be listening.
                let _ = self.moves.send(Move::Went(id.clone()));
            }
            family.part_from_whole(grant.request());
            if let Some(task) = self.tasks.get(&grant.request().task) {
                let mut rest = task.grants().to_vec();
                rest.retain(|other| !Arc::ptr_eq(other, &grant));
                task.set_grants(rest);
            }
            let carved = family.carved.take(id);
            let carved = carved.iter().filter_map(|id| self.grants.get(id));
            line.extend(carved.map(|grant| (grant, EndReason::ParentEnded)));
            begun.closing.push(grant);
        }
    }

    /// Decides a request that waits; one that is decided already stays as it is.
    pub(super) fn end_pending_in_memory(
        &self,
        family: &mut Family,
        pending: &Arc<PendingGrant>,
        step: Transition,
        begun: &mut Begun,
    ) {
        if let Ok(ended) = pending.step(step, self.clock.wall()) {
            self.note_end(ended, &mut begun.records);
            self.forget_pending(family, pending);
            begun.decided.push(Arc::clone(pending));
        }
    }

    /// Stores the end, then waits for the last exchange under each grant.
    pub(super) async fn finish(self: &Arc<Self>, begun: &Begun) -> Result<Receipt, GrantsError> {
        let stored = self.store_end(begun.changes()).await;
        self.tell(begun);
        stored?;
        Ok(self.close(begun).await)
    }

    /// Waits for the last exchange under each grant.
    async fn close(&self, begun: &Begun) -> Receipt {
        let mut receipt = Receipt::default();
        for grant in &begun.closing {
            let mut closed = grant.closed().await;
            closed.took = self.clock.now() - begun.at;
            self.metrics.cut_delay.observe(closed.took.as_secs_f64());
            receipt.grants.push(closed);
        }
        receipt
    }

    /// Tells all who watch or wait, also where the store has failed: in memory the end stands.
    fn tell(&self, begun: &Begun) {
        for pending in &begun.decided {
            pending.settle();
        }
        for grant in &begun.records {
            self.events.tell(|| match grant.term() {
                Some(_) => Event::GrantEnded(grant.clone()),
                None => Event::RequestDecided(grant.clone()),
            });
        }
        for task in &begun.tasks {
            self.events.tell(|| Event::TaskEnded(task.clone()));
        }
    }

    /// Where the store fails, whoever waits is told so at once, and whoever asks again as well, until the end is
    /// stored with its receipts.
    async fn finish_tasks(self: &Arc<Self>, begun: Begun, done: watch::Sender<Option<Outcome>>) {
        let ended = begun.changes();
        let stored = self.try_to_store_end(&ended).await;
        self.tell(&begun);
        // How long it took until the last exchange was gone does not hang on the store.
        let (whole, ()) = tokio::join!(self.close(&begun), self.see_stored(stored, ended, &done));
        let receipts = begun.receipts(&whole);
        let stored = self.try_to_store_end(&receipts).await;
        self.see_stored(stored, receipts, &done).await;
        done.send_replace(Some(Ok(())));
        // Whoever asks from now on reads the store.
        let mut family = self.family();
        for task in &begun.tasks {
            family.endings.remove(&task.id);
        }
    }

    /// Resolves when `changes` are stored, also where that has failed at first.
    async fn see_stored(
        self: &Arc<Self>,
        stored: Outcome,
        changes: Vec<Change>,
        done: &watch::Sender<Option<Outcome>>,
    ) {
        if let Err(error) = stored {
            error!(error = %ErrorChain(&error), "an ended task is not stored as ended");
            let at_last = self.store_end_at_last(changes);
            done.send_replace(Some(Err(error)));
            at_last.await;
        }
    }
}

impl Begun {
    pub(super) const fn new(at: BootInstant) -> Self {
        Self {
            at,
            tasks: Vec::new(),
            records: Vec::new(),
            closing: Vec::new(),
            decided: Vec::new(),
        }
    }

    /// Whether nothing has changed.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.tasks.is_empty() && self.closing.is_empty()
    }

    /// The ends, as the store is to know them.
    fn changes(&self) -> Vec<Change> {
        let tasks = self.tasks.iter().cloned();
        let tasks = tasks.map(|task| Change::PutTask(task, None));
        let grants = self.records.iter().cloned().map(Change::PutGrant);
        tasks.chain(grants).collect()
    }

    /// The named task's receipt tells of every grant, a span's of its own.
    fn receipts(&self, whole: &Receipt) -> Vec<Change> {
        let tasks = self.tasks.iter().enumerate();
        let receipts = tasks.map(|(place, task)| {
            let receipt = if place == 0 {
                whole.clone()
            } else {
                self.part_of(whole, &task.id)
            };
            Change::PutTask(task.clone(), Some(receipt))
        });
        receipts.collect()
    }

    fn part_of(&self, whole: &Receipt, task: &TaskId) -> Receipt {
        let own = |closed: &&ClosedGrant| {
            let mut grants = self.closing.iter().map(|grant| grant.request());
            grants.any(|request| request.grant == closed.id && request.task == *task)
        };
        Receipt {
            grants: whole.grants.iter().filter(own).cloned().collect(),
        }
    }
}
