//! What a task has called of a group of operations: worked out from what it has called of each of them, when a rule
//! reads it. So it follows the membership that is live, is as durable as what it is made of, and is counted in the
//! same moment.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Catalogue;
use super::reads::Parts;
use super::schema;
use crate::model::{History, InputKind, Operation, OperationHistory, OperationId};

/// Groups of operations, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(BTreeMap<Arc<str>, Arc<Group>>);

/// A group of operations.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    members: Arc<Members>,
    /// Those that declare a numeric input, by its name.
    declaring: BTreeMap<Arc<str>, Arc<Members>>,
}

/// Operations that are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members(HashSet<OperationId, RandomState>);

/// The names of the inputs that can be summed.
pub(super) fn numeric(operation: &Operation) -> impl Iterator<Item = &Arc<str>> {
    let inputs = operation.inputs.iter();
    let numeric = inputs.filter(|(_, input)| input.kind == InputKind::Long);
    numeric.map(|(name, _)| name)
}

impl Groups {
    /// Every group that an operation can be a member of, also where none is.
    pub(super) fn of(catalogue: &Catalogue<'_>) -> Self {
        let names = schema::groups(catalogue).into_iter();
        let mut groups: BTreeMap<String, Group> =
            names.map(|name| (name, Group::default())).collect();
        for operation in catalogue.operations {
            for name in schema::parents(operation) {
                groups.entry(name).or_default().add(operation);
            }
        }
        let groups = groups.into_iter();
        Self(
            groups
                .map(|(name, group)| (name.into(), Arc::new(group)))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&Group> {
        self.0.get(name).map(|group| &**group)
    }

    /// Each with its name, in the order of names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.0.iter().map(|(name, group)| (&**name, &**group))
    }

    /// Those of them that are read.
    pub(super) fn read(&self, parts: Option<&Parts>) -> Self {
        let Some(parts) = parts else {
            return Self::default();
        };
        let read = self.0.iter().filter(|(name, _)| parts.holds(name));
        Self(
            read.map(|(name, group)| (Arc::clone(name), Arc::clone(group)))
                .collect(),
        )
    }
}

impl Group {
    fn add(&mut self, operation: &Operation) {
        Arc::make_mut(&mut self.members).add(operation);
        for input in numeric(operation) {
            let declaring = self.declaring.entry(Arc::clone(input)).or_default();
            Arc::make_mut(declaring).add(operation);
        }
    }

    pub(super) const fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// The members that declare a numeric input of this name; none where there are none.
    pub(super) fn declaring(&self, input: &str) -> Option<&Arc<Members>> {
        self.declaring.get(input)
    }

    /// The names of the members' inputs that can be summed.
    pub(super) fn numeric(&self) -> impl Iterator<Item = &Arc<str>> {
        self.declaring.keys()
    }

    /// What was called of the members, as if they were one operation.
    pub(super) fn of(&self, history: &History) -> OperationHistory {
        let sums = self.declaring.iter();
        OperationHistory {
            calls: self.members.calls(history),
            succeeded: self.members.succeeded(history),
            last_age_seconds: self.members.last_age_seconds(history),
            sum: sums
                .map(|(input, declaring)| (Arc::clone(input), declaring.sum(history, input)))
                .collect(),
        }
    }
}

impl Members {
    fn add(&mut self, operation: &Operation) {
        self.0.insert(operation.id.clone());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls that were let through.
    pub(super) fn calls(&self, history: &History) -> i64 {
        total(self.called(history).map(|one| one.calls))
    }

    /// Those that the upstream answered with success.
    pub(super) fn succeeded(&self, history: &History) -> i64 {
        total(self.called(history).map(|one| one.succeeded))
    }

    /// The time since the last.
    pub(super) fn last_age_seconds(&self, history: &History) -> Option<i64> {
        let ages = self.called(history).map(|one| one.last_age_seconds);
        ages.flatten().min()
    }

    /// The sum of a numeric input that all of them declare.
    pub(super) fn sum(&self, history: &History, input: &str) -> i64 {
        let sums = self.called(history).map(|one| one.sum.get(input));
        total(sums.flatten().copied())
    }

    /// What was called of them. Whichever is less is gone through: the members, or what was called.
    fn called<'h>(&self, history: &'h History) -> impl Iterator<Item = &'h OperationHistory> {
        let few = self.0.len() < history.len();
        let members = few.then(|| self.0.iter().filter_map(|id| history.get(id)));
        let all = (!few).then_some(history).into_iter().flatten();
        let called = all.filter(|(id, _)| self.0.contains(*id));
        let called = called.map(|(_, of)| of);
        members.into_iter().flatten().chain(called)
    }
}

/// The sum, or what is nearest to it, whatever the order.
fn total(numbers: impl Iterator<Item = i64>) -> i64 {
    let sum: i128 = numbers.map(i128::from).sum();
    let nearest = sum.clamp(i64::MIN.into(), i64::MAX.into());
    i64::try_from(nearest).unwrap_or(i64::MAX)
}
