//! Other judges beside the live policies: what a candidate would have decided of real traffic, and what Cedar's
//! own authorizer makes of what was decided, counted and sampled.
//!
//! They are asked after the fact, on a thread of their own: those who decide hand it the records
//! that they send to the audit log, which hold what the rules were asked. Nothing is done on the path of a request,
//! and no more processor time is used than a share of what the rest of the gateway uses.

mod budget;
mod checks;
mod sample;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use self::budget::Budget;
use self::checks::Checks;
use self::sample::{Sample, Samples};
use crate::access::{ShadowWish, Shadows};
use crate::audit::{Record, Tap, Tapped, Valve};
use crate::base::{Clock, Live, step_back};
use crate::config::{Candidate, CandidateOrders, Candidates, Choice, Refused, Snapshot, Sources};
use crate::rehearsal::Replay;
use crate::telemetry::Metrics;

/// Records that wait to be looked at.
const QUEUE: usize = 256;

/// What is known of the candidate, and of the checks where there are some.
pub(super) struct Shadow {
    state: Mutex<State>,
    checks: Option<Checks>,
    orders: CandidateOrders,
    /// The live policies' directory: a candidate lies beside it.
    policies: Option<PathBuf>,
    valve: Valve,
    metrics: Arc<Metrics>,
    clock: Clock,
}

#[derive(Default)]
struct State {
    directory: Option<PathBuf>,
    running: Option<Running>,
    refused: Option<Refused>,
}

/// A candidate that is asked.
struct Running {
    snapshot: Arc<Snapshot>,
    since: Timestamp,
    decisions: u64,
    gains: u64,
    losses: u64,
    others: u64,
    samples: Samples,
}

impl Shadow {
    /// A shadow of what `sources` name, the writer's tap for it, and what keeps looking at its files. Nothing
    /// is asked before the candidate is found, but what the snapshots of `checked` decide is checked by Cedar.
    pub(super) fn new(
        sources: &Sources,
        checked: Option<Arc<Live<Snapshot>>>,
        metrics: &Arc<Metrics>,
        clock: &Clock,
    ) -> anyhow::Result<(Arc<Self>, Tap, impl Future<Output = ()> + use<>)> {
        let (candidates, orders) = Candidates::new(sources.clone(), clock.clone());
        let valve = Valve::default();
        let counted = Arc::clone(metrics);
        let (tap, records) = Tap::new(&valve, QUEUE, move || {
            counted.shadow_missed.inc();
        });
        let checks = checked.map(|live| Checks::new(live, clock.wall(), metrics));
        valve.set(checks.is_some());
        let shadow = Arc::new(Self {
            state: Mutex::default(),
            checks,
            orders,
            policies: sources.directories.first().cloned(),
            valve,
            metrics: Arc::clone(metrics),
            clock: clock.clone(),
        });
        let asking = Arc::clone(&shadow);
        // It ends with the writer, who holds the other end.
        thread::Builder::new()
            .name("shadow".to_owned())
            .spawn(move || {
                step_back();
                asking.ask(&records);
            })
            .context("no thread for those who judge beside")?;
        // Weak, so that the orders end when the last who can give some is gone.
        let found = Arc::downgrade(&shadow);
        let watching = candidates.run(move |candidate| {
            if let Some(shadow) = found.upgrade() {
                shadow.take(candidate);
            }
        });
        Ok((shadow, tap, watching))
    }

    /// Takes what became of the candidate's files.
    fn take(&self, candidate: Candidate) {
        let mut state = self.state();
        *state = match candidate {
            Candidate::Absent => State::default(),
            Candidate::Ready(directory, snapshot) => {
                tracing::info!(
                    directory = %directory.display(), generation = %snapshot.generation(),
                    "a candidate is asked beside the live policies"
                );
                State {
                    directory: Some(directory),
                    running: Some(Running::new(snapshot, self.clock.wall())),
                    refused: None,
                }
            }
            Candidate::Refused(directory, refused) => {
                let problems = refused.diagnostics.len();
                tracing::warn!(
                    directory = %directory.display(), problems,
                    "the candidate can't be used; nothing is asked of it"
                );
                State {
                    directory: Some(directory),
                    running: None,
                    refused: Some(refused),
                }
            }
        };
        self.valve
            .set(state.running.is_some() || self.checks.is_some());
    }

    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let state = self.state();
        state.running.as_ref().map(|one| Arc::clone(&one.snapshot))
    }

    /// Asks all who judge about each record, for as long as any come.
    fn ask(&self, records: &Tapped) {
        let mut budget = Budget::new();
        while let Some(first) = records.next() {
            let candidate = self.snapshot();
            let candidate = candidate.as_ref().map(|one| (one, Replay::new(one)));
            let checks = self
                .checks
                .as_ref()
                .map(|checks| (checks, checks.current()));
            let checks = checks
                .as_ref()
                .map(|(checks, live)| (*checks, live, Replay::by_cedar(live)));
            let mut next = Some(first);
            while let Some(mut record) = next {
                budget.wait();
                if record.read_written().is_err() {
                    self.metrics.shadow_missed.inc();
                    next = records.next_at_hand();
                    continue;
                }
                let mut all_same = true;
                if let Some((checks, live, by_cedar)) = &checks {
                    checks.look(live, by_cedar, &record);
                    all_same = checks.is_current(live);
                }
                if let Some((snapshot, replay)) = &candidate {
                    all_same &= self.look(snapshot, replay, record);
                }
                // Another candidate, or another generation, is found out here.
                next = all_same.then(|| records.next_at_hand()).flatten();
            }
        }
    }

    /// Asks the candidate about one record. Tells whether it still is the candidate.
    fn look(&self, snapshot: &Arc<Snapshot>, replay: &Replay<'_>, record: Record) -> bool {
        let judged = replay.judge(&record);
        let mut state = self.state();
        let running = state.running.as_mut();
        let Some(running) = running.filter(|one| Arc::ptr_eq(&one.snapshot, snapshot)) else {
            return false;
        };
        // What was decided before the candidate was there may only now have been written.
        let Some(judgement) = judged.filter(|_| record.at >= running.since) else {
            return true;
        };
        running.decisions += 1;
        self.metrics.shadow_decisions.inc();
        if judgement.before != judgement.after {
            let (kind, count) = if judgement.is_gain() {
                ("gain", &mut running.gains)
            } else if judgement.is_loss() {
                ("loss", &mut running.losses)
            } else {
                ("other", &mut running.others)
            };
            *count += 1;
            self.metrics.shadow_difference(kind);
            let judged = vec![("candidate", judgement)];
            running.samples.keep(Sample { record, judged });
        }
        true
    }

    /// The directory that an operator names: it lies beside the live one, and is not that.
    fn named(&self, named: &Path) -> Result<PathBuf, String> {
        let odd = |why: &str| format!("`{}` {why}", named.display());
        let live = self
            .policies
            .as_ref()
            .and_then(|live| live.canonicalize().ok());
        let live = live.ok_or_else(|| odd("has no live policies beside it"))?;
        let place = live.parent().unwrap_or(&live);
        let found = place.join(named);
        let found = found
            .canonicalize()
            .ok()
            .filter(|found| found.is_dir())
            .ok_or_else(|| odd("is no directory on the gateway's machine"))?;
        if found == live {
            return Err(odd("is live already"));
        }
        if found.parent() != Some(place) {
            return Err(odd(
                "does not lie beside the live policies, where a candidate has to",
            ));
        }
        Ok(found)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is replaced whole, and counts may be one off.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shadows for Shadow {
    fn wish(&self, wish: Option<ShadowWish>) -> Result<oneshot::Receiver<()>, String> {
        let choice = match wish {
            None => None,
            Some(ShadowWish::Directory(directory)) => Some(Choice::Named(self.named(&directory)?)),
            Some(ShadowWish::Stop) => Some(Choice::Nothing),
        };
        Ok(self.orders.look(choice))
    }

    fn view(&self) -> Value {
        let state = self.state();
        let Some(directory) = &state.directory else {
            return Value::Null;
        };
        let refused = state.refused.as_ref().map(
            |refused| json!({ "at": refused.at.to_string(), "diagnostics": *refused.diagnostics }),
        );
        let mut view = json!({
            "directory": directory.display().to_string(),
            "generation": null,
            "refused": refused,
        });
        if let (Some(running), Some(members)) = (&state.running, view.as_object_mut()) {
            let more = json!({
                "generation": running.snapshot.generation().as_str(),
                "since": running.since.to_string(),
                "decisions": running.decisions,
                "differences": {
                    "gains": running.gains,
                    "losses": running.losses,
                    "others": running.others,
                },
                "samples": running.samples.view(),
            });
            members.extend(more.as_object().cloned().unwrap_or_default());
        }
        view
    }

    fn checks(&self) -> Value {
        self.checks.as_ref().map_or(Value::Null, Checks::view)
    }
}

impl Running {
    fn new(snapshot: Arc<Snapshot>, since: Timestamp) -> Self {
        Self {
            snapshot,
            since,
            decisions: 0,
            gains: 0,
            losses: 0,
            others: 0,
            samples: Samples::default(),
        }
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").finish_non_exhaustive()
    }
}
