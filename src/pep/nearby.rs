//! Tokens near at hand: what one worker has looked up lately, in a table of its own.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::base::Secret;

/// How many sets a worker's table has.
const SETS: u64 = 8192;

/// How many tokens of one set are held.
const WAYS: usize = 4;

/// What one worker has looked up lately, so that what all workers share is asked for less. Bounded, and
/// whatever is found here is checked like what is found there: a revocation does not wait for it to go.
#[derive(Debug)]
pub struct Nearby<T> {
    /// Sets of [`WAYS`], by the hash of the token; empty until something is put here.
    entries: RefCell<Vec<Option<Near<T>>>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Near<T> {
    hash: u64,
    value: Arc<T>,
}

/// What is looked up by a token.
pub trait OfToken {
    /// The token.
    fn token(&self) -> &str;
}

impl<T: OfToken> Nearby<T> {
    /// Holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let hasher = RandomState::default();
        let entries = RefCell::default();
        Self { entries, hasher }
    }

    /// What is held of `token`. The token itself is compared in a time that tells nothing of where it differs.
    #[must_use]
    pub fn get(&self, token: &Secret<impl AsRef<[u8]>>) -> Option<Arc<T>> {
        let hash = self.hash(token.expose().as_ref());
        let entries = self.entries.borrow();
        let set = entries.get(set(hash))?;
        let mut held = set.iter().flatten();
        let found = held.find(|near| near.hash == hash && token.is(near.value.token()));
        found.map(|near| Arc::clone(&near.value))
    }

    /// Holds `value` instead of the oldest of its set.
    pub fn put(&self, value: Arc<T>) {
        let hash = self.hash(value.token().as_bytes());
        let mut entries = self.entries.borrow_mut();
        if entries.is_empty() {
            entries.resize_with(set(SETS - 1).end, || None);
        }
        let Some(set) = entries.get_mut(set(hash)) else {
            return;
        };
        set.rotate_right(1);
        if let Some(newest) = set.first_mut() {
            *newest = Some(Near { hash, value });
        }
    }

    fn hash(&self, token: &[u8]) -> u64 {
        self.hasher.hash_one(token)
    }
}

/// The places of a hash's set.
fn set(hash: u64) -> Range<usize> {
    let number = usize::from(u16::try_from(hash % SETS).unwrap_or(0));
    number * WAYS..(number + 1) * WAYS
}

impl<T: OfToken> Default for Nearby<T> {
    fn default() -> Self {
        Self::new()
    }
}
