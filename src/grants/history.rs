//! What a task has called: counted as it happens, bounded by the number of operations.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::base::BootInstant;
use crate::model::{History, InputValue, Inputs, OperationId};

/// The counters of one task.
#[derive(Debug, Default)]
pub struct Ledger {
    history: History,
    last: BTreeMap<OperationId, BootInstant>,
}

impl Ledger {
    /// The history as conditions see it at `now`.
    pub fn history(&mut self, now: BootInstant) -> &History {
        for (operation, last) in &self.last {
            if let Some(entry) = self.history.get_mut(operation) {
                let age = now.saturating_since(*last).as_secs();
                entry.last_age_seconds = Some(i64::try_from(age).unwrap_or(i64::MAX));
            }
        }
        &self.history
    }

    /// Counts a call that was let through. Its numeric inputs count from now, so that parallel calls
    /// can't pass a limit together; [`Ledger::fail`] takes them back.
    pub fn reserve(&mut self, operation: &OperationId, input: &Inputs, now: BootInstant) {
        let entry = self.history.entry(operation.clone()).or_default();
        entry.calls = entry.calls.saturating_add(1);
        for (name, value) in numbers(input) {
            let sum = entry.sum.entry(name.clone()).or_default();
            *sum = sum.saturating_add(value);
        }
        self.last.insert(operation.clone(), now);
    }

    /// Takes back a call that was reserved and never made.
    pub fn withdraw(&mut self, operation: &OperationId, input: &Inputs) {
        if let Some(entry) = self.history.get_mut(operation) {
            entry.calls = entry.calls.saturating_sub(1);
        }
        self.fail(operation, input);
    }

    /// Counts the success of a call that was reserved.
    pub fn succeed(&mut self, operation: &OperationId) {
        if let Some(entry) = self.history.get_mut(operation) {
            entry.succeeded = entry.succeeded.saturating_add(1);
        }
    }

    /// Takes back the sums of a call that was reserved and did not succeed.
    pub fn fail(&mut self, operation: &OperationId, input: &Inputs) {
        if let Some(entry) = self.history.get_mut(operation) {
            for (name, value) in numbers(input) {
                if let Some(sum) = entry.sum.get_mut(name) {
                    *sum = sum.saturating_sub(value);
                }
            }
        }
    }
}

fn numbers(input: &Inputs) -> impl Iterator<Item = (&std::sync::Arc<str>, i64)> {
    input.iter().filter_map(|(name, value)| match value {
        InputValue::Long(value) => Some((name, *value)),
        InputValue::Bool(_) | InputValue::String(_) => None,
    })
}
