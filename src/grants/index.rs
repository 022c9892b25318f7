//! Every live task and grant by id. Nothing is ever evicted from here: only an end removes it.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{PoisonError, RwLock};

use foldhash::fast::RandomState;

/// How many parts a map has.
pub(super) const SHARDS: usize = 64;

/// A map that many threads read and write: each key belongs to one of its parts.
#[derive(Debug)]
pub(super) struct Index<K, V> {
    hasher: RandomState,
    shards: Vec<RwLock<HashMap<K, V, RandomState>>>,
    /// How many values were looked at by walks over all or a part.
    #[cfg(test)]
    pub(super) walked: std::sync::atomic::AtomicUsize,
}

impl<K: Eq + Hash, V: Clone> Index<K, V> {
    pub(super) fn new() -> Self {
        let hasher = RandomState::default();
        let shard = || RwLock::new(HashMap::with_hasher(hasher.clone()));
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher,
            #[cfg(test)]
            walked: std::sync::atomic::AtomicUsize::default(),
        }
    }

    pub(super) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let shard = self.shard(key)?;
        // Each write is one map operation, so a poisoned part still holds whole entries.
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(key).cloned()
    }

    pub(super) fn insert(&self, key: K, value: V) {
        if let Some(shard) = self.shard(&key) {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.insert(key, value);
        }
    }

    /// The value of a key; a fresh one where there is none, or none that is `good` any more.
    pub(super) fn get_or_make(
        &self,
        key: &K,
        good: impl Fn(&V) -> bool,
        fresh: impl FnOnce() -> V,
    ) -> V
    where
        K: Clone,
    {
        if let Some(value) = self.get(key).filter(|value| good(value)) {
            return value;
        }
        let Some(shard) = self.shard(key) else {
            return fresh();
        };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        // Another may have been first.
        if let Some(value) = shard.get(key).filter(|value| good(value)) {
            return value.clone();
        }
        let value = fresh();
        shard.insert(key.clone(), value.clone());
        value
    }

    pub(super) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let shard = self.shard(key)?;
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        shard.remove(key)
    }

    /// How many there are, part by part.
    pub(super) fn len(&self) -> usize {
        let of = |shard: &RwLock<HashMap<K, V, RandomState>>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.len()
        };
        self.shards.iter().map(of).sum()
    }

    /// A copy of all values that `wanted` names, part by part: what comes or goes meanwhile may be
    /// missed or included.
    pub(super) fn collect(&self, wanted: impl Fn(&V) -> bool) -> Vec<V> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            #[cfg(test)]
            self.walked
                .fetch_add(shard.len(), std::sync::atomic::Ordering::SeqCst);
            found.extend(shard.values().filter(|value| wanted(value)).cloned());
        }
        found
    }

    /// A copy of all values of one part, of [`SHARDS`].
    pub(super) fn part(&self, number: usize) -> Vec<V> {
        let shard = self.shards.get(number);
        shard.map_or_else(Vec::new, |shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.values().cloned().collect()
        })
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&RwLock<HashMap<K, V, RandomState>>> {
        let hash = self.hasher.hash_one(key);
        // The high bits, because the map inside uses the low ones.
        let place = usize::try_from(hash >> 48).unwrap_or(0) % SHARDS;
        self.shards.get(place)
    }
}
