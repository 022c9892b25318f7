//! The authority's keys in time: the newest signs, older ones verify until their overlap is over.
//!
//! When a key was made stands in its file (`iat`); when it retires follows from the next newer key.
//! So what is true after a restart needs no second file that could disagree.

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::jws::encode;
use super::key_set::{MOST_KEYS, seconds};
use super::{Algorithm, AuthorityError, KeySet, SigningKey};

/// How long a key verifies after the next one has taken over: longer than any token that it signed,
/// and than others keep the published set.
pub const OVERLAP: Duration = Duration::from_mins(65);

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The name of the key that signs from now on.
    pub kid: String,
    /// The names of the keys that verify no longer.
    pub removed: Vec<String>,
}

/// The keys of one moment.
#[derive(Debug)]
pub(super) struct KeyRing {
    pub(super) signing: SigningKey,
    /// All that verify, the signing one included.
    pub(super) verifying: KeySet,
    /// Those that verify only, newest first.
    older: Vec<Retiring>,
    /// Counts the removals.
    pub(super) version: u64,
}

#[derive(Clone, Debug)]
struct Retiring {
    key: SigningKey,
    /// The second from which on it no longer verifies.
    at: i64,
}

impl KeyRing {
    /// Reads the keys of `directory`, which is made if it isn't there, and makes one if the newest of
    /// them does not sign with `algorithm`.
    pub(super) fn open(
        directory: &Path,
        algorithm: Algorithm,
        now: i64,
    ) -> Result<Self, AuthorityError> {
        make_directory(directory)?;
        let mut keys = keys_of(directory)?;
        keys.sort_by_key(made_at);
        let signing = match keys.pop() {
            Some(newest) if newest.verifying_key().algorithm() == algorithm => newest,
            other => {
                keys.extend(other);
                make_key(directory, algorithm, now, keys.last())?
            }
        };
        let mut ring = Self {
            verifying: verifying(&signing, &keys)?,
            older: retiring(&signing, keys),
            signing,
            version: 1,
        };
        ring.drop_retired(directory, now);
        Ok(ring)
    }

    /// This ring with a new key that signs, without what has retired.
    pub(super) fn rotate(
        &self,
        directory: &Path,
        algorithm: Algorithm,
        now: i64,
    ) -> Result<(Self, Rotation), AuthorityError> {
        let (mut ring, removed) = self.without_retired(directory, now);
        if ring.verifying.keys().len() >= MOST_KEYS {
            return Err(AuthorityError::TooManyKeys(directory.to_owned()));
        }
        let signing = make_key(directory, algorithm, now, Some(&self.signing))?;
        let mut keys: Vec<_> = ring
            .older
            .into_iter()
            .rev()
            .map(|older| older.key)
            .collect();
        keys.push(self.signing.clone());
        ring = Self {
            verifying: verifying(&signing, &keys)?,
            older: retiring(&signing, keys),
            signing,
            version: ring.version,
        };
        let kid = ring.signing.kid();
        Ok((ring, Rotation { kid, removed }))
    }

    /// Whether a key has retired since this ring was put together.
    pub(super) fn is_outdated(&self, now: i64) -> bool {
        self.older.iter().any(|older| older.at <= now)
    }

    /// This ring without the keys that have retired, and their names.
    pub(super) fn without_retired(&self, directory: &Path, now: i64) -> (Self, Vec<String>) {
        let mut ring = Self {
            signing: self.signing.clone(),
            verifying: self.verifying.clone(),
            older: self.older.clone(),
            version: self.version,
        };
        let removed = ring.drop_retired(directory, now);
        (ring, removed)
    }

    fn drop_retired(&mut self, directory: &Path, now: i64) -> Vec<String> {
        let gone: Vec<_> = self.older.extract_if(.., |older| older.at <= now).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        self.version += 1;
        let thumbprint = |key: &SigningKey| key.verifying_key().thumbprint();
        let is_gone = |one| gone.iter().any(|retired| thumbprint(&retired.key) == one);
        self.verifying = self.verifying.without(is_gone);
        for retired in &gone {
            delete(directory, &retired.key);
        }
        gone.iter().map(|retired| retired.key.kid()).collect()
    }
}

/// When a key was made; one that does not say so is older than all that do.
fn made_at(key: &SigningKey) -> i64 {
    key.made_at().unwrap_or(i64::MIN)
}

fn verifying(signing: &SigningKey, older: &[SigningKey]) -> Result<KeySet, AuthorityError> {
    let all = std::iter::once(signing).chain(older.iter().rev());
    let keys = all.map(|key| key.verifying_key().clone()).collect();
    KeySet::new(keys).map_err(AuthorityError::Keys)
}

/// When each of `older`, the oldest first, retires: an overlap after its successor was made, or never
/// where the successor does not say when that was.
fn retiring(signing: &SigningKey, older: Vec<SigningKey>) -> Vec<Retiring> {
    let mut successor = signing.made_at();
    let newest_first = older.into_iter().rev();
    newest_first
        .map(|key| {
            let at = successor.map_or(i64::MAX, |made| made.saturating_add(seconds(OVERLAP)));
            successor = key.made_at();
            Retiring { key, at }
        })
        .collect()
}

fn make_directory(directory: &Path) -> Result<(), AuthorityError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| AuthorityError::Directory {
            path: directory.to_owned(),
            source,
        })
}

/// Every key of `directory`.
pub(super) fn keys_of(directory: &Path) -> Result<Vec<SigningKey>, AuthorityError> {
    let mut keys = Vec::new();
    for path in key_files(directory)? {
        if keys.len() >= MOST_KEYS {
            return Err(AuthorityError::TooManyKeys(directory.to_owned()));
        }
        let key = SigningKey::read(&path);
        keys.push(key.map_err(|source| AuthorityError::Key { path, source })?);
    }
    Ok(keys)
}

fn key_files(directory: &Path) -> Result<Vec<PathBuf>, AuthorityError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jwk") {
                paths.push(path);
            }
        }
        // The order of a directory is nobody's choice; errors should not depend on it.
        paths.sort();
        Ok(paths)
    };
    read().map_err(|source| AuthorityError::Directory {
        path: directory.to_owned(),
        source,
    })
}

/// A new key in a file of its own, newer than `newest`.
fn make_key(
    directory: &Path,
    algorithm: Algorithm,
    now: i64,
    newest: Option<&SigningKey>,
) -> Result<SigningKey, AuthorityError> {
    let newest = newest.map_or(i64::MIN, made_at);
    let made_at = now.max(newest.saturating_add(1));
    let key = SigningKey::generate_at(algorithm, Some(made_at)).map_err(AuthorityError::Keys)?;
    let path = file_of(directory, &key);
    match key.write(&path) {
        Ok(()) => Ok(key),
        Err(source) => Err(AuthorityError::Key { path, source }),
    }
}

/// Deletes the file of a retired key, if we made it: a private key that nothing needs can only be
/// stolen. One that can't be deleted has retired all the same, and is tried again at the next start.
fn delete(directory: &Path, key: &SigningKey) {
    if key.made_at().is_some() {
        let _ = fs::remove_file(file_of(directory, key));
    }
}

fn file_of(directory: &Path, key: &SigningKey) -> PathBuf {
    // Not by `kid`, which another product may have chosen, with any characters in it.
    let thumbprint = encode(key.verifying_key().thumbprint().as_bytes());
    directory.join(format!("{thumbprint}.jwk"))
}
