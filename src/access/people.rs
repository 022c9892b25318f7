//! The people behind the gateway: whose key a `pk_…` is, and the second factor of each.
//!
//! A key is made by the person it is for; an operator makes one only for a person who has had none.
//! Keys are kept as digests, and with each the names of those who have had it, or a key that it was
//! made with, in hand: what one of them asked for, nobody approves with that key.

mod factors;
mod file;
mod keys;
mod records;
mod resets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use self::factors::{Attempts, Factor};
use self::keys::Keys;
use self::resets::Reset;
use crate::base::{BootInstant, Clock, Digest};
use crate::config::Snapshot;
use crate::model::{GroupName, Person, PersonId};
use crate::store::{Change, GrantStore, StoreError};

pub use file::PeopleError;
pub use keys::{KeyMade, KeyView};
pub use resets::{ResetAsked, ResetOf};

/// The built-in person that the first key belongs to.
const OPERATOR: &str = "operator";

/// What records call the first key.
const FIRST_KEY: &str = "operator.key";

/// The group that manages the gateway.
const OPERATORS: &str = "operators";

/// The people who can be told by a key.
pub struct People {
    clock: Clock,
    store: Arc<dyn GrantStore>,
    operator: PersonId,
    /// The digest of the key that was written at the first start.
    first_key: Digest,
    /// One change at a time is stored.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What is known of people besides what the policies say.
#[derive(Debug, Default)]
struct State {
    keys: Keys,
    factors: HashMap<PersonId, Factor>,
    attempts: HashMap<PersonId, Attempts>,
    resets: HashMap<PersonId, Reset>,
}

/// A person, told by a key.
#[derive(Clone, Debug)]
pub struct Known {
    /// The person, as the live policies have it.
    pub person: Arc<Person>,
    /// The key's id.
    pub key: Arc<str>,
    /// Who else has had the key in hand, or one that it was made with.
    pub hands: BTreeSet<PersonId>,
}

/// Why something about a person's keys or second factor was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PersonalError {
    /// The code is not that of this moment.
    #[error("the one-time code is wrong")]
    CodeWrong,
    /// The code was used before.
    #[error("the one-time code was used before: wait for the next")]
    CodeUsed,
    /// There is one already.
    #[error("there is a second factor already: a reset needs two operators")]
    FactorExists,
    /// There is none.
    #[error("there is no second factor yet: enrol one (`portcullis people totp`)")]
    FactorMissing,
    /// The person has, or has had, a key.
    #[error("`{0}` has had a key, and makes others alone; a reset needs two operators")]
    HasKey(PersonId),
    /// There is no such key.
    #[error("`{0}` has no key `{1}`")]
    KeyUnknown(PersonId, String),
    /// Too many wrong codes.
    #[error("too many wrong one-time codes: come again in {0} seconds")]
    Locked(u64),
    /// It is the person's own affair.
    #[error("this is for `{0}` alone to do")]
    NotYours(PersonId),
    /// An operator alone is not enough.
    #[error("a reset is confirmed by another operator than the one who asked for it")]
    SameOperator,
    /// Nobody has asked for one, or the time is over.
    #[error("no reset of `{0}` waits: an operator asks for it first")]
    ResetUnknown(PersonId),
    /// The store can't keep it.
    #[error("the store could not keep the change")]
    Store(#[from] StoreError),
    /// The person has as many keys as a person may have.
    #[error("a person has at most {0} keys: remove one first")]
    TooManyKeys(usize),
    /// The policies know no such person.
    #[error("there is no person `{0}`")]
    Unknown(String),
}

impl People {
    /// The people of a gateway whose first operator's key lies in `file`. It is made and written, for
    /// its owner alone to read, where there is none. Everything else is in `store`.
    ///
    /// # Errors
    ///
    /// When the file can't be read or written, or holds something else, or the store can't be read.
    pub async fn open(
        file: &Path,
        store: Arc<dyn GrantStore>,
        clock: Clock,
    ) -> Result<Self, PeopleError> {
        let first_key = file::open(file)?;
        let state = records::load(&*store, &clock).await?;
        Ok(Self {
            clock,
            store,
            operator: OPERATOR.parse()?,
            first_key,
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// Whose key this is. Digests are compared, so that time tells nothing about the key.
    #[must_use]
    pub fn by_key(&self, key: &str, snapshot: &Snapshot) -> Option<Known> {
        let digest = Digest::of(key.as_bytes());
        if digest == self.first_key {
            let person = snapshot.person(self.operator.as_str()).map(Arc::clone);
            let built_in = || Self::built_in(&self.operator).map(Arc::new);
            return Some(Known {
                person: person.or_else(built_in)?,
                key: FIRST_KEY.into(),
                hands: BTreeSet::new(),
            });
        }
        let key = self.state().keys.by_digest(&digest)?;
        Some(Known {
            person: Arc::clone(snapshot.person(key.person.as_str())?),
            key: key.id.as_str().into(),
            hands: key.hands.clone(),
        })
    }

    /// Whether the key that a person was told by is still good, and the person still what it was.
    #[must_use]
    pub fn still_stands(&self, known: &Known, snapshot: &Snapshot) -> bool {
        let first = *known.id() == self.operator && &*known.key == FIRST_KEY;
        let has_key = first
            || self
                .keys_of(known.id())
                .iter()
                .any(|key| *key.id == *known.key);
        let person = snapshot.person(known.id().as_str());
        has_key && person.is_some_and(|person| *person == known.person)
    }

    /// Whether a person manages the gateway.
    #[must_use]
    pub fn is_operator(person: &Person) -> bool {
        person
            .groups
            .iter()
            .any(|group| group.as_str() == OPERATORS)
    }

    /// The built-in person, where this is its name.
    pub(super) fn built_in(id: &PersonId) -> Option<Person> {
        let groups = OPERATORS.parse::<GroupName>().into_iter().collect();
        let id = id.clone();
        (id.as_str() == OPERATOR).then_some(Person { id, groups })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one map operation, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The person's name.
    #[must_use]
    pub fn id(&self) -> &PersonId {
        &self.person.id
    }

    /// Whether the person manages the gateway.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        People::is_operator(&self.person)
    }

    /// The person, and all who have had the key in hand.
    pub fn behind(&self) -> impl Iterator<Item = &PersonId> {
        std::iter::once(&self.person.id).chain(&self.hands)
    }

    /// Whether nobody stands behind both keys.
    #[must_use]
    pub fn is_apart_from(&self, others: &BTreeSet<PersonId>) -> bool {
        self.behind().all(|one| !others.contains(one))
    }
}

impl State {
    /// Forgets resets whose time is over; the changes forget them in the store.
    fn forget_resets(&mut self, now: BootInstant) -> Vec<Change> {
        let over = self.resets.extract_if(|_, reset| reset.until <= now);
        over.map(|(person, _)| records::drop_reset(&person))
            .collect()
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("People").finish_non_exhaustive()
    }
}
