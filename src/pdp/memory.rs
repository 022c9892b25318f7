//! What strict validation found in a statement, remembered from one compilation to the next.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::base::Digest;
use crate::telemetry::Counter;

use super::check::Checked;

/// How many statements are remembered that the last compilation did not contain.
const SPARE: usize = 20_000;

/// For how many compilations a statement is remembered that none of them contained: a file that is written
/// anew each second does not fill the memory with what it once said.
const ROUNDS: u64 = 64;

/// Remembers what strict validation found, by the digests of statement and schema, so that a reload
/// pays for what changed. Bounded, and safe to lose.
#[derive(Default)]
pub struct Memory {
    checked: HashMap<Digest, Remembered>,
    round: u64,
    schema: Option<Digest>,
    put_to_cedar: Counter,
}

struct Remembered {
    checked: Arc<Checked>,
    round: u64,
}

impl Memory {
    /// Nothing is remembered yet. `put_to_cedar` counts the questions that all policies compiled with it leave
    /// to Cedar's own authorizer, for what is not compiled.
    #[must_use]
    pub fn counting(put_to_cedar: Counter) -> Self {
        Self {
            put_to_cedar,
            ..Self::default()
        }
    }

    /// Forgets what was found, and counts on.
    pub fn forget(&mut self) {
        *self = Self::counting(self.put_to_cedar());
    }

    pub(super) fn put_to_cedar(&self) -> Counter {
        self.put_to_cedar.clone()
    }

    /// Starts a compilation.
    pub(super) const fn begin(&mut self) {
        self.round += 1;
    }

    /// Whether this is the schema that was last found to be one.
    pub(super) fn knows_schema(&self, schema: Digest) -> bool {
        self.schema == Some(schema)
    }

    pub(super) const fn keep_schema(&mut self, schema: Digest) {
        self.schema = Some(schema);
    }

    pub(super) fn recall(&mut self, key: &Digest) -> Option<Arc<Checked>> {
        let remembered = self.checked.get_mut(key)?;
        remembered.round = self.round;
        Some(Arc::clone(&remembered.checked))
    }

    pub(super) fn keep(&mut self, key: Digest, checked: Arc<Checked>) {
        let round = self.round;
        self.checked.insert(key, Remembered { checked, round });
    }

    /// Ends a compilation: forgets the oldest of what it did not contain, beyond [`SPARE`] and [`ROUNDS`].
    pub(super) fn end(&mut self) {
        let now = self.round;
        self.checked.retain(|_, one| now - one.round < ROUNDS);
        let mut spare: Vec<u64> = self.checked.values().map(|one| one.round).collect();
        spare.retain(|round| *round != self.round);
        if spare.len() > SPARE {
            spare.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = spare.get(SPARE).copied().unwrap_or(0);
            self.checked.retain(|_, one| one.round > oldest);
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory of {} statements", self.checked.len())
    }
}
