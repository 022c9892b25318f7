//! Suspension: a grant is not in force for as long as a condition does not hold, and its time runs on. What was
//! carved from it is out of force with it, and comes back with it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::broadcast;

use super::events::Event;
use super::service::{Family, Inner};
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
            let (changed, parts) = {
                let family = inner.family();
                if grant.ended(now).is_some() {
                    return Ok(None);
                }
                // Fails only where there is nothing to change.
                let Ok(changed) = grant.step(step, at) else {
                    return Ok(None);
                };
                (changed, inner.parts_of(&family, &grant))
            };
            let suspended = grant.is_suspended();
            inner.tell_switch(changed.clone(), suspended);
            for part in parts {
                let mut shown = part.record();
                // Its own state stays as it is: the whole's tells of it, also after a restart.
                if suspended && shown.apply(Transition::Suspend, at).is_err() {
                    continue;
                }
                inner.tell_switch(shown, suspended);
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

impl Inner {
    /// What goes out of force with a grant, or comes back with it: all that was carved from it, and from
    /// that, but for what is held back by another that is suspended.
    fn parts_of(&self, family: &Family, grant: &LiveGrant) -> Vec<Arc<LiveGrant>> {
        let parts = |grant: &LiveGrant| {
            let parts = family.carved.get(&grant.request().grant).into_iter();
            let parts = parts.flatten().filter_map(|id| self.grants.get(id));
            let parts = parts.filter(|part| !part.is_suspended());
            parts.collect::<Vec<_>>()
        };
        if grant.is_held_back() {
            return Vec::new();
        }
        let mut all = parts(grant);
        let mut next = 0;
        while let Some(part) = all.get(next).cloned() {
            all.extend(parts(&part));
            next += 1;
        }
        all
    }

    fn tell_switch(&self, grant: Grant, suspended: bool) {
        if suspended {
            // Nobody may be listening.
            let _ = self.suspensions.send(grant.request.grant.clone());
            self.events.tell(|| Event::GrantSuspended(grant));
        } else {
            self.events.tell(|| Event::GrantResumed(grant));
        }
    }
}
