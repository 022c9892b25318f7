//! The first operator's key, in a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::{Digest, Readers, random_id, write_whole};
use crate::model::{NameError, PersonId};
use crate::store::StoreError;

/// A key is never longer than this.
const LONGEST_KEY: u64 = 256;

/// Why people can't be told by their keys.
#[derive(Debug, Error)]
pub enum PeopleError {
    /// What the store keeps about a person can't be understood.
    #[error("the store's record `{0}` of a person can't be understood")]
    Broken(String, #[source] serde_json::Error),
    /// The file holds something else.
    #[error("`{0}` holds no access key (`pk_…`): remove it to get a new one")]
    Malformed(PathBuf),
    /// A built-in name is not a name.
    #[error("a built-in name is malformed")]
    Name(#[from] NameError),
    /// The file can't be read.
    #[error("can't read the operator's key `{0}`")]
    Read(PathBuf, #[source] io::Error),
    /// A reset in the store is of nothing that is known.
    #[error("the store's reset of `{0}` can't be understood")]
    Reset(String),
    /// A second factor in the store holds no secret.
    #[error("the store's second factor of `{0}` holds no secret")]
    Secret(PersonId),
    /// The store can't be read.
    #[error("can't read people's keys from the store")]
    Store(#[from] StoreError),
    /// The file can't be written.
    #[error("can't write the operator's key `{0}`")]
    Write(PathBuf, #[source] io::Error),
}

/// The digest of the key in `file`, which is made where there is none.
pub(super) fn open(file: &Path) -> Result<Digest, PeopleError> {
    let key = match read(file) {
        Ok(key) => key,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random_id("pk");
            let failed = |error| PeopleError::Write(file.to_owned(), error);
            if let Some(directory) = file.parent() {
                fs::create_dir_all(directory).map_err(failed)?;
            }
            let line = format!("{key}\n");
            write_whole(file, line.as_bytes(), Readers::OwnerOnly).map_err(failed)?;
            key
        }
        Err(error) => return Err(PeopleError::Read(file.to_owned(), error)),
    };
    if !key.starts_with("pk_") || key.len() < 20 {
        return Err(PeopleError::Malformed(file.to_owned()));
    }
    Ok(Digest::of(key.as_bytes()))
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = OpenOptions::new().read(true).open(file)?;
    file.take(LONGEST_KEY).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}
