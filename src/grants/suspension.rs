//! Suspension: a grant is not in force for as long as a condition does not hold, and its time runs on.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::broadcast;

use super::events::Event;
use super::{Grants, GrantsError, LiveGrant};
use crate::model::{Grant, GrantId, Transition};
use crate::store::Change;

/// Suspensions that a slow listener may lag behind; past it, it is told that it has missed some.
pub(super) const BACKLOG: usize = 1024;

impl Grants {
    /// The grants that have not ended and that `wanted` names, in no order.
    #[must_use]
    pub fn live_grants(&self, wanted: impl Fn(&LiveGrant) -> bool) -> Vec<Arc<LiveGrant>> {
        self.0.grants.collect(|grant| wanted(grant))
    }

    /// Takes a grant out of force until it is [resumed](Self::resume): no call passes under it when this
    /// is first polled to a wait, and it is durable when this returns. Nothing where it was suspended
    /// already, or is over.
    ///
    /// # Errors
    ///
    /// When the store can't keep it: in memory it stands.
    pub async fn suspend(&self, grant: &Arc<LiveGrant>) -> Result<Option<Grant>, GrantsError> {
        self.switch(grant, Transition::Suspend).await
    }

    /// Brings a suspended grant into force again, for what is left of its term. Nothing where it was not
    /// suspended, or is over.
    ///
    /// # Errors
    ///
    /// When the store can't keep it: in memory it stands, and a restart finds it suspended.
    pub async fn resume(&self, grant: &Arc<LiveGrant>) -> Result<Option<Grant>, GrantsError> {
        self.switch(grant, Transition::Resume).await
    }

    /// The grants that are suspended, from now on.
    #[must_use]
    pub fn suspensions(&self) -> broadcast::Receiver<GrantId> {
        self.0.suspensions.subscribe()
    }

    async fn switch(
        &self,
        grant: &Arc<LiveGrant>,
        step: Transition,
    ) -> Result<Option<Grant>, GrantsError> {
        let (inner, grant) = (Arc::clone(&self.0), Arc::clone(grant));
        self.see_through(async move {
            // One writes a grant's state at a time.
            let _turn = grant.turn().lock().await;
            let (now, at) = (inner.clock.now(), inner.clock.wall());
            let changed = {
                let _order = inner.family();
                if grant.ended(now).is_some() {
                    return Ok(None);
                }
                // Fails only where there is nothing to change.
                let Ok(changed) = grant.step(step, at) else {
                    return Ok(None);
                };
                changed
            };
            if grant.is_suspended() {
                // Nobody may be listening.
                let _ = inner.suspensions.send(grant.request().grant.clone());
                inner.events.tell(|| Event::GrantSuspended(changed.clone()));
            } else {
                inner.events.tell(|| Event::GrantResumed(changed.clone()));
            }
            inner
                .store
                .commit(vec![Change::PutGrant(changed.clone())])
                .await?;
            Ok(Some(changed))
        })
        .await
    }
}
