//! A mark that grows, in the store and beside the audit log: an older copy of the store that is put back
//! has forgotten ends and revocations that were acknowledged, and is told by it.
//!
//! The store has each mark first, so that no crash makes it look older than it is. What a copy lacks of
//! the last [`EVERY`] before a crash is not noticed; after an orderly stop everything is.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::base::{Clock, ErrorChain, Readers, random_id, write_whole};
use crate::store::{Change, DocumentKind, GrantStore, StoreError};

/// What is added to the name of the audit log's directory: the file is beside it, not in it, where each
/// file is a part of the log.
const ENDING: &str = ".store-mark";

/// The document in the store.
const ID: &str = "mark";

/// How often the mark grows.
const EVERY: Duration = Duration::from_secs(5);

/// How a store is recognised, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    store: String,
    number: u64,
}

/// The mark of the store in use.
#[derive(Debug)]
pub(super) struct StoreMark {
    store: Arc<dyn GrantStore>,
    file: PathBuf,
    mark: tokio::sync::Mutex<Mark>,
}

/// Why a store is not used.
#[derive(Debug, Error)]
pub(super) enum MarkError {
    #[error("the mark `{0}` can't be read")]
    File(PathBuf, #[source] io::Error),
    #[error("the mark `{0}` can't be written")]
    Write(PathBuf, #[source] io::Error),
    #[error("the mark of the store in `{0}` can't be understood")]
    Malformed(String),
    #[error(
        "the store is older than the audit log: it has come to mark {found}, and `{file}` says {known}. \
         Grants and agents that were ended since would live again. Bring the newer store back; or, to go \
         on with this one, revoke what has to be and remove `{file}`"
    )]
    Older {
        file: PathBuf,
        found: u64,
        known: u64,
    },
    #[error(
        "the store is not the one that was used with this audit log, as `{0}` knows it. Bring that one \
         back; or, to go on with this one, remove `{0}`"
    )]
    Other(PathBuf),
    #[error("the mark of the store can't be read or written")]
    Store(#[from] StoreError),
}

impl StoreMark {
    /// Checks the store against the mark beside the directory of the audit log, if there is one.
    pub(super) async fn check(
        store: Arc<dyn GrantStore>,
        directory: &Path,
    ) -> Result<Self, MarkError> {
        let file = file_beside(directory);
        let known = match fs::read_to_string(&file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(MarkError::File(file, error)),
        };
        let known = known
            .map(|text| {
                Mark::read(text.trim())
                    .ok_or_else(|| MarkError::Malformed(file.display().to_string()))
            })
            .transpose()?;
        let documents = store.documents(DocumentKind::StoreMark).await?;
        let found = documents.into_iter().find(|(id, _)| id == ID);
        let found = found
            .map(|(id, text)| Mark::read(&text).ok_or(MarkError::Malformed(id)))
            .transpose()?;
        let mark = match (known, found) {
            (None, None) => Mark {
                store: random_id("st"),
                number: 0,
            },
            (None, Some(found)) => found,
            (Some(known), Some(found)) if known.store == found.store => {
                if found.number < known.number {
                    let (found, known) = (found.number, known.number);
                    return Err(MarkError::Older { file, found, known });
                }
                found
            }
            (Some(_), _) => return Err(MarkError::Other(file)),
        };
        Ok(Self {
            store,
            file,
            mark: tokio::sync::Mutex::new(mark),
        })
    }

    /// Lets the mark grow: first in the store, then beside the audit log.
    pub(super) async fn advance(&self) -> Result<(), MarkError> {
        let mut mark = self.mark.lock().await;
        mark.number += 1;
        let text = format!("{} {}", mark.store, mark.number);
        let change = Change::PutDocument {
            kind: DocumentKind::StoreMark,
            id: ID.to_owned(),
            text: Some(text.clone()),
        };
        self.store.commit(vec![change]).await?;
        let file = self.file.clone();
        let write = move || write_whole(&file, format!("{text}\n").as_bytes(), Readers::OwnerOnly);
        let written = spawn_blocking(write).await;
        let written = written.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        written.map_err(|error| MarkError::Write(self.file.clone(), error))
    }

    /// Lets it grow every few seconds, for as long as it is polled.
    pub(super) async fn keep(self: Arc<Self>, clock: Clock) {
        loop {
            clock.sleep_until(clock.now() + EVERY).await;
            if let Err(error) = self.advance().await {
                let error = ErrorChain(&error);
                warn!(%error, "an older copy of the store would not be told");
            }
        }
    }
}

impl Mark {
    fn read(text: &str) -> Option<Self> {
        let (store, number) = text.split_once(' ')?;
        Some(Self {
            store: store.to_owned(),
            number: number.parse().ok()?,
        })
    }
}

fn file_beside(audit: &Path) -> PathBuf {
    // Without a slash at the end.
    let mut name = audit.components().as_path().as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// Forgets the mark beside the audit log: whatever store comes next is the store.
///
/// # Errors
///
/// When the file is there and can't be removed.
pub fn forget_mark(audit: &Path) -> io::Result<()> {
    match fs::remove_file(file_beside(audit)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
