//! When something of what is usual for an agent lapses: one moment for each agent, the next at which it may.
//! Whatever is seen again lapses later than was awaited, never sooner, so nobody is looked for in between.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};

use foldhash::fast::RandomState;
use jiff::Timestamp;

use crate::model::AgentId;

/// The agents of whom something may lapse.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    due: BTreeSet<(Timestamp, AgentId)>,
    /// Those that are awaited, one entry each.
    awaited: HashSet<AgentId, RandomState>,
}

impl Lapses {
    /// Awaits an agent from this moment on, if it is not awaited already: then it is sooner.
    pub(super) fn wait_for(&mut self, agent: &AgentId, lapse: Timestamp) {
        if self.awaited.insert(agent.clone()) {
            self.due.insert((lapse, agent.clone()));
        }
    }

    /// Whether there is an agent of whom something may have lapsed.
    pub(super) fn are_due(&self, now: Timestamp) -> bool {
        self.due.first().is_some_and(|(lapse, _)| *lapse < now)
    }

    /// Takes out the first of those, which is not awaited any more.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<AgentId> {
        if !self.are_due(now) {
            return None;
        }
        let (_, agent) = self.due.pop_first()?;
        self.awaited.remove(&agent);
        Some(agent)
    }
}
