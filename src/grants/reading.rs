//! What was and what is, for whoever asks: an end counts from the moment that it stands in memory, also
//! while the store is still writing it, or can't.

use super::index::Index;
use super::service::Inner;
use super::{Grants, GrantsError};
use crate::model::{EndReason, Grant, GrantId, RequestId, Task, TaskId, Transition};
use crate::store::{Change, GrantFilter, Page};

/// What has ended in memory and is not stored as ended. Each is here before it leaves the live index,
/// and until the store has it.
#[derive(Debug)]
pub(super) struct Ends {
    grants: Index<Grant>,
    tasks: Index<Task>,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self {
            grants: Index::new(),
            tasks: Index::new(),
        }
    }

    pub(super) fn note_grant(&self, ended: &Grant) {
        self.grants.insert(ended.clone());
    }

    pub(super) fn note_task(&self, ended: &Task) {
        self.tasks.insert(ended.clone());
    }

    pub(super) fn has_grant(&self, id: &GrantId) -> bool {
        self.grants.get(id).is_some()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.grants.len() + self.tasks.len()
    }

    /// The store has `changes`.
    pub(super) fn forget(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::PutGrant(grant) => {
                    self.grants.remove(&grant.request.grant);
                }
                Change::PutTask(task, _) => {
                    self.tasks.remove(&task.id);
                }
                Change::AddGrant(_)
                | Change::MarkClock(_)
                | Change::MarkGrant(..)
                | Change::MarkTask(..)
                | Change::OpenTask(_)
                | Change::PutDocument { .. } => {}
            }
        }
    }
}

impl Grants {
    /// A task that is open, or has ended and is kept, as it is now.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn find_task(&self, id: &TaskId) -> Result<Option<Task>, GrantsError> {
        if let Some(task) = self.task(id)
            && let Some(reason) = task.ended(self.0.clock.now())
        {
            self.begin_end(id, reason);
        }
        if let Some(ended) = self.0.ends.tasks.get(id) {
            return Ok(Some(ended));
        }
        let stored = self.0.store.task(id).await?;
        Ok(stored.map(|stored| stored.task))
    }

    /// A grant by its own id, as it is now.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn find_grant(&self, id: &GrantId) -> Result<Option<Grant>, GrantsError> {
        let stored = self.0.store.grant(id).await?;
        Ok(stored.map(|grant| self.as_it_is(grant)))
    }

    /// A grant by the id of its request, as it is now.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn find_request(&self, id: &RequestId) -> Result<Option<Grant>, GrantsError> {
        let stored = self.0.store.request(id).await?;
        Ok(stored.map(|grant| self.as_it_is(grant)))
    }

    /// The grants that match, newest first, as they are now.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn list(&self, filter: GrantFilter) -> Result<Page, GrantsError> {
        let mut page = self.0.store.grants(filter).await?;
        let grants = page.grants.into_iter();
        page.grants = grants.map(|grant| self.as_it_is(grant)).collect();
        Ok(page)
    }

    /// What the store has of a grant was true a moment ago.
    fn as_it_is(&self, stored: Grant) -> Grant {
        if stored.is_ended() {
            return stored;
        }
        let now = self.0.clock.now();
        let request = &stored.request;
        if let Some(live) = self.grant(&request.grant)
            && let Some(reason) = live.ended(now)
        {
            self.begin_end_grants(vec![(live, reason)]);
        }
        if let Some(waits) = self.0.pending.get(&request.id)
            && waits.until() <= now
        {
            let expired = Transition::End(EndReason::Expired);
            self.begin_end_pending(vec![waits], &expired);
        }
        self.0.ends.grants.get(&request.grant).unwrap_or(stored)
    }
}

impl Inner {
    pub(super) fn note_end(&self, ended: Grant, records: &mut Vec<Grant>) {
        self.ends.note_grant(&ended);
        records.push(ended);
    }
}
