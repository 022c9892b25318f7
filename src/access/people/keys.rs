//! Personal access keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::records::{drop_key, put_key};
use super::{Known, People, PersonalError};
use crate::base::{Digest, Secret, random_id};
use crate::config::Snapshot;
use crate::model::PersonId;
use crate::store::Change;

/// How many keys one person may have.
const MOST_KEYS: usize = 16;

/// A key, without the key itself.
#[derive(Clone, Debug)]
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) person: PersonId,
    /// None where it is gone, and only says that there was one.
    pub(super) digest: Option<Digest>,
    pub(super) made_at: Timestamp,
    pub(super) made_by: PersonId,
    pub(super) hands: BTreeSet<PersonId>,
}

/// All keys, and the traces of those that are gone.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_digest: HashMap<Digest, Arc<AccessKey>>,
    of_person: HashMap<PersonId, Vec<Arc<AccessKey>>>,
    /// What the store is to be told of keys that are good for nothing any more, by their ids: kept until it
    /// knows, so that a step that it could not take can be asked for again.
    unkept: BTreeMap<String, (PersonId, Change)>,
}

/// A key that was just made. It is shown once.
#[derive(Debug)]
pub struct KeyMade {
    /// Its id.
    pub id: String,
    /// The key.
    pub key: Secret<String>,
}

/// What is shown of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Who made it.
    pub made_by: PersonId,
}

impl Keys {
    pub(super) fn by_digest(&self, digest: &Digest) -> Option<Arc<AccessKey>> {
        self.by_digest.get(digest).map(Arc::clone)
    }

    pub(super) fn insert(&mut self, key: AccessKey) {
        let key = Arc::new(key);
        if let Some(digest) = key.digest {
            self.by_digest.insert(digest, Arc::clone(&key));
        }
        self.of_person
            .entry(key.person.clone())
            .or_default()
            .push(key);
    }

    /// The keys of a person and the traces of those that are gone.
    pub(super) fn of(&self, person: &PersonId) -> Vec<Arc<AccessKey>> {
        self.of_person.get(person).cloned().unwrap_or_default()
    }

    /// Makes a key good for nothing. Says whether there is anything to tell the store: also where that was
    /// done before, and the store could not keep it.
    fn remove(&mut self, person: &PersonId, id: &str) -> bool {
        let of_person = self.of_person.entry(person.clone()).or_default();
        let had = of_person.len();
        let live = |key: &mut Arc<AccessKey>| key.id == id && key.digest.is_some();
        let removed: Vec<_> = of_person.extract_if(.., live).collect();
        for key in removed {
            if let Some(digest) = &key.digest {
                self.by_digest.remove(digest);
            }
            let change = self.trace(&key, had);
            let change = (person.clone(), change);
            self.unkept.insert(key.id.clone(), change);
        }
        self.unkept.get(id).is_some_and(|(of, _)| of == person)
    }

    /// What is left of a removed key: nothing where the person has others, else that there was one.
    fn trace(&mut self, key: &AccessKey, had: usize) -> Change {
        if had > 1 {
            return drop_key(&key.id);
        }
        let trace = AccessKey {
            digest: None,
            ..key.clone()
        };
        let change = put_key(&trace);
        self.insert(trace);
        change
    }

    /// Removes all keys of a person, and what says that there were any.
    pub(super) fn forget(&mut self, person: &PersonId) {
        for gone in self.of_person.remove(person).unwrap_or_default() {
            if let Some(digest) = &gone.digest {
                self.by_digest.remove(digest);
            }
            let change = (person.clone(), drop_key(&gone.id));
            self.unkept.insert(gone.id.clone(), change);
        }
        // Of those that were removed before, no trace is left either.
        for (id, (of, change)) in &mut self.unkept {
            if of == person {
                *change = drop_key(id);
            }
        }
    }

    /// What the store is to be told of a person's keys that are good for nothing.
    pub(super) fn unkept(&self, person: &PersonId) -> Vec<Change> {
        let own = self.unkept.values().filter(|(of, _)| of == person);
        own.map(|(_, change)| change.clone()).collect()
    }

    /// The store was told.
    pub(super) fn kept(&mut self, person: &PersonId) {
        self.unkept.retain(|_, (of, _)| of != person);
    }
}

impl People {
    /// The keys of a person.
    #[must_use]
    pub fn keys_of(&self, person: &PersonId) -> Vec<KeyView> {
        let keys = self.state().keys.of(person);
        let live = keys.iter().filter(|key| key.digest.is_some());
        live.map(|key| KeyView {
            id: key.id.clone(),
            made_at: key.made_at,
            made_by: key.made_by.clone(),
        })
        .collect()
    }

    /// Makes a key for a person: for oneself, or as an operator for a person who has had none.
    ///
    /// # Errors
    ///
    /// See [`PersonalError`]; there is no new key then.
    pub async fn make_key(
        &self,
        by: &Known,
        person: &str,
        snapshot: &Snapshot,
    ) -> Result<KeyMade, PersonalError> {
        let unknown = || PersonalError::Unknown(person.to_owned());
        let oneself = by.id().as_str() == person;
        if !oneself && !by.is_operator() {
            let person = person.parse().map_err(|_| unknown())?;
            return Err(PersonalError::NotYours(person));
        }
        let person = &snapshot.person(person).ok_or_else(unknown)?.id;
        let _turn = self.turn.lock().await;
        let earlier = self.state().keys.of(person);
        if !oneself && (!earlier.is_empty() || *person == self.operator) {
            return Err(PersonalError::HasKey(person.clone()));
        }
        let live = earlier.iter().filter(|key| key.digest.is_some()).count();
        if live >= MOST_KEYS {
            return Err(PersonalError::TooManyKeys(MOST_KEYS));
        }
        let text = random_id("pk");
        let mut hands: BTreeSet<PersonId> = by.behind().cloned().collect();
        hands.remove(person);
        let key = AccessKey {
            id: random_id("key"),
            person: person.clone(),
            digest: Some(Digest::of(text.as_bytes())),
            made_at: self.clock.wall(),
            made_by: by.id().clone(),
            hands,
        };
        let mut changes = self.state().keys.unkept(person);
        changes.push(put_key(&key));
        self.store.commit(changes).await?;
        let id = key.id.clone();
        let mut state = self.state();
        state.keys.kept(person);
        state.keys.insert(key);
        Ok(KeyMade {
            id,
            key: Secret::new(text),
        })
    }

    /// Removes a key: one's own, or as an operator anybody's. It is good for nothing from this moment
    /// on. That the person has had one stays known, so that no operator can put another in its place.
    ///
    /// # Errors
    ///
    /// See [`PersonalError`]. Where the store can't keep it, it stands in memory, and can be asked for again.
    pub async fn remove_key(
        &self,
        by: &Known,
        person: &str,
        id: &str,
    ) -> Result<(), PersonalError> {
        let unknown = |_| PersonalError::Unknown(person.to_owned());
        let person: PersonId = person.parse().map_err(unknown)?;
        if *by.id() != person && !by.is_operator() {
            return Err(PersonalError::NotYours(person));
        }
        let _turn = self.turn.lock().await;
        let changes = {
            let mut state = self.state();
            if !state.keys.remove(&person, id) {
                return Err(PersonalError::KeyUnknown(person, id.to_owned()));
            }
            state.keys.unkept(&person)
        };
        self.store.commit(changes).await?;
        self.state().keys.kept(&person);
        Ok(())
    }
}
