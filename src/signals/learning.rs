//! The baselines of all agents: what calls teach them, and what rules and operators ask of them.
//!
//! The request path only puts what it has [seen](Signals::observe) into a bounded queue, and never waits;
//! [`Signals::learn`] empties it, now and then or when it is half full, and takes the lock once for many. Calls that
//! habits don't tell apart are learnt from as one.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use foldhash::fast::RandomState;
use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::habits::{Baseline, Calls, Compared, HabitRules, Network, WeekHour, day};
use super::lapses::Lapses;
use super::magnitude::Step;
use super::written;
use super::{CallCounts, Changed, Signals};
use crate::model::{AgentId, OperationId, TaskId, UsualFacts};

/// How many calls can wait to be learnt from.
const QUEUE: usize = 8192;

/// How many are learnt from under one lock: few enough that a rule that reads meanwhile hardly waits.
const BATCH: usize = 64;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It was allowed, and the service's answer was no success, or it was cut.
    Failed,
    /// It was refused.
    Refused,
    /// It was allowed, and runs on: it is looked at now, and not counted again at its end.
    Running,
    /// It was allowed and succeeded.
    Succeeded,
}

/// Numeric inputs of a call, which has one or none as a rule.
pub type Numbers = SmallVec<[(Arc<str>, i64); 1]>;

/// A call.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whose.
    pub agent: AgentId,
    /// What for.
    pub task: Option<TaskId>,
    /// Where from.
    pub source: IpAddr,
    /// What; none where it is no operation.
    pub operation: Option<OperationId>,
    /// Its numeric inputs.
    pub numbers: Numbers,
    /// When it was over.
    pub at: Timestamp,
    /// What became of it.
    pub became: Became,
    /// Whether it was looked at before, while it ran.
    pub again: bool,
}

impl Seen {
    /// Whether habits don't tell `next` from it, and all between the two was in one hour.
    fn is_like(&self, next: &Self) -> bool {
        let hour = |at: Timestamp| (day(at), WeekHour::of(at));
        self.agent == next.agent
            && self.operation == next.operation
            && self.numbers.len() == next.numbers.len()
            && self
                .numbers
                .iter()
                .zip(&next.numbers)
                .all(|(a, b)| a.0 == b.0 && (a.1 == b.1 || Step::of(a.1) == Step::of(b.1)))
            && (self.source == next.source || Network::of(self.source) == Network::of(next.source))
            && (self.at == next.at || (self.at < next.at && hour(self.at) == hour(next.at)))
    }
}

/// What is learnt, and what waits to be.
#[derive(Debug)]
pub(super) struct Learning {
    rules: HabitRules,
    queue: Sender<Seen>,
    /// The queue is half full.
    crowded: Notify,
    /// Held while a part of the queue is learnt from, so that two who do it don't mix up its order.
    waiting: Mutex<Receiver<Seen>>,
    learnt: RwLock<Learnt>,
}

#[derive(Debug, Default)]
struct Learnt {
    /// One entry at most for each agent that is or was enrolled since the start.
    agents: HashMap<AgentId, Baseline, RandomState>,
    /// Whose the store does not know.
    unwritten: HashSet<AgentId, RandomState>,
    /// Of whom something may lapse, and when.
    lapses: Lapses,
}

impl Learning {
    pub(super) fn new(rules: HabitRules) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self {
            rules,
            queue,
            crowded: Notify::new(),
            waiting: Mutex::new(waiting),
            learnt: RwLock::default(),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Learnt) -> T) -> T {
        let mut learnt = self.learnt.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut learnt)
    }

    fn look<T>(&self, look: impl FnOnce(&Learnt) -> T) -> T {
        let learnt = self.learnt.read().unwrap_or_else(PoisonError::into_inner);
        look(&learnt)
    }
}

impl Signals {
    /// Counts a call, and puts it into the queue of what is looked at and learnt from; false where there is
    /// no room. It never waits. Where no risk is computed only what succeeded is of use.
    #[must_use]
    pub fn observe(&self, seen: Seen) -> bool {
        self.observe_at(seen, None)
    }

    /// The same, where it is at hand where the agent's calls are counted: then it need not be looked for
    /// among all agents.
    #[must_use]
    pub fn observe_at(&self, seen: Seen, counts: Option<&CallCounts>) -> bool {
        let teaches = seen.became == Became::Succeeded;
        if !self.scoring.counts(&seen, teaches, counts) {
            return true;
        }
        let learning = &self.learning;
        let sent = learning.queue.try_send(seen).is_ok();
        if learning.queue.capacity() <= QUEUE / 2 {
            learning.crowded.notify_one();
        }
        sent
    }

    /// Resolves when more calls wait than should: [learn](Signals::learn) from them. Safe to drop at any point.
    pub async fn crowded(&self) {
        self.learning.crowded.notified().await;
    }

    /// Compares all calls that wait with what is usual, and learns from those that succeeded. Those of
    /// agents that look risky teach nothing.
    pub fn learn(&self) {
        let learning = &self.learning;
        let waiting = learning.waiting.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::with_capacity(BATCH);
        // What comes meanwhile is for the next time.
        for _ in 0..QUEUE / BATCH {
            while batch.len() < BATCH
                && let Ok(seen) = waiting.try_recv()
            {
                batch.push(seen);
            }
            if batch.is_empty() {
                return;
            }
            if self.scoring.is_on() {
                self.scoring.take_note(&batch, self.clock.now(), |seen| {
                    learning.look(|learnt| learnt.compare(seen))
                });
            }
            self.drop_frozen(&mut batch);
            let mut changed = BTreeSet::new();
            learning.change(|learnt| {
                for alike in batch.chunk_by(Seen::is_like) {
                    if learnt.learn(alike, &learning.rules) {
                        changed.extend(alike.first().map(|seen| seen.agent.clone()));
                    }
                }
            });
            for agent in changed {
                self.tell(Changed::Habits(agent));
            }
            batch.clear();
        }
    }

    /// Tells of agents for whom something may be usual no more, because it was not seen for so long; of some, where
    /// they are many, the others at the next time.
    pub fn tell_lapses(&self) {
        let now = self.clock.wall();
        if !self.learning.look(|learnt| learnt.lapses.are_due(now)) {
            return;
        }
        let lapsed = self.learning.change(|learnt| learnt.lapse(now));
        for agent in lapsed {
            self.tell(Changed::Habits(agent));
        }
    }

    /// Of some calls, leaves those that something is learnt from.
    fn drop_frozen(&self, batch: &mut Vec<Seen>) {
        let mut known: Option<((AgentId, Option<TaskId>), bool)> = None;
        batch.retain(|seen| {
            if seen.became != Became::Succeeded {
                return false;
            }
            let of = |(agent, task): &(AgentId, Option<TaskId>)| {
                *agent == seen.agent && *task == seen.task
            };
            // Mostly many in a row are of one task.
            match &known {
                Some((last, frozen)) if of(last) => !frozen,
                _ => {
                    let frozen = self.is_frozen(&seen.agent, seen.task.as_ref());
                    known = Some(((seen.agent.clone(), seen.task.clone()), frozen));
                    !frozen
                }
            }
        });
    }

    /// How fast an agent calls.
    pub(super) fn pace(&self, agent: &AgentId) -> Option<f64> {
        self.learning
            .look(|learnt| learnt.agents.get(agent)?.pace.per_minute())
    }

    /// Learns how fast agents call from minutes in which they did.
    pub(super) fn learn_paces(&self, mut minutes: Vec<(AgentId, u32)>, at: Timestamp) {
        minutes.retain(|(agent, _)| !self.is_frozen(agent, None));
        if minutes.is_empty() {
            return;
        }
        self.learning.change(|learnt| {
            for (agent, calls) in minutes {
                let baseline = learnt.agents.entry(agent.clone()).or_default();
                if !baseline.pinned {
                    baseline.pace.learn(calls, day(at));
                    learnt.unwritten.insert(agent);
                }
            }
        });
    }

    /// Whether nothing is learnt of an agent at this moment because it looks risky.
    #[must_use]
    pub fn is_frozen(&self, agent: &AgentId, task: Option<&TaskId>) -> bool {
        let risk = self.risk(agent, task);
        risk.known && risk.score >= i64::from(self.learning.rules.frozen_at)
    }

    /// What is usual for an agent of this: all `operations` have to be.
    #[must_use]
    pub fn usual<'o>(
        &self,
        agent: &AgentId,
        source: IpAddr,
        operations: impl IntoIterator<Item = &'o OperationId>,
        at: Timestamp,
    ) -> UsualFacts {
        self.learning.look(|learnt| {
            let baseline = learnt.agents.get(agent);
            baseline.map_or_else(UsualFacts::default, |one| one.usual(source, operations, at))
        })
    }

    /// How habits form.
    #[must_use]
    pub const fn habit_rules(&self) -> HabitRules {
        self.learning.rules
    }

    /// The baseline of an agent, with all that waited to be learnt.
    #[must_use]
    pub fn baseline(&self, agent: &AgentId) -> Baseline {
        self.learn();
        let get = |learnt: &Learnt| learnt.agents.get(agent).cloned();
        self.learning.look(get).unwrap_or_default()
    }

    /// Forgets all that was learnt of an agent, and what waits to be; it stays pinned if it is.
    pub fn reset_baseline(&self, agent: &AgentId) {
        self.alter(agent, |baseline| {
            *baseline = Baseline {
                pinned: baseline.pinned,
                ..Baseline::default()
            };
        });
    }

    /// From here on nothing is learnt of an agent; or something is, again.
    pub fn pin_baseline(&self, agent: &AgentId, pinned: bool) {
        self.alter(agent, |baseline| baseline.pinned = pinned);
    }

    fn alter(&self, agent: &AgentId, alter: impl FnOnce(&mut Baseline)) {
        // What came before it is learnt before it.
        self.learn();
        self.learning.change(|learnt| {
            alter(learnt.agents.entry(agent.clone()).or_default());
            learnt.unwritten.insert(agent.clone());
        });
        self.tell(Changed::Habits(agent.clone()));
    }

    /// Takes back what was written of an agent; false where the text is of no baseline.
    #[must_use]
    pub fn restore_baseline(&self, agent: AgentId, text: &str) -> bool {
        let baseline = written::read(text);
        baseline.is_some_and(|baseline| {
            let now = self.clock.wall();
            self.learning.change(|learnt| {
                if let Some(lapse) = baseline.lapse(now) {
                    learnt.lapses.wait_for(&agent, lapse);
                }
                learnt.agents.insert(agent, baseline);
            });
            true
        })
    }

    /// The agents of whom something was learnt since the last time that this was asked.
    #[must_use]
    pub fn unwritten_baselines(&self) -> Vec<AgentId> {
        let take = |learnt: &mut Learnt| learnt.unwritten.drain().collect();
        self.learning.change(take)
    }

    /// What could not be written has to be, still.
    pub fn keep_unwritten(&self, agents: impl IntoIterator<Item = AgentId>) {
        self.learning
            .change(|learnt| learnt.unwritten.extend(agents));
    }

    /// The text of a baseline, for the store; none where there is no baseline.
    #[must_use]
    pub fn written_baseline(&self, agent: &AgentId) -> Option<String> {
        let write = |learnt: &Learnt| learnt.agents.get(agent).and_then(written::write);
        self.learning.look(write)
    }
}

impl Learnt {
    fn compare(&self, seen: &Seen) -> Compared {
        let call = (seen.operation.as_ref(), seen.numbers.as_slice());
        let baseline = self.agents.get(&seen.agent);
        baseline.map_or_else(Compared::default, |one| {
            one.compare(seen.source, call, seen.at)
        })
    }

    /// Awaits the next moment at which something that is usual for an agent may lapse.
    fn wait_for(&mut self, agent: &AgentId, now: Timestamp) {
        let baseline = self.agents.get(agent);
        if let Some(lapse) = baseline.and_then(|baseline| baseline.lapse(now)) {
            self.lapses.wait_for(agent, lapse);
        }
    }

    /// The agents of whom something may have lapsed by now, a batch of them at most. Each is awaited anew.
    fn lapse(&mut self, now: Timestamp) -> Vec<AgentId> {
        let mut lapsed = Vec::new();
        while lapsed.len() < BATCH
            && let Some(agent) = self.lapses.take(now)
        {
            self.wait_for(&agent, now);
            lapsed.push(agent);
        }
        lapsed
    }

    /// Learns from calls that habits don't tell apart; whether something is usual now that was not.
    fn learn(&mut self, alike: &[Seen], rules: &HabitRules) -> bool {
        let (Some(seen), Some(last)) = (alike.first(), alike.last()) else {
            return false;
        };
        let Some(operation) = &seen.operation else {
            return false;
        };
        let baseline = self.agents.entry(seen.agent.clone()).or_default();
        if baseline.pinned {
            return false;
        }
        let calls = Calls {
            count: alike.len() as u64,
            first: seen.at,
            last: last.at,
        };
        let call = (operation, seen.numbers.as_slice());
        let changed = baseline.see_all(seen.source, call, &calls, rules);
        if changed {
            self.wait_for(&seen.agent, last.at);
        }
        if !self.unwritten.contains(&seen.agent) {
            self.unwritten.insert(seen.agent.clone());
        }
        changed
    }
}
