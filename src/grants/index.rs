//! Every live task and grant by id. Nothing is ever evicted from here: only an end removes it.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{LiveGrant, LiveTask, PendingGrant};
use crate::model::{Grant, GrantId, RequestId, Task, TaskId};

/// How many parts a map has.
pub(super) const SHARDS: usize = 64;

/// Something that knows the key under which it is found: an index keeps no other copy of it.
pub(super) trait Keyed {
    type Key: Eq + Hash;

    fn key(&self) -> &Self::Key;
}

/// A map that many threads read and write: each key belongs to one of its parts.
#[derive(Debug)]
pub(super) struct Index<V> {
    hasher: RandomState,
    shards: Vec<RwLock<HashTable<V>>>,
    /// How many values were looked at by walks over all.
    #[cfg(test)]
    pub(super) walked: std::sync::atomic::AtomicUsize,
}

impl<V: Keyed + Clone> Index<V> {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            #[cfg(test)]
            walked: std::sync::atomic::AtomicUsize::default(),
        }
    }

    pub(super) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        V::Key: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (shard, hash) = self.shard(key)?;
        // Each write is one operation of the table, so a poisoned part still holds whole entries.
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard
            .find(hash, |value| value.key().borrow() == key)
            .cloned()
    }

    /// Puts a value under its key, in the place of any other.
    pub(super) fn insert(&self, value: V) {
        if let Some((shard, hash)) = self.shard(value.key()) {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            self.put(&mut shard, hash, value);
        }
    }

    /// The value of a key; a fresh one where there is none, or none that is `good` any more.
    pub(super) fn get_or_make(
        &self,
        key: &V::Key,
        good: impl Fn(&V) -> bool,
        fresh: impl FnOnce() -> V,
    ) -> V {
        if let Some(value) = self.get(key).filter(|value| good(value)) {
            return value;
        }
        let Some((shard, hash)) = self.shard(key) else {
            return fresh();
        };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        // Another may have been first.
        let there = shard.find(hash, |value| value.key() == key);
        if let Some(value) = there.filter(|value| good(value)) {
            return value.clone();
        }
        let value = fresh();
        self.put(&mut shard, hash, value.clone());
        value
    }

    pub(super) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        V::Key: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (shard, hash) = self.shard(key)?;
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let found = shard.find_entry(hash, |value| value.key().borrow() == key);
        found.ok().map(|entry| entry.remove().0)
    }

    /// How many there are, part by part.
    pub(super) fn len(&self) -> usize {
        let of = |shard: &RwLock<HashTable<V>>| {
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
            found.extend(shard.iter().filter(|value| wanted(value)).cloned());
        }
        found
    }

    /// A copy of all values of one part, of [`SHARDS`].
    pub(super) fn part(&self, number: usize) -> Vec<V> {
        let shard = self.shards.get(number);
        shard.map_or_else(Vec::new, |shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.iter().cloned().collect()
        })
    }

    fn put(&self, shard: &mut HashTable<V>, hash: u64, value: V) {
        let hash_of = |value: &V| self.hasher.hash_one(value.key());
        if let Some(there) = shard.find_mut(hash, |there| there.key() == value.key()) {
            *there = value;
        } else {
            shard.insert_unique(hash, value, hash_of);
        }
    }

    /// The part that a key belongs to, and its hash.
    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> Option<(&RwLock<HashTable<V>>, u64)> {
        let hash = self.hasher.hash_one(key);
        // Other bits than those by which the table inside finds its places.
        let place = usize::try_from(hash >> 48).unwrap_or(0) % SHARDS;
        Some((self.shards.get(place)?, hash))
    }
}

impl Keyed for Arc<LiveGrant> {
    type Key = GrantId;

    fn key(&self) -> &GrantId {
        &self.request().grant
    }
}

impl Keyed for Arc<LiveTask> {
    type Key = TaskId;

    fn key(&self) -> &TaskId {
        &self.task().id
    }
}

impl Keyed for Arc<PendingGrant> {
    type Key = RequestId;

    fn key(&self) -> &RequestId {
        &self.request().id
    }
}

impl Keyed for Grant {
    type Key = GrantId;

    fn key(&self) -> &GrantId {
        &self.request.grant
    }
}

impl Keyed for Task {
    type Key = TaskId;

    fn key(&self) -> &TaskId {
        &self.id
    }
}
