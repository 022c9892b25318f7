//! The score that is computed of an agent from what it does, and what it is made of.
//!
//! The request path counts calls without a lock and puts them into the learner's queue. Once a second a
//! round of the scorer takes the counts, fades what has passed and tells of every score that is another
//! than before, by a whole point: at most once a second of one agent. What is computed is the agent's, over
//! all its tasks.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::Signals;
use super::activity::{Activity, LastMinute};
use super::habits::{Compared, Network, WeekHour};
use super::learning::{Became, Seen};
use super::rules::{Combine, RiskRules};
use crate::base::{BootInstant, Live};
use crate::model::{AgentId, RiskFacts, TaskId};

/// A computed score that is older counts as none: the scorer stands still.
const STALE: Duration = Duration::from_secs(30);

/// What computes the scores.
#[derive(Debug)]
pub(super) struct Scoring {
    /// None where no score is computed.
    rules: Live<Option<RiskRules>>,
    /// What is counted, by agent. One entry at most for each agent that called of late, or that somebody
    /// holds the place of.
    active: RwLock<HashMap<AgentId, Arc<Activity>, RandomState>>,
    states: Mutex<HashMap<AgentId, State, RandomState>>,
    /// When the last round was, on the boot clock; 0 where none was.
    last_round: AtomicU64,
}

/// Where the calls of one agent are counted, once it has made one. It is kept with what every call of the
/// agent has at hand, so that none has to look for it under a lock that all workers share.
#[derive(Clone, Debug, Default)]
pub struct CallCounts(OnceLock<Arc<Activity>>);

/// What is known of one agent.
#[derive(Debug, Default)]
struct State {
    /// The last call that was not usual, by kind.
    network: Option<Miss>,
    hour: Option<Miss>,
    operation: Option<Miss>,
    input: Option<Miss>,
    calls: LastMinute,
    refused: LastMinute,
    /// The minute that runs, counted on the boot clock, and the calls in it.
    minute: (u64, u32),
    score: u8,
}

/// A call that was not usual.
#[derive(Clone, Debug)]
struct Miss {
    what: String,
    at: BootInstant,
}

/// One part of a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Which: `network`, `hour`, `operation`, `input`, `refusals`, `velocity` or `pushed`.
    pub name: &'static str,
    /// What was measured; none where there is nothing to measure by yet.
    pub value: Option<f64>,
    /// The most points that it can give.
    pub weight: u32,
    /// The points that it gives.
    pub points: u32,
    /// Why.
    pub reason: String,
    /// Of a pushed score: who says so.
    pub source: Option<Arc<str>>,
    /// Of a pushed score: the task that it is about, where it is about one.
    pub task: Option<TaskId>,
    /// How old it is, where it has an age.
    pub age: Option<Duration>,
    /// For how long it still counts, where that is known.
    pub left: Option<Duration>,
}

/// How risky an agent looks, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskReport {
    /// As conditions see it.
    pub facts: RiskFacts,
    /// What becomes of the computed score and the pushed ones; none where no score is computed.
    pub combine: Option<Combine>,
    /// The computed score, where there is one that is not stale.
    pub computed: Option<u32>,
    /// What it is made of.
    pub components: Vec<Component>,
}

impl Scoring {
    pub(super) fn new() -> Self {
        Self {
            rules: Live::new(None),
            active: RwLock::default(),
            states: Mutex::default(),
            last_round: AtomicU64::new(0),
        }
    }

    /// Whether scores are computed.
    pub(super) fn is_on(&self) -> bool {
        self.rules.peek().is_some()
    }

    /// Counts a call; whether it is to be looked at.
    pub(super) fn counts(&self, seen: &Seen, teaches: bool, place: Option<&CallCounts>) -> bool {
        if !self.is_on() {
            return teaches;
        }
        let found;
        let activity = match place {
            Some(place) => place.0.get_or_init(|| self.activity(&seen.agent)),
            None => {
                found = self.activity(&seen.agent);
                &found
            }
        };
        if !seen.again {
            activity.count(seen.became == Became::Refused);
        }
        teaches || (!seen.again && activity.may_show())
    }

    fn activity(&self, agent: &AgentId) -> Arc<Activity> {
        {
            let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(activity) = active.get(agent) {
                return Arc::clone(activity);
            }
        }
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(active.entry(agent.clone()).or_default())
    }

    /// Keeps what of some calls was not usual.
    pub(super) fn take_note(
        &self,
        batch: &[Seen],
        now: BootInstant,
        compare: impl Fn(&Seen) -> Compared,
    ) {
        let looked: Vec<_> = batch
            .iter()
            .filter(|seen| !seen.again)
            .map(compare)
            .collect();
        let mut states = self.states();
        let batch = batch.iter().filter(|seen| !seen.again);
        for (seen, compared) in batch.zip(looked) {
            if compared.is_usual() {
                continue;
            }
            let state = states.entry(seen.agent.clone()).or_default();
            state.miss(seen, compared, now);
        }
    }

    /// When the last round was and what becomes of its scores; none where it is long ago.
    pub(super) fn round(&self, now: BootInstant) -> Option<(BootInstant, Combine)> {
        let combine = self.rules.peek().as_ref().as_ref()?.combine;
        let last = BootInstant::from_nanos(self.last_round.load(Ordering::Acquire));
        (now - last <= STALE).then_some((last, combine))
    }

    fn states(&self) -> MutexGuard<'_, HashMap<AgentId, State, RandomState>> {
        // Each change leaves a whole state behind.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signals {
    /// From now on scores are computed by these rules; by none, none is.
    pub fn score_by(&self, rules: Option<RiskRules>) {
        if **self.scoring.rules.peek() == rules {
            return;
        }
        self.scoring.rules.publish(Arc::new(rules));
        self.score();
    }

    /// One round: computes the scores of this moment.
    pub fn score(&self) {
        let scoring = &self.scoring;
        let now = self.clock.now();
        let rules = scoring.rules.current();
        let mut changed = Vec::new();
        let mut minutes = Vec::new();
        {
            let mut states = scoring.states();
            match rules.as_ref() {
                None => {
                    let dropped = states.drain().filter(|(_, state)| state.score > 0);
                    changed.extend(dropped.map(|(agent, _)| (agent, 0)));
                    scoring.forget_activity(|_| false);
                }
                Some(rules) => {
                    scoring.take_counts(&mut states, now, &mut minutes);
                    states.retain(|agent, state| {
                        let score = state.total(rules, self.pace(agent), now);
                        if score != state.score {
                            state.score = score;
                            changed.push((agent.clone(), score));
                        }
                        score > 0 || !state.is_idle(rules, now)
                    });
                    scoring.forget_activity(|agent| states.contains_key(agent));
                }
            }
            // Under the lock of the states, so that of two rounds the later has the last word.
            self.take_computed(changed);
            scoring.last_round.store(now.as_nanos(), Ordering::Release);
        }
        self.learn_paces(minutes, self.clock.wall());
    }

    /// How risky an agent looks, in a task where one is named, and what that is made of. It makes a round
    /// of its own, so that the parts are those of the score.
    #[must_use]
    pub fn report(&self, agent: &AgentId, task: Option<&TaskId>) -> RiskReport {
        self.learn();
        self.score();
        let now = self.clock.now();
        let rules = self.scoring.rules.current();
        let mut components = Vec::new();
        let mut computed = None;
        if let Some(rules) = rules.as_ref() {
            let pace = self.pace(agent);
            let mut states = self.scoring.states();
            let fresh = &mut State::default();
            let state = states.get_mut(agent).unwrap_or(fresh);
            components = state.components(rules, pace, now);
            let round = self.scoring.round(now);
            computed = round.map(|_| u32::from(state.score));
        }
        for (source, of_task, said) in self.standing(agent, task, now) {
            components.push(Component {
                name: "pushed",
                value: Some(said.score.number().into()),
                weight: 100,
                points: said.score.number().into(),
                reason: match &said.reason {
                    Some(reason) => format!("`{source}` says so: {reason}"),
                    None => format!("`{source}` says so"),
                },
                source: Some(source),
                task: task.filter(|_| of_task).cloned(),
                age: Some(now - said.since),
                left: Some(said.until - now),
            });
        }
        RiskReport {
            facts: self.risk(agent, task),
            combine: rules.as_ref().as_ref().map(|rules| rules.combine),
            computed,
            components,
        }
    }
}

impl Scoring {
    /// Takes what was counted since the last round; the calls of whole minutes go into `minutes`.
    fn take_counts(
        &self,
        states: &mut HashMap<AgentId, State, RandomState>,
        now: BootInstant,
        minutes: &mut Vec<(AgentId, u32)>,
    ) {
        let second = seconds(now);
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        for (agent, activity) in active.iter() {
            // One that has long been silent, and whose place is held all the same.
            if activity.is_empty() && !states.contains_key(agent) {
                continue;
            }
            let (calls, refused) = activity.take();
            let state = states.entry(agent.clone()).or_default();
            let (minute, ended) = state.minute;
            if minute != second / 60 {
                if ended > 0 {
                    minutes.push((agent.clone(), ended));
                }
                state.minute = (second / 60, 0);
            }
            state.minute.1 = state.minute.1.saturating_add(calls);
            state.calls.count(second, calls);
            state.refused.count(second, refused);
        }
    }

    fn forget_activity(&self, keep: impl Fn(&AgentId) -> bool) {
        // One that has called meanwhile is for the next round. One that is held is counted in still; and
        // nobody can take hold of it but under this lock.
        let stays = |(agent, activity): (&AgentId, &Arc<Activity>)| {
            keep(agent) || !activity.is_empty() || Arc::strong_count(activity) > 1
        };
        let any_goes = {
            let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
            !active.iter().all(stays)
        };
        // Most rounds forget nothing, and then the request path is not kept waiting.
        if any_goes {
            let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
            active.retain(|agent, activity| stays((agent, activity)));
        }
    }
}

impl State {
    fn miss(&mut self, seen: &Seen, compared: Compared, now: BootInstant) {
        let miss = |what: String| Some(Miss { what, at: now });
        if compared.network == Some(false) {
            self.network = miss(format!("a call from {}", Network::of(seen.source)));
        }
        if compared.hour == Some(false) {
            let hour = WeekHour::of(seen.at);
            let what = format!(
                "a call on weekday {} at {:02} o'clock UTC",
                hour.weekday(),
                hour.hour()
            );
            self.hour = miss(what);
        }
        let Some(operation) = &seen.operation else {
            return;
        };
        if compared.operation == Some(false) {
            self.operation = miss(format!("a call of `{operation}`"));
        }
        if let Some((input, number, (low, high))) = compared.outside {
            let what = format!("`{input}` of `{operation}` was {number}, usually {low} to {high}");
            self.input = miss(what);
        }
    }

    /// The computed score: the sum of the points, up to 100.
    fn total(&mut self, rules: &RiskRules, pace: Option<f64>, now: BootInstant) -> u8 {
        let measured = self.measured(rules, pace, now);
        let sum: u32 = measured.iter().map(Measured::points).sum();
        u8::try_from(sum.min(100)).unwrap_or(100)
    }

    fn measured(
        &mut self,
        rules: &RiskRules,
        pace: Option<f64>,
        now: BootInstant,
    ) -> [Measured; 6] {
        let fading = |name, weight, miss: &Option<Miss>| {
            let faded = miss.as_ref().map_or(0.0, |miss| {
                let age = (now - miss.at).as_secs_f64();
                1.0 - (age / rules.fades.as_secs_f64()).min(1.0)
            });
            Measured {
                name,
                weight,
                value: Some(faded),
                share: faded,
            }
        };
        let second = seconds(now);
        let refused = self.refused.sum(second);
        let calls = self.calls.sum(second);
        let times = pace.map(|pace| f64::from(calls) / pace.max(1.0));
        let fast = times.filter(|_| calls >= rules.velocity_least);
        [
            fading("network", rules.network, &self.network),
            fading("hour", rules.hour, &self.hour),
            fading("operation", rules.operation, &self.operation),
            fading("input", rules.input, &self.input),
            Measured {
                name: "refusals",
                weight: rules.refusals,
                value: Some(refused.into()),
                share: between(
                    refused.into(),
                    rules.refusals_from.into(),
                    rules.refusals_full.into(),
                ),
            },
            Measured {
                name: "velocity",
                weight: rules.velocity,
                value: times,
                share: fast.map_or(0.0, |times| {
                    between(
                        times,
                        rules.velocity_from.into(),
                        rules.velocity_full.into(),
                    )
                }),
            },
        ]
    }

    fn components(
        &mut self,
        rules: &RiskRules,
        pace: Option<f64>,
        now: BootInstant,
    ) -> Vec<Component> {
        let calls = self.calls.sum(seconds(now));
        let measured = self.measured(rules, pace, now);
        let parts = measured.into_iter().filter(|part| part.weight > 0);
        let shown = parts.map(|part| {
            let miss = match part.name {
                "network" => self.network.as_ref(),
                "hour" => self.hour.as_ref(),
                "operation" => self.operation.as_ref(),
                "input" => self.input.as_ref(),
                _ => None,
            };
            let miss = miss.filter(|miss| now - miss.at < rules.fades);
            let reason = match (part.name, miss) {
                (_, Some(miss)) => miss.what.clone(),
                ("refusals", None) => {
                    let refused = part.value.unwrap_or_default();
                    format!("{refused} refusals in the last minute")
                }
                ("velocity", None) => match pace {
                    Some(pace) => format!("{calls} calls in the last minute, usually {pace:.1}"),
                    None => format!(
                        "{calls} calls in the last minute; how many are usual is not known yet"
                    ),
                },
                (_, None) => "nothing unusual of late".to_owned(),
            };
            Component {
                name: part.name,
                value: part.value.map(|value| (value * 100.0).round() / 100.0),
                weight: part.weight,
                points: part.points(),
                reason,
                source: None,
                task: None,
                age: miss.map(|miss| now - miss.at),
                left: miss.map(|miss| rules.fades.saturating_sub(now - miss.at)),
            }
        });
        shown.collect()
    }

    /// Whether nothing of it matters any more.
    fn is_idle(&mut self, rules: &RiskRules, now: BootInstant) -> bool {
        let second = seconds(now);
        let misses = [&self.network, &self.hour, &self.operation, &self.input];
        let mut misses = misses.into_iter().flatten();
        misses.all(|miss| now - miss.at >= rules.fades)
            && self.calls.sum(second) == 0
            && self.refused.sum(second) == 0
            && self.minute.1 == 0
    }
}

/// A part of a score, without words.
struct Measured {
    name: &'static str,
    weight: u32,
    value: Option<f64>,
    /// 0 to 1: the share of the weight that it gives.
    share: f64,
}

impl Measured {
    fn points(&self) -> u32 {
        // At most the weight, which is at most 100.
        (self.share * f64::from(self.weight)).round() as u32
    }
}

impl Compared {
    fn is_usual(&self) -> bool {
        let kinds = [self.network, self.hour, self.operation];
        kinds.iter().all(|kind| *kind != Some(false)) && self.outside.is_none()
    }
}

/// How far a value has come from one bound to another, 0 to 1.
fn between(value: f64, from: f64, full: f64) -> f64 {
    ((value - from) / (full - from)).clamp(0.0, 1.0)
}

fn seconds(instant: BootInstant) -> u64 {
    instant.as_nanos() / 1_000_000_000
}
