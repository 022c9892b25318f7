//! People's access keys: who a `pk_…` key belongs to.

#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::{Digest, Readers, random_id, write_whole};
use crate::model::{GroupName, NameError, Person, PersonId};

/// The built-in person that the first key belongs to.
const OPERATOR: &str = "operator";

/// The group that manages the gateway.
const OPERATORS: &str = "operators";

/// A key is never longer than this.
const LONGEST_KEY: u64 = 256;

/// The people who can be told by a key. Keys are kept as digests.
#[derive(Debug)]
pub struct People {
    operator: Person,
    key: Digest,
}

/// Why the operator's key can't be used.
#[derive(Debug, Error)]
pub enum PeopleError {
    /// The file holds something else.
    #[error("`{0}` holds no access key (`pk_…`): remove it to get a new one")]
    Malformed(PathBuf),
    /// A built-in name is not a name.
    #[error("a built-in name is malformed")]
    Name(#[from] NameError),
    /// The file can't be read.
    #[error("can't read the operator's key `{0}`")]
    Read(PathBuf, #[source] io::Error),
    /// The file can't be written.
    #[error("can't write the operator's key `{0}`")]
    Write(PathBuf, #[source] io::Error),
}

impl People {
    /// The people of a gateway whose first operator's key lies in `file`. It is made and written, for
    /// its owner alone to read, where there is none.
    ///
    /// # Errors
    ///
    /// When the file can't be read or written, or holds something else.
    pub fn open(file: &Path) -> Result<Self, PeopleError> {
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
        Ok(Self {
            operator: Person {
                id: OPERATOR.parse()?,
                groups: [OPERATORS.parse::<GroupName>()?].into(),
            },
            key: Digest::of(key.as_bytes()),
        })
    }

    /// Whose key this is. Digests are compared, so that time tells nothing about the key.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&Person> {
        (Digest::of(key.as_bytes()) == self.key).then_some(&self.operator)
    }

    /// Whether a person manages the gateway.
    #[must_use]
    pub fn is_operator(person: &Person) -> bool {
        person
            .groups
            .iter()
            .any(|group| group.as_str() == OPERATORS)
    }

    /// The built-in operator.
    #[must_use]
    pub const fn operator(&self) -> &PersonId {
        &self.operator.id
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = OpenOptions::new().read(true).open(file)?;
    file.take(LONGEST_KEY).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}
