//! Live decisions, checked by Cedar's own authorizer: what rules are compiled to decides, and this finds where
//! it would not have come as Cedar has it.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::sample::{SAMPLES, Sample, Samples};
use crate::audit::{Asked, Record, Verdict};
use crate::base::Live;
use crate::config::Snapshot;
use crate::rehearsal::{Judgement, Replay};
use crate::telemetry::Metrics;

/// What the checks came to.
pub(super) struct Checks {
    live: Arc<Live<Snapshot>>,
    since: Timestamp,
    metrics: Arc<Metrics>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    checked: u64,
    verdicts: u64,
    rules: u64,
    samples: Samples,
}

impl Checks {
    /// Checks what the snapshots of `live` decide from `since` on.
    pub(super) fn new(live: Arc<Live<Snapshot>>, since: Timestamp, metrics: &Arc<Metrics>) -> Self {
        Self {
            live,
            since,
            metrics: Arc::clone(metrics),
            found: Mutex::default(),
        }
    }

    /// The snapshot of this moment.
    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.live.current()
    }

    /// Whether it is still the one of this moment.
    pub(super) fn is_current(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.live.peek(), snapshot)
    }

    /// Checks one record by Cedar, who is asked about the rules of `live`. What no rule was asked about has
    /// nothing to be checked.
    pub(super) fn look(&self, live: &Snapshot, by_cedar: &Replay<'_>, record: &Record) {
        let Some(asked) = &record.asked else {
            return;
        };
        let same = record.generation.as_ref() == Some(live.generation());
        let Some(judgement) = same.then(|| by_cedar.judge(record)).flatten() else {
            self.metrics.shadow_missed.inc();
            return;
        };
        self.metrics.cedar_checks.inc();
        let mut found = self.found();
        found.checked += 1;
        let again = || Replay::new(live).judge(record);
        let (kind, told) = match asked.step {
            None => (differs(record, asked, &judgement), None),
            // What people and limits have to do with it is more than rules, and the same to both.
            Some(_) => {
                let told = again();
                let kind = told.as_ref().and_then(|one| differs_from(one, &judgement));
                (kind, told)
            }
        };
        let Some(kind) = kind else {
            return;
        };
        match kind {
            Differs::Rules => found.rules += 1,
            Differs::Verdict => found.verdicts += 1,
        }
        self.metrics.cedar_difference(kind.as_str());
        let differences = found.verdicts + found.rules;
        let mut judged = vec![("cedar", judgement)];
        // Where it comes as Cedar has it now, what was prepared is at fault, or what the record lacks.
        judged.extend(told.or_else(again).map(|again| ("again", again)));
        // One rule that is wrong may come up in every call.
        if differences <= SAMPLES as u64 || differences.is_power_of_two() {
            report(record, &judged, differences);
        }
        let record = record.clone();
        found.samples.keep(Sample { record, judged });
    }

    pub(super) fn view(&self) -> Value {
        let found = self.found();
        json!({
            "since": self.since.to_string(),
            "checked": found.checked,
            "differences": { "verdicts": found.verdicts, "rules": found.rules },
            "samples": found.samples.view(),
        })
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // Counts may be one off.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is not as Cedar has it.
#[derive(Clone, Copy)]
enum Differs {
    /// The verdict is, the rules that decide are not.
    Rules,
    Verdict,
}

impl Differs {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Verdict => "verdict",
        }
    }
}

/// What of a call or a request was decided otherwise.
fn differs(record: &Record, asked: &Asked, by_cedar: &Judgement) -> Option<Differs> {
    // Where the rules said yes, something else may have refused it then; its record names no rules.
    let said_yes = asked.ruled.is_none();
    let refused_then = said_yes && matches!(record.verdict, Verdict::Deny(_));
    let ruled_otherwise = by_cedar.ruled.is_some_and(|yes| yes != said_yes);
    if ruled_otherwise || !refused_then && by_cedar.before != by_cedar.after {
        return Some(Differs::Verdict);
    }
    (!refused_then && by_cedar.rules != record.rules).then_some(Differs::Rules)
}

/// What two who judge the same make of it.
fn differs_from(compiled: &Judgement, by_cedar: &Judgement) -> Option<Differs> {
    if compiled.after != by_cedar.after {
        return Some(Differs::Verdict);
    }
    (compiled.rules != by_cedar.rules).then_some(Differs::Rules)
}

/// Says in the log what differs. What was asked may hold secrets: it stands in the audit log, under this id.
fn report(record: &Record, judged: &[(&'static str, Judgement)], differences: u64) {
    let told = |name: &str| {
        let judgement = judged.iter().find(|(one, _)| *one == name);
        judgement.map_or_else(String::new, |(_, one)| told(one.after, &one.rules))
    };
    let before = judged.first().map_or("", |(_, one)| one.before);
    let text = |id: Option<&str>| id.unwrap_or("-").to_owned();
    tracing::error!(
        request_id = text(record.request_id.as_deref()),
        generation = text(record.generation.as_ref().map(|one| one.as_str())),
        agent = text(record.agent.as_ref().map(|id| id.as_str())),
        operation = text(record.operation.as_ref().map(|id| id.as_str())),
        entitlement = text(record.entitlement.as_ref().map(|id| id.as_str())),
        decided = self::told(before, &record.rules),
        cedar = told("cedar"),
        again = told("again"),
        differences,
        "Cedar would have decided otherwise than the compiled rules did"
    );
}

fn told(verdict: &str, rules: &[Arc<str>]) -> String {
    format!("{verdict} ({})", rules.join(", "))
}
