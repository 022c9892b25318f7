//! What a task has called: counted as it happens, bounded by the number of operations.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::base::BootInstant;
use crate::model::{History, InputValue, Inputs, OperationHistory, OperationId};
use crate::store::CountedCalls;

/// The counters of one task.
#[derive(Debug, Default)]
pub struct Ledger {
    history: History,
    last: BTreeMap<OperationId, BootInstant>,
    /// How often it has changed.
    changes: u64,
}

/// A call that was counted: when it was, and when the one of its operation before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    at: BootInstant,
    before: Option<BootInstant>,
}

impl Ledger {
    /// The history as conditions see it at `now`.
    pub fn history(&mut self, now: BootInstant) -> &History {
        for (operation, last) in &self.last {
            if let Some(entry) = self.history.get_mut(operation) {
                entry.last_age_seconds = Some(age(*last, now));
            }
        }
        &self.history
    }

    /// The history without a call that still runs: what conditions saw when they let it through, as far
    /// as others have not called since.
    pub fn history_without(
        &mut self,
        operation: &OperationId,
        input: &Inputs,
        reserved: Reserved,
        now: BootInstant,
    ) -> History {
        let mut history = self.history(now).clone();
        if let Some(entry) = history.get_mut(operation) {
            entry.calls = entry.calls.saturating_sub(1);
            // One that came after it, or else the one before it.
            let last = self.last.get(operation).copied();
            let last = last.filter(|last| *last != reserved.at);
            let last = last.or(reserved.before);
            entry.last_age_seconds = last.map(|last| age(last, now));
            for (name, value) in numbers(input) {
                if let Some(sum) = entry.sum.get_mut(name) {
                    *sum = sum.saturating_sub(value);
                }
            }
        }
        history
    }

    /// What was counted before a restart.
    pub(super) fn restored(counted: Vec<CountedCalls>) -> Self {
        let mut ledger = Self::default();
        for one in counted {
            let CountedCalls {
                operation,
                calls,
                succeeded,
                sum,
                last,
            } = one;
            let entry = OperationHistory {
                calls,
                succeeded,
                last_age_seconds: None,
                sum,
            };
            ledger.history.insert(operation.clone(), entry);
            ledger.last.insert(operation, last);
        }
        ledger
    }

    /// What to keep for after a restart.
    pub(super) fn counted(&self) -> Vec<CountedCalls> {
        let counted = self.history.iter().filter_map(|(operation, entry)| {
            Some(CountedCalls {
                operation: operation.clone(),
                calls: entry.calls,
                succeeded: entry.succeeded,
                sum: entry.sum.clone(),
                last: *self.last.get(operation)?,
            })
        });
        counted.collect()
    }

    /// How often it has changed.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts a call that was let through. Its numeric inputs count from now, so that parallel calls
    /// can't pass a limit together; [`Ledger::fail`] takes them back.
    pub fn reserve(
        &mut self,
        operation: &OperationId,
        input: &Inputs,
        now: BootInstant,
    ) -> Reserved {
        self.changes += 1;
        let entry = self.history.entry(operation.clone()).or_default();
        entry.calls = entry.calls.saturating_add(1);
        for (name, value) in numbers(input) {
            let sum = entry.sum.entry(name.clone()).or_default();
            *sum = sum.saturating_add(value);
        }
        let before = self.last.insert(operation.clone(), now);
        Reserved { at: now, before }
    }

    /// Takes back a call that was reserved and never made.
    pub fn withdraw(&mut self, operation: &OperationId, input: &Inputs, reserved: Reserved) {
        if let Some(entry) = self.history.get_mut(operation) {
            entry.calls = entry.calls.saturating_sub(1);
            let is_last = self.last.get(operation) == Some(&reserved.at);
            match reserved.before.filter(|_| entry.calls > 0) {
                Some(before) if is_last => {
                    self.last.insert(operation.clone(), before);
                }
                None if is_last || entry.calls == 0 => {
                    self.last.remove(operation);
                    entry.last_age_seconds = None;
                }
                Some(_) | None => {}
            }
        }
        self.fail(operation, input);
    }

    /// Counts the success of a call that was reserved.
    pub fn succeed(&mut self, operation: &OperationId) {
        self.changes += 1;
        if let Some(entry) = self.history.get_mut(operation) {
            entry.succeeded = entry.succeeded.saturating_add(1);
        }
    }

    /// Takes back the sums of a call that was reserved and did not succeed.
    pub fn fail(&mut self, operation: &OperationId, input: &Inputs) {
        self.changes += 1;
        if let Some(entry) = self.history.get_mut(operation) {
            for (name, value) in numbers(input) {
                if let Some(sum) = entry.sum.get_mut(name) {
                    *sum = sum.saturating_sub(value);
                }
            }
        }
    }
}

fn age(last: BootInstant, now: BootInstant) -> i64 {
    let age = now.saturating_since(last).as_secs();
    i64::try_from(age).unwrap_or(i64::MAX)
}

fn numbers(input: &Inputs) -> impl Iterator<Item = (&std::sync::Arc<str>, i64)> {
    input.iter().filter_map(|(name, value)| match value {
        InputValue::Long(value) => Some((name, *value)),
        InputValue::Bool(_) | InputValue::String(_) => None,
    })
}
