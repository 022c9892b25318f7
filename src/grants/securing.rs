//! What the store knows of use: calls and histories ahead of what they let through, all else every few
//! seconds.
//!
//! A proxied request reads nothing from the store. What it counts must survive a crash all the same, or a
//! crash would give calls back. So the store always knows of some calls ahead of their use as used; a call
//! that has come so far waits until it knows of more, which a group of calls waits for together. After a
//! crash a grant has [so many](super::ahead) calls less than it had, never one more; an orderly stop loses none.
//!
//! Where a rule reads what a task has called, the same goes for the history: a call waits until it is
//! counted in the store. Bytes, leases, successes and histories that no rule reads are written with the
//! clocks; a crash forgets at most what [`EVERY`] moved.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::service::Inner;
use super::unstored::{Note as _, Taken};
use super::{Exchange, Grants, GrantsError, LiveGrant, LiveTask};
use crate::base::ErrorChain;
use crate::model::{GrantId, TaskId};
use crate::store::{Change, ClockMark};

/// How often the clocks are marked, and how far a reboot shortens what is left.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// Marks in one batch: others' changes come between.
const BATCH: usize = 256;

/// A call that waits until the store knows of it. Taken from an [`Exchange`]; it holds nothing open.
#[derive(Debug)]
pub struct Claim {
    call: Option<(Arc<LiveGrant>, u64)>,
    counted: Option<(Arc<LiveTask>, u64)>,
}

impl Claim {
    /// What the store has to know before the first byte of an exchange goes up: that its call is taken,
    /// and that it is counted in the history of `counted`, where a rule reads that.
    #[must_use]
    pub fn new(exchange: Option<&Exchange>, counted: Option<&Arc<LiveTask>>) -> Self {
        let limited = |exchange: &Exchange| Some((Arc::clone(exchange.grant()), exchange.left()?));
        let counted = counted.map(|task| (Arc::clone(task), task.ledger().changes()));
        Self {
            call: exchange.and_then(limited),
            counted,
        }
    }

    /// Whether no crash can undo it as it is, and nothing has to be stored ahead of the calls to come.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        let call = self.call.as_ref();
        let counted = self.counted.as_ref();
        call.is_none_or(|(grant, left)| grant.stored_calls() <= *left && !grant.runs_short(*left))
            && counted.is_none_or(|(task, changes)| task.stored_changes() >= *changes)
    }
}

impl Grants {
    /// Resolves once no crash can undo `claim`. Most resolve without waiting.
    ///
    /// # Errors
    ///
    /// When the store can't keep it: the call must not be made.
    pub async fn secure(&self, claim: Claim) -> Result<(), GrantsError> {
        if let Some((grant, left)) = claim.call {
            self.secure_call(&grant, left).await?;
        }
        if let Some((task, changes)) = claim.counted
            && task.stored_changes() < changes
        {
            self.0.store_history(&task, changes).await?;
        }
        Ok(())
    }

    async fn secure_call(&self, grant: &Arc<LiveGrant>, left: u64) -> Result<(), GrantsError> {
        let stored = grant.stored_calls();
        if stored > left {
            return self.0.store_calls(grant, left).await;
        }
        if grant.runs_short(left) && grant.turn().try_lock().is_ok() {
            // Before anybody has to wait.
            let (inner, grant) = (Arc::clone(&self.0), Arc::clone(grant));
            self.0.runtime.spawn(async move {
                if let Err(error) = inner.store_more_calls(&grant).await {
                    warn!(error = %ErrorChain(&error), "calls can't be stored ahead of use");
                }
            });
        }
        Ok(())
    }

    /// Writes clocks, budgets, leases and histories every few seconds, for as long as it is polled.
    pub async fn run_checkpoints(self) {
        loop {
            let clock = &self.0.clock;
            clock.sleep_until(clock.now() + EVERY).await;
            if let Err(error) = self.checkpoint().await {
                warn!(error = %ErrorChain(&error), "clocks and budgets can't be stored");
            }
        }
    }

    /// Writes clocks, budgets, leases and histories now.
    ///
    /// # Errors
    ///
    /// When the store can't keep them. What was written before stands, and is on the safe side.
    pub async fn checkpoint(&self) -> Result<(), GrantsError> {
        let outcome = self.0.store_all().await;
        self.0.health.checkpoint(outcome.is_ok());
        outcome
    }

    /// Writes all at the orderly stop, when no exchange runs any more: no call that was not made is lost.
    ///
    /// # Errors
    ///
    /// When the store can't keep it.
    pub async fn close(&self) -> Result<(), GrantsError> {
        for grant in self.0.grants.collect(|_| true) {
            grant.give_back_unused();
        }
        let habits = self.write_habits().await;
        self.checkpoint().await?;
        habits
    }
}

impl Inner {
    /// Makes the store know of no more than `left` calls, and of some less, if it knows of more.
    async fn store_calls(&self, grant: &LiveGrant, left: u64) -> Result<(), GrantsError> {
        let _turn = grant.turn().lock().await;
        if grant.stored_calls() <= left {
            return Ok(());
        }
        self.store_calls_ahead(grant, left).await
    }

    /// Makes the store know of as many fewer calls than there are left as it is to be ahead.
    async fn store_more_calls(&self, grant: &LiveGrant) -> Result<(), GrantsError> {
        let _turn = grant.turn().lock().await;
        self.store_calls_ahead(grant, u64::MAX).await
    }

    /// The same; only in turn, and where no more than `left` calls are left.
    async fn store_calls_ahead(&self, grant: &LiveGrant, left: u64) -> Result<(), GrantsError> {
        let now = self.clock.now();
        let (mark, ahead) = grant.mark_ahead(left, now);
        if mark.calls_left >= Some(grant.stored_calls()) {
            // Others have been here meanwhile. What is known already is never taken back by this.
            return Ok(());
        }
        let id = grant.request().grant.clone();
        self.store.commit(vec![Change::MarkGrant(id, mark)]).await?;
        grant.note_ahead(&mark, ahead, now);
        Ok(())
    }

    async fn store_history(&self, task: &LiveTask, changes: u64) -> Result<(), GrantsError> {
        let _turn = task.turn().lock().await;
        if task.stored_changes() >= changes {
            return Ok(());
        }
        let (mark, changes) = task.mark();
        let id = task.task().id.clone();
        let change = Change::MarkTask(id, mark.clone());
        self.store.commit(vec![change]).await?;
        task.note_stored(&mark, changes);
        Ok(())
    }

    async fn store_all(&self) -> Result<(), GrantsError> {
        // What changes from here on may come with the next.
        let mut grants = self.unstored.grants.len();
        while grants > 0 {
            let some = grants.min(BATCH);
            self.store_grants(&self.unstored.grants.take(some)).await?;
            grants -= some;
        }
        let mut tasks = self.unstored.tasks.len();
        while tasks > 0 {
            let some = tasks.min(BATCH);
            self.store_tasks(&self.unstored.tasks.take(some)).await?;
            tasks -= some;
        }
        let mark = self.clock_mark();
        Ok(self.store.commit(vec![Change::MarkClock(mark)]).await?)
    }

    /// Marks grants that were taken from the list of what has changed. One whose turn is taken comes with
    /// the next: what is being written of it need not be its mark.
    async fn store_grants(&self, names: &[GrantId]) -> Result<(), GrantsError> {
        let now = self.clock.now();
        let grants = names.iter().filter_map(|name| self.grants.get(name));
        let mut taken = Taken(grants.collect());
        let mut marks = Vec::with_capacity(taken.0.len());
        for grant in &taken.0 {
            grant.clear_note();
            if let Ok(turn) = grant.turn().try_lock() {
                marks.push((Arc::clone(grant), grant.mark_relaxed(now), turn));
            } else {
                grant.note();
            }
        }
        let change =
            |grant: &LiveGrant, mark| Change::MarkGrant(grant.request().grant.clone(), mark);
        let batch = marks.iter().map(|(grant, mark, _)| change(grant, *mark));
        self.store_marks(batch.collect()).await?;
        for (grant, mark, _turn) in &marks {
            grant.note_stored(mark);
            if grant.is_far_ahead() {
                grant.note();
            }
        }
        drop(marks);
        taken.0.clear();
        Ok(())
    }

    /// Marks tasks that were taken from the list of what has changed. One whose turn is taken comes with the
    /// next.
    async fn store_tasks(&self, names: &[TaskId]) -> Result<(), GrantsError> {
        let tasks = names.iter().filter_map(|name| self.tasks.get(name));
        let mut taken = Taken(tasks.collect());
        let mut marks = Vec::with_capacity(taken.0.len());
        for task in &taken.0 {
            task.clear_note();
            if !task.is_ahead_of_store() {
                continue;
            }
            if let Ok(turn) = task.turn().try_lock() {
                marks.push((Arc::clone(task), task.mark(), turn));
            } else {
                task.note();
            }
        }
        let change = |(task, (mark, _), _): &(Arc<LiveTask>, _, _)| {
            Change::MarkTask(task.task().id.clone(), Clone::clone(mark))
        };
        self.store_marks(marks.iter().map(change).collect()).await?;
        for (task, (mark, changes), _turn) in &marks {
            task.note_stored(mark, *changes);
        }
        drop(marks);
        taken.0.clear();
        Ok(())
    }

    async fn store_marks(&self, marks: Vec<Change>) -> Result<(), GrantsError> {
        if marks.is_empty() {
            return Ok(());
        }
        Ok(self.store.commit(marks).await?)
    }

    /// Both clocks at this moment.
    pub(super) fn clock_mark(&self) -> ClockMark {
        ClockMark {
            boot: self.boot.clone(),
            now: self.clock.now(),
            wall: self.clock.wall(),
        }
    }
}
