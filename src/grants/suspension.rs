//! Suspension: a grant is not in force for as long as a condition does not hold, and its time runs on. What was
//! carved from it is out of force with it, and comes back with it.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::broadcast;

use super::events::Event;
use super::family::Family;
use super::index::SHARDS;
use super::service::Inner;
use super::{Grants, GrantsError, LiveGrant};
use crate::model::{Grant, GrantId, Transition};
use crate::store::Change;

/// Suspensions that a slow listener may lag behind; past it, it is told that it has missed some.
pub(super) const BACKLOG: usize = 1024;

/// Grants that come into force and end that a slow listener may lag behind.
pub(super) const MOVES: usize = 4096;

/// A grant more or a grant less.
#[derive(Clone, Debug)]
pub enum Move {
    /// It has come into force.
    Came(Arc<LiveGrant>),
    /// It has ended.
    Went(GrantId),
}

/// Which way grants are switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Into force again, for what is left of their terms.
    Resume,
    /// Out of force.
    Suspend,
}

impl Switch {
    const fn step(self) -> Transition {
        match self {
            Self::Resume => Transition::Resume,
            Self::Suspend => Transition::Suspend,
        }
    }
}

impl Grants {
    /// In how many parts the grants that have not ended can be looked at, one after the other.
    pub const PARTS: usize = SHARDS;

    /// The grants of one part that have not ended, in no order.
    #[must_use]
    pub fn live_part(&self, part: usize) -> Vec<Arc<LiveGrant>> {
        self.0.grants.part(part)
    }

    /// The grants that come into force and end, from now on.
    #[must_use]
    pub fn moves(&self) -> broadcast::Receiver<Move> {
        self.0.moves.subscribe()
    }

    /// The grants that are suspended, from now on.
    #[must_use]
    pub fn suspensions(&self) -> broadcast::Receiver<GrantId> {
        self.0.suspensions.subscribe()
    }

    /// Switches grants, all of them in one step of the store: no call passes under what is suspended before
    /// that is stored, and all of it is durable when this returns. The ids are of those that were switched: the
    /// others were so already, or are over.
    ///
    /// # Errors
    ///
    /// When the store can't keep it: in memory it stands, and a restart finds the grants as they were.
    pub async fn switch(
        &self,
        mut grants: Vec<Arc<LiveGrant>>,
        switch: Switch,
    ) -> Result<BTreeSet<GrantId>, GrantsError> {
        // Turns are waited for in the order of ids, so that of two who switch many none waits for the other.
        grants.sort_unstable_by(|one, other| one.request().grant.cmp(&other.request().grant));
        grants.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let inner = Arc::clone(&self.0);
        self.see_through(async move {
            // One writes a grant's state at a time.
            let mut turns = Vec::with_capacity(grants.len());
            for grant in &grants {
                turns.push(grant.turn().lock().await);
            }
            let changed = inner.switch_in_memory(&grants, switch);
            let done = changed.iter().map(|grant| grant.request.grant.clone());
            let done = done.collect();
            let changes: Vec<_> = changed.into_iter().map(Change::PutGrant).collect();
            if !changes.is_empty() {
                inner.store.commit(changes).await?;
            }
            Ok(done)
        })
        .await
    }
}

impl Inner {
    /// Switches what is not so already and is not over, and tells of it.
    fn switch_in_memory(&self, grants: &[Arc<LiveGrant>], switch: Switch) -> Vec<Grant> {
        let (now, at) = self.clock.times();
        let suspended = switch == Switch::Suspend;
        let mut all = Vec::new();
        for grant in grants {
            let (changed, parts) = {
                let family = self.family();
                if grant.ended(now).is_some() {
                    continue;
                }
                // Fails only where there is nothing to change.
                let Ok(changed) = grant.step(switch.step(), at) else {
                    continue;
                };
                (changed, self.parts_of(&family, grant))
            };
            self.tell_switch(changed.clone(), suspended);
            for part in parts {
                let mut shown = part.record();
                // Its own state stays as it is: the whole's tells of it, also after a restart.
                if suspended && shown.apply(Transition::Suspend, at).is_err() {
                    continue;
                }
                self.tell_switch(shown, suspended);
            }
            all.push(changed);
        }
        all
    }

    /// What goes out of force with a grant, or comes back with it: all that was carved from it, and from
    /// that, but for what is held back by another that is suspended.
    fn parts_of(&self, family: &Family, grant: &LiveGrant) -> Vec<Arc<LiveGrant>> {
        let parts = |grant: &LiveGrant| {
            let parts = family.carved.of(&grant.request().grant);
            let parts = parts.filter_map(|id| self.grants.get(id));
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
