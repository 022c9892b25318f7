//! What lies below what: the spans of tasks, and the parts of grants.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// The parts of each whole that has some.
#[derive(Debug)]
pub(super) struct Parts<K> {
    of: HashMap<K, BTreeSet<K>>,
    /// All of them together, counted as they come and go: who asks how many there are holds up nobody.
    count: usize,
}

impl<K: Clone + Eq + Hash + Ord> Parts<K> {
    /// A part comes to `whole`.
    pub(super) fn add(&mut self, whole: &K, part: &K) {
        let parts = self.of.entry(whole.clone()).or_default();
        self.count += usize::from(parts.insert(part.clone()));
    }

    /// The parts of `whole`.
    pub(super) fn of(&self, whole: &K) -> impl Iterator<Item = &K> {
        self.of.get(whole).into_iter().flatten()
    }

    /// Takes a part out of `whole`, where it is one.
    pub(super) fn remove(&mut self, whole: Option<&K>, part: &K) {
        let Some(whole) = whole else {
            return;
        };
        if let Some(parts) = self.of.get_mut(whole) {
            self.count -= usize::from(parts.remove(part));
            if parts.is_empty() {
                self.of.remove(whole);
            }
        }
    }

    /// Takes out all parts of `whole`.
    pub(super) fn take(&mut self, whole: &K) -> BTreeSet<K> {
        let parts = self.of.remove(whole).unwrap_or_default();
        self.count -= parts.len();
        parts
    }

    /// How many parts there are, of all wholes.
    pub(super) const fn len(&self) -> usize {
        self.count
    }
}

impl<K> Default for Parts<K> {
    fn default() -> Self {
        Self {
            of: HashMap::new(),
            count: 0,
        }
    }
}
