//! What strict validation found in a statement, remembered from one compilation to the next.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cedar_policy::Validator;

use crate::base::Digest;
use crate::telemetry::Counter;

use super::check::Checked;

/// How many statements are remembered that the last compilation did not contain.
const SPARE: usize = 20_000;

/// For how many compilations a statement is remembered that none of them contained: a file that is written
/// anew each second does not fill the memory with what it once said.
const ROUNDS: u64 = 64;

/// What the validators that are remembered may weigh together, in actions times operations: a few megabytes.
const VALIDATORS: usize = 5_000;

/// Remembers what strict validation found, by the digests of statement and schema, so that a reload
/// pays for what changed. Bounded, and safe to lose.
#[derive(Default)]
pub struct Memory {
    checked: HashMap<Digest, Remembered>,
    /// The files of the last compilation, by their names.
    files: HashMap<Arc<str>, KnownFile>,
    validators: Validators,
    round: u64,
    schema: Option<Digest>,
    put_to_cedar: Counter,
}

struct Remembered {
    checked: Arc<Checked>,
    round: u64,
}

/// Where statements stand in a file, and the keys that they are remembered by.
pub(super) type Statements = Arc<[(Range<usize>, Digest)]>;

/// A file as it was last cut into statements.
struct KnownFile {
    /// Of the schema and the text.
    digest: Digest,
    statements: Statements,
    round: u64,
}

/// The validators that statements were last checked by, so that a change of a few needs none built: of the last
/// catalogues, the last that were used first, as many as weigh little.
#[derive(Clone, Debug, Default)]
pub(super) struct Validators(Arc<Mutex<Vec<Built>>>);

#[derive(Debug)]
struct Built {
    schema: Digest,
    weight: usize,
    validator: Arc<Validator>,
}

impl Validators {
    /// The validator of this schema, built by `build` where it is not there.
    pub(super) fn get(
        &self,
        schema: &str,
        weight: usize,
        build: impl FnOnce() -> Result<Validator, String>,
    ) -> Result<Arc<Validator>, String> {
        let schema = Digest::of(schema.as_bytes());
        let mut kept = self.kept();
        if let Some(place) = kept.iter().position(|one| one.schema == schema) {
            let used = kept.remove(place);
            let validator = Arc::clone(&used.validator);
            kept.insert(0, used);
            return Ok(validator);
        }
        drop(kept);
        let validator = Arc::new(build()?);
        if weight <= VALIDATORS {
            let built = Built {
                schema,
                weight,
                validator: Arc::clone(&validator),
            };
            let mut kept = self.kept();
            kept.insert(0, built);
            let mut left = VALIDATORS;
            kept.retain(|one| {
                let fits = left.checked_sub(one.weight);
                left = fits.unwrap_or(0);
                fits.is_some()
            });
        }
        Ok(validator)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Built>> {
        // Whatever is in the list is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    pub(super) fn validators(&self) -> Validators {
        self.validators.clone()
    }

    /// The statements of a file that had this text and this schema the last time, too.
    pub(super) fn recall_file(&mut self, name: &str, digest: &Digest) -> Option<Statements> {
        let known = self.files.get_mut(name)?;
        if known.digest != *digest {
            return None;
        }
        known.round = self.round;
        Some(Arc::clone(&known.statements))
    }

    pub(super) fn keep_file(&mut self, name: &Arc<str>, digest: Digest, statements: Statements) {
        let known = KnownFile {
            digest,
            statements,
            round: self.round,
        };
        self.files.insert(Arc::clone(name), known);
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
        self.files.retain(|_, one| one.round == now);
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
