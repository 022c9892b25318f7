//! How risky agents look: the scores that are pushed from outside, by agent, task and source, and the one
//! that is computed from what an agent does.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use thiserror::Error;
use tokio::sync::broadcast;

use super::countries::Countries;
use super::habits::HabitRules;
use super::learning::Learning;
use super::rules::Combine;
use super::scoring::Scoring;
use crate::base::{BootInstant, Clock};
use crate::model::{AgentId, RiskFacts, TaskId};

/// How many sources may have a score of one agent, and of one task.
const SOURCES: usize = 16;

/// How many tasks of one agent may have scores of their own.
const TASKS: usize = 1024;

/// Changes that a slow listener may lag behind; past it, it is told that it has missed some.
const CHANGES: usize = 1024;

/// How risky something looks: 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u8);

/// Not a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a score is a whole number from 0 to 100")]
pub struct InvalidScore;

impl TryFrom<i64> for Score {
    type Error = InvalidScore;

    fn try_from(number: i64) -> Result<Self, InvalidScore> {
        let small = u8::try_from(number).ok().filter(|score| *score <= 100);
        small.map(Self).ok_or(InvalidScore)
    }
}

/// What somebody says of an agent, or of one task of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The agent.
    pub agent: AgentId,
    /// The task, where it is about that alone.
    pub task: Option<TaskId>,
    /// How risky it looks.
    pub score: Score,
    /// Who says so: takes the place of what the same source said before.
    pub source: Arc<str>,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// How long it counts.
    pub life: Duration,
}

/// No room for another score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Full {
    /// Of one agent or task.
    #[error(
        "{SOURCES} sources have a score of it already: use one of their names, or let one expire"
    )]
    Sources,
    /// Of one agent.
    #[error("{TASKS} tasks of the agent have scores of their own already")]
    Tasks,
}

/// What has changed of what is measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// In which countries addresses are.
    Countries,
    /// What is usual for an agent: it has learnt, or an operator has changed it.
    Habits(AgentId),
    /// How risky an agent looks, or one of its tasks.
    Risk(AgentId),
}

/// The signals of all agents.
#[derive(Debug)]
pub struct Signals {
    pub(super) clock: Clock,
    agents: RwLock<HashMap<AgentId, Risk, RandomState>>,
    changed: broadcast::Sender<Changed>,
    pub(super) learning: Learning,
    pub(super) scoring: Scoring,
    pub(super) countries: Countries,
}

/// What is said of one agent.
#[derive(Debug, Default)]
struct Risk {
    own: Said,
    tasks: HashMap<TaskId, Said, RandomState>,
    /// What the scorer says of what it does.
    computed: u8,
}

/// The scores of one thing, by source.
#[derive(Debug, Default)]
struct Said(BTreeMap<Arc<str>, Standing>);

/// A score that was pushed.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) score: Score,
    pub(super) reason: Option<Arc<str>>,
    pub(super) since: BootInstant,
    pub(super) until: BootInstant,
}

impl Score {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Signals {
    /// No signals; habits will form by `rules`.
    #[must_use]
    pub fn new(clock: Clock, rules: HabitRules) -> Self {
        Self {
            clock,
            agents: RwLock::default(),
            changed: broadcast::Sender::new(CHANGES),
            learning: Learning::new(rules),
            scoring: Scoring::new(),
            countries: Countries::none(),
        }
    }

    /// Takes a score; whoever [listens](Self::changes) is told.
    ///
    /// # Errors
    ///
    /// Where there is no room for it.
    pub fn push(&self, pushed: Pushed) -> Result<(), Full> {
        self.take(pushed, self.clock.now())
    }

    /// Takes a score that was pushed before a restart and has this age. `life` is what is left of it. Where
    /// there is no room for it, it has not been taken then, either.
    pub fn restore(&self, pushed: Pushed, age: Duration) {
        let ago = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        let now = self.clock.now().as_nanos();
        // A machine that has started since is no older than that.
        let since = BootInstant::from_nanos(now.saturating_sub(ago));
        let _ = self.take(pushed, since);
    }

    fn take(&self, pushed: Pushed, since: BootInstant) -> Result<(), Full> {
        let now = self.clock.now();
        let standing = Standing {
            score: pushed.score,
            reason: pushed.reason,
            since,
            until: now + pushed.life,
        };
        {
            let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
            let risk = agents.entry(pushed.agent.clone()).or_default();
            risk.forget(now);
            let said = match pushed.task {
                Some(task) => risk.of_task(task)?,
                None => &mut risk.own,
            };
            said.take(pushed.source, standing)?;
        }
        self.tell(Changed::Risk(pushed.agent));
        Ok(())
    }

    /// Takes back what a source said of an agent, if it said something; whoever listens is told.
    pub fn take_back(&self, agent: &AgentId, source: &str) {
        let said = {
            let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
            let risk = agents.get_mut(agent);
            risk.is_some_and(|risk| risk.own.0.remove(source).is_some())
        };
        if said {
            self.tell(Changed::Risk(agent.clone()));
        }
    }

    /// How risky an agent looks in a task: of what is said of either and of what is computed of the agent,
    /// the highest, or the sum, as the [rules](super::RiskRules) say.
    #[must_use]
    pub fn risk(&self, agent: &AgentId, task: Option<&TaskId>) -> RiskFacts {
        let now = self.clock.now();
        let round = self.scoring.round(now);
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        let risk = agents.get(agent);
        let pushed = risk.and_then(|risk| {
            let said = risk.said(task).flat_map(|said| said.0.values());
            // Of two that are as high, the younger shows its age.
            let said = said.filter(|one| one.until > now);
            let said = said.map(|one| (i64::from(one.score.0), one.since));
            said.max()
        });
        let computed = round.map(|(since, combine)| {
            let score = risk.map_or(0, |risk| risk.computed);
            (i64::from(score), since, combine)
        });
        let (score, since) = match (pushed, computed) {
            (None, None) => return RiskFacts::UNKNOWN,
            (Some(pushed), None) => pushed,
            (None, Some((score, since, _))) => (score, since),
            (Some(pushed), Some((score, since, Combine::Highest))) => pushed.max((score, since)),
            // As old as the older of the two.
            (Some(pushed), Some((score, since, Combine::Sum))) => {
                ((pushed.0 + score).min(100), pushed.1.min(since))
            }
        };
        RiskFacts {
            score,
            age_seconds: i64::try_from((now - since).as_secs()).unwrap_or(i64::MAX),
            known: true,
        }
    }

    /// The pushed scores that count of an agent in a task, by source, and whether they are about the task.
    pub(super) fn standing(
        &self,
        agent: &AgentId,
        task: Option<&TaskId>,
        now: BootInstant,
    ) -> Vec<(Arc<str>, bool, Standing)> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        let Some(risk) = agents.get(agent) else {
            return Vec::new();
        };
        let own = risk.own.0.iter().map(|one| (false, one));
        let of_task = task.and_then(|task| risk.tasks.get(task)).into_iter();
        let of_task = of_task.flat_map(|said| said.0.iter().map(|one| (true, one)));
        let counts = own.chain(of_task).filter(|(_, (_, one))| one.until > now);
        let shown =
            counts.map(|(of_task, (source, one))| (Arc::clone(source), of_task, one.clone()));
        shown.collect()
    }

    /// Takes the scores that were computed anew and are others than before; whoever listens is told.
    pub(super) fn take_computed(&self, scores: Vec<(AgentId, u8)>) {
        if scores.is_empty() {
            return;
        }
        {
            let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
            for (agent, score) in &scores {
                if *score > 0 || agents.contains_key(agent) {
                    agents.entry(agent.clone()).or_default().computed = *score;
                }
            }
        }
        for (agent, _) in scores {
            self.tell(Changed::Risk(agent));
        }
    }

    /// Forgets the scores that have ended, and tells whoever listens whose they were: an agent's risk changes
    /// by that, too.
    pub fn lapse(&self) {
        let now = self.clock.now();
        let mut lapsed = Vec::new();
        {
            let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
            agents.retain(|agent, risk| {
                if risk.forget(now) {
                    lapsed.push(agent.clone());
                }
                !risk.is_empty()
            });
        }
        for agent in lapsed {
            self.tell(Changed::Risk(agent));
        }
    }

    /// What changes, from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changed.subscribe()
    }

    /// Tells whoever listens.
    pub(super) fn tell(&self, changed: Changed) {
        // Nobody may be listening.
        let _ = self.changed.send(changed);
    }
}

impl Risk {
    /// What is said of the agent, and of a task of it.
    fn said(&self, task: Option<&TaskId>) -> impl Iterator<Item = &Said> {
        let of_task = task.and_then(|task| self.tasks.get(task));
        [Some(&self.own), of_task].into_iter().flatten()
    }

    fn of_task(&mut self, task: TaskId) -> Result<&mut Said, Full> {
        if self.tasks.len() >= TASKS && !self.tasks.contains_key(&task) {
            return Err(Full::Tasks);
        }
        Ok(self.tasks.entry(task).or_default())
    }

    /// Forgets what has ended; whether anything had.
    fn forget(&mut self, now: BootInstant) -> bool {
        let mut ended = self.own.forget(now);
        self.tasks.retain(|_, said| {
            ended |= said.forget(now);
            !said.0.is_empty()
        });
        ended
    }

    fn is_empty(&self) -> bool {
        self.own.0.is_empty() && self.tasks.is_empty() && self.computed == 0
    }
}

impl Said {
    fn take(&mut self, source: Arc<str>, standing: Standing) -> Result<(), Full> {
        if self.0.len() >= SOURCES && !self.0.contains_key(&source) {
            return Err(Full::Sources);
        }
        self.0.insert(source, standing);
        Ok(())
    }

    fn forget(&mut self, now: BootInstant) -> bool {
        let before = self.0.len();
        self.0.retain(|_, standing| standing.until > now);
        self.0.len() < before
    }
}
