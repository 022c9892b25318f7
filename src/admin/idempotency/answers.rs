//! What is remembered, for how long and how much of it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::{Answered, Key, records};
use crate::base::BootInstant;
use crate::store::Change;

/// How long an answer is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_hours(24);

/// How many answers are remembered for one caller, and in all; the oldest are forgotten first.
pub(super) const MOST_PER_CALLER: usize = 256;
pub(super) const MOST: usize = 16_384;

/// How many bytes of answers, for one caller and in all: most answers are some hundred.
pub(super) const MOST_BYTES_PER_CALLER: usize = 2 * 1024 * 1024;
pub(super) const MOST_BYTES: usize = 32 * 1024 * 1024;

/// The answers by their keys, and which are the oldest.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) by_key: HashMap<Key, Answered>,
    of_caller: HashMap<String, OfCaller>,
    /// All keys by their number, oldest first.
    oldest: BTreeMap<u64, Key>,
    /// So long are all answers together.
    pub(super) bytes: usize,
    next: u64,
}

#[derive(Debug, Default)]
struct OfCaller {
    /// Its keys, oldest first.
    keys: VecDeque<String>,
    /// So long are its answers together.
    bytes: usize,
}

impl Answers {
    /// Takes an answer in, the youngest. Says how the store forgets what has to make room.
    pub(super) fn insert(&mut self, key: &Key, mut answered: Answered) -> Vec<Change> {
        let mut changes = self.make_room(&key.caller);
        answered.number = self.next;
        self.next += 1;
        let bytes = answered.outcome.bytes();
        self.oldest.insert(answered.number, key.clone());
        let of_caller = self.of_caller.entry(key.caller.clone());
        of_caller.or_default().keys.push_back(key.key.clone());
        self.by_key.insert(key.clone(), answered);
        self.count(key, bytes);
        changes.extend(self.shorten(key));
        changes
    }

    /// Counts the answer to a key that is there.
    pub(super) fn count(&mut self, key: &Key, bytes: usize) {
        self.bytes += bytes;
        if let Some(of_caller) = self.of_caller.get_mut(&key.caller) {
            of_caller.bytes += bytes;
        }
    }

    /// Forgets the oldest answers while they are too long together, but not the one to `key`, which has just come.
    pub(super) fn shorten(&mut self, key: &Key) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(long) = self.longest_ago(key) {
            changes.extend(self.forget(&long));
        }
        changes
    }

    /// The oldest answer that is one too many, first of the caller's own. What is not answered yet makes no room.
    fn longest_ago(&self, but: &Key) -> Option<Key> {
        let is_answer = |key: &Key| {
            let known = self.by_key.get(key);
            key != but && known.is_some_and(|known| known.outcome.bytes() > 0)
        };
        let own = self.of_caller.get(&but.caller);
        if let Some(own) = own.filter(|own| own.bytes > MOST_BYTES_PER_CALLER) {
            let mut own = own.keys.iter().map(|key| Key {
                caller: but.caller.clone(),
                key: key.clone(),
            });
            return own.find(is_answer);
        }
        let mut all = self.oldest.values();
        let found = (self.bytes > MOST_BYTES).then(|| all.find(|key| is_answer(key)));
        found.flatten().cloned()
    }

    pub(super) fn forget_before(&mut self, now: BootInstant) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((_, key)) = self.oldest.first_key_value() {
            let kept = self.by_key.get(key);
            if kept.is_some_and(|kept| now < kept.at + REMEMBERED) {
                break;
            }
            let key = key.clone();
            changes.extend(self.forget(&key));
        }
        changes
    }

    fn make_room(&mut self, caller: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        let of_caller = self.of_caller.get(caller);
        if let Some(own) = of_caller.filter(|own| own.keys.len() >= MOST_PER_CALLER)
            && let Some(key) = own.keys.front().cloned()
        {
            let caller = caller.to_owned();
            changes.extend(self.forget(&Key { caller, key }));
        }
        while self.oldest.len() >= MOST
            && let Some((_, key)) = self.oldest.pop_first()
        {
            changes.extend(self.forget(&key));
        }
        changes
    }

    pub(super) fn forget(&mut self, key: &Key) -> Option<Change> {
        let answered = self.by_key.remove(key)?;
        self.oldest.remove(&answered.number);
        let bytes = answered.outcome.bytes();
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(of_caller) = self.of_caller.get_mut(&key.caller) {
            of_caller.bytes = of_caller.bytes.saturating_sub(bytes);
            of_caller.keys.retain(|other| *other != key.key);
            if of_caller.keys.is_empty() {
                self.of_caller.remove(&key.caller);
            }
        }
        Some(records::forget(key))
    }
}
