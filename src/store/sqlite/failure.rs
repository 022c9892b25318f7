//! What SQLite and rows report, as the errors that the store has.

use std::path::Path;

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::model::TaskId;
use crate::store::StoreError;

/// What went wrong, before it is known in which file.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// A row is not as it was written, or not of this version.
    #[error("{0}")]
    Broken(String),
    /// The schema is of a later version.
    #[error("schema {found}, where {known} is the highest known")]
    NewerSchema {
        /// The schema of the file.
        found: i64,
        /// The highest known here.
        known: i64,
    },
    /// SQLite's own.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The batch opens a task under a used id.
    #[error("the task id `{0}` was used before")]
    TaskIdUsed(TaskId),
    /// The place of the file is not fit for a store.
    #[error("{0}")]
    Unusable(String),
}

impl Failure {
    /// The error of the store at `path`.
    pub(super) fn at(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        let error = match self {
            Self::Broken(detail) => return StoreError::Corrupt { path, detail },
            Self::NewerSchema { found, known } => {
                return StoreError::NewerSchema { path, found, known };
            }
            Self::Unusable(detail) => return StoreError::Unavailable { path, detail },
            Self::TaskIdUsed(id) => return StoreError::TaskIdUsed(id),
            Self::Sqlite(error) => error,
        };
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt { path, detail }
            }
            Some(ErrorCode::DiskFull) => StoreError::Full("its disk has no space left"),
            Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked {
                path,
                holder: "another program".to_owned(),
            },
            _ => StoreError::Unavailable { path, detail },
        }
    }
}
