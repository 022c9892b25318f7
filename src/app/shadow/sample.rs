//! The latest decisions that another judge would have made otherwise.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::audit::Record;
use crate::rehearsal::Judgement;

/// How many of the latest differences are kept.
pub(super) const SAMPLES: usize = 100;

/// What is kept of differences; the oldest go first.
#[derive(Default)]
pub(super) struct Samples(VecDeque<Sample>);

/// One decision, and what others make of it.
pub(super) struct Sample {
    pub(super) record: Record,
    /// By the name of the judge.
    pub(super) judged: Vec<(&'static str, Judgement)>,
}

impl Samples {
    pub(super) fn keep(&mut self, sample: Sample) {
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// The latest first.
    pub(super) fn view(&self) -> Value {
        self.0.iter().rev().map(Sample::view).collect()
    }
}

impl Sample {
    fn view(&self) -> Value {
        let Self { record, judged } = self;
        // What the record says was decided, each of them was told.
        let live = judged.first().map(|(_, one)| one.before);
        let mut view = json!({
            "at": record.at.to_string(),
            "request_id": record.request_id,
            "generation": record.generation.as_ref().map(|one| one.as_str()),
            "agent": record.agent.as_ref().map(|id| id.as_str()),
            "operation": record.operation.as_ref().map(|id| id.as_str()),
            "entitlement": record.entitlement.as_ref().map(|id| id.as_str()),
            "live": { "verdict": live, "rules": list(&record.rules) },
        });
        if let Some(members) = view.as_object_mut() {
            let judged = judged.iter().map(|(name, one)| {
                let told = json!({ "verdict": one.after, "rules": list(&one.rules) });
                ((*name).to_owned(), told)
            });
            members.extend(judged);
        }
        view
    }
}

fn list(rules: &[Arc<str>]) -> Value {
    rules.iter().map(|one| json!(**one)).collect()
}
