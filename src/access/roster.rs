//! Which grants are to be asked about again, and when: of each whose rules may turn, what those rules read, and
//! the moment up to which the last answer stands. A change finds the grants that it concerns without a look at
//! the others.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use crate::base::BootInstant;
use crate::model::{AgentId, GrantId};
use crate::pdp::Watched;

/// Grants, and what is kept of each.
#[derive(Debug)]
pub(super) struct Roster<T> {
    entries: HashMap<GrantId, Entry<T>>,
    country: HashSet<GrantId>,
    habits: OfAgents,
    risk: OfAgents,
    /// Those whose rules read the time.
    time: HashSet<GrantId>,
    by_wall: BTreeSet<(Timestamp, GrantId)>,
    by_age: BTreeSet<(BootInstant, GrantId)>,
    /// What the wall clock showed at the last look.
    looked: Option<Timestamp>,
}

/// Grants by their agents.
type OfAgents = HashMap<AgentId, HashSet<GrantId>>;

#[derive(Debug)]
struct Entry<T> {
    agent: AgentId,
    /// By what rules it was last asked about.
    signature: u64,
    wall: Option<Timestamp>,
    age: Option<BootInstant>,
    value: T,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            country: HashSet::new(),
            habits: HashMap::new(),
            risk: HashMap::new(),
            time: HashSet::new(),
            by_wall: BTreeSet::new(),
            by_age: BTreeSet::new(),
            looked: None,
        }
    }
}

impl<T: Clone> Roster<T> {
    /// Enters a grant of `agent` of whose rules this is to be watched, in place of what was entered for it.
    pub(super) fn enter(&mut self, grant: &GrantId, agent: &AgentId, watched: Watched, value: T) {
        self.leave(grant);
        let Watched { depends, signature } = watched;
        if depends.country {
            self.country.insert(grant.clone());
        }
        if depends.pace.is_some() {
            self.time.insert(grant.clone());
        }
        for (read, map) in [
            (depends.habits, &mut self.habits),
            (depends.risk, &mut self.risk),
        ] {
            if read {
                map.entry(agent.clone()).or_default().insert(grant.clone());
            }
        }
        let entry = Entry {
            agent: agent.clone(),
            signature,
            wall: None,
            age: None,
            value,
        };
        self.entries.insert(grant.clone(), entry);
    }

    /// Whether none is entered.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// By what rules a grant was last asked about; none where it is not entered.
    pub(super) fn signature(&self, grant: &GrantId) -> Option<u64> {
        self.entries.get(grant).map(|entry| entry.signature)
    }

    /// Takes out those that `is_over` names.
    pub(super) fn drop_over(&mut self, is_over: impl Fn(&T) -> bool) {
        let over = self
            .entries
            .iter()
            .filter(|(_, entry)| is_over(&entry.value));
        let over: Vec<GrantId> = over.map(|(grant, _)| grant.clone()).collect();
        for grant in over {
            self.leave(&grant);
        }
    }

    /// The answer about a grant stands until the wall clock, or the boot clock, shows this, whichever comes
    /// first; as far as time goes for ever where neither is given.
    pub(super) fn stands_until(
        &mut self,
        grant: &GrantId,
        wall: Option<Timestamp>,
        age: Option<BootInstant>,
    ) {
        let Some(entry) = self.entries.get_mut(grant) else {
            return;
        };
        let (last_wall, last_age) = (entry.wall, entry.age);
        (entry.wall, entry.age) = (wall, age);
        move_to(&mut self.by_wall, grant, last_wall, wall);
        move_to(&mut self.by_age, grant, last_age, age);
    }

    /// Takes out a grant, if it is there.
    pub(super) fn leave(&mut self, grant: &GrantId) {
        self.stands_until(grant, None, None);
        let Some(entry) = self.entries.remove(grant) else {
            return;
        };
        self.country.remove(grant);
        self.time.remove(grant);
        take_out(&mut self.habits, &entry.agent, grant);
        take_out(&mut self.risk, &entry.agent, grant);
    }

    /// Those whose rules read any signal.
    pub(super) fn reading_signals(&self) -> Vec<T> {
        let of_agents = [&self.habits, &self.risk].into_iter();
        let of_agents = of_agents.flat_map(|map| map.values().flatten());
        let all: HashSet<&GrantId> = self.country.iter().chain(of_agents).collect();
        self.values(all)
    }

    /// Those whose rules read the country of the source.
    pub(super) fn reading_country(&self) -> Vec<T> {
        self.values(&self.country)
    }

    /// Those of an agent whose rules read what is usual for it.
    pub(super) fn reading_habits(&self, agent: &AgentId) -> Vec<T> {
        self.values(self.habits.get(agent).into_iter().flatten())
    }

    /// Those of an agent whose rules read its risk.
    pub(super) fn reading_risk(&self, agent: &AgentId) -> Vec<T> {
        self.values(self.risk.get(agent).into_iter().flatten())
    }

    /// Those whose answer stands no longer at this moment. Where the wall clock has been set back, all whose rules
    /// read the time: what was over may lie ahead again.
    pub(super) fn due(&mut self, now: BootInstant, wall: Timestamp) -> Vec<T> {
        let set_back = self.looked.replace(wall).is_some_and(|last| wall < last);
        let mut due = HashSet::new();
        if set_back {
            due.extend(self.time.iter().cloned());
        }
        while let Some((until, _)) = self.by_wall.first()
            && *until <= wall
            && let Some((_, grant)) = self.by_wall.pop_first()
        {
            due.insert(grant);
        }
        while let Some((until, _)) = self.by_age.first()
            && *until <= now
            && let Some((_, grant)) = self.by_age.pop_first()
        {
            due.insert(grant);
        }
        // An answer that stands no longer is not told by the other clock, either.
        for grant in &due {
            self.stands_until(grant, None, None);
        }
        self.values(&due)
    }

    fn values<'g>(&self, grants: impl IntoIterator<Item = &'g GrantId>) -> Vec<T> {
        let entries = grants.into_iter().filter_map(|id| self.entries.get(id));
        entries.map(|entry| entry.value.clone()).collect()
    }
}

fn move_to<M: Copy + Ord>(
    order: &mut BTreeSet<(M, GrantId)>,
    grant: &GrantId,
    last: Option<M>,
    next: Option<M>,
) {
    if let Some(last) = last {
        order.remove(&(last, grant.clone()));
    }
    if let Some(next) = next {
        order.insert((next, grant.clone()));
    }
}

/// Takes one out of those of `agent`; a set of none is no entry.
fn take_out(sets: &mut OfAgents, agent: &AgentId, grant: &GrantId) {
    if let Some(set) = sets.get_mut(agent) {
        set.remove(grant);
        if set.is_empty() {
            sets.remove(agent);
        }
    }
}
