//! Taking hold of the file: nobody else has it, it can be written, and it is what it should be.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::failure::Failure;
use super::lock::{Lock, beside};
use super::reader::Reader;
use super::schema;
use super::writer::Writer;
use super::{SqliteStore, StoreError};

/// Another program, such as a backup, may hold SQLite's own lock for this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// A larger file's structure is checked row by row as it is read, not as a whole at the start.
const CHECKED_WHOLE: u64 = 1 << 30;

/// What the write-ahead log is cut to after it was longer, in bytes.
const LOG: i64 = 16 << 20;

/// What SQLite puts beside the file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

pub(super) fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    open_with(path, |_| Ok(()))
}

/// Opens a store that finds no more room than `pages`.
#[cfg(test)]
pub(super) fn open_small(path: &Path, pages: u32) -> Result<SqliteStore, StoreError> {
    open_with(path, |db| {
        db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    })
}

fn open_with(
    path: &Path,
    limit: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<SqliteStore, StoreError> {
    let path = resolve(path)?;
    let lock = Lock::take(&path)?;
    prepare_file(&path)?;
    let fail = |failure: Failure| failure.at(&path);
    let writing = writing_connection(&path).map_err(fail)?;
    limit(&writing).map_err(|error| fail(error.into()))?;
    let reading = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let reading = reading.map_err(|error| fail(error.into()))?;
    let path: Arc<Path> = path.into();
    let unstarted = |error: io::Error| unavailable(&path, &error);
    Ok(SqliteStore {
        writer: Writer::start(writing, &path).map_err(unstarted)?,
        reader: Reader::start(reading, &path).map_err(unstarted)?,
        path,
        _lock: lock,
    })
}

pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let path = resolve(path)?;
    let _lock = Lock::take(&path)?;
    // The file itself last: without it the others mean nothing, with it they would be taken as its own.
    let companions = COMPANIONS.iter().map(|ending| beside(&path, ending));
    for file in companions.chain([path.clone()]) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unavailable(&file, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The one path of the file, so that all who mean it meet at the same lock.
fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    if let Ok(there) = path.canonicalize() {
        return Ok(there);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unusable = |error: io::Error| unavailable(path, &error);
    let name = path.file_name();
    let name = name.ok_or_else(|| unusable(io::ErrorKind::IsADirectory.into()))?;
    if !directory.exists() {
        fs::create_dir(directory).map_err(|error| StoreError::Unavailable {
            path: path.to_owned(),
            detail: format!("its directory can't be made: {error}"),
        })?;
    }
    Ok(directory.canonicalize().map_err(unusable)?.join(name))
}

/// Makes the file where there is none, readable for its owner only; what SQLite puts beside it has the
/// same mode.
fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::metadata(path).map_err(|error| unavailable(path, &error))?;
            // A superuser could write it all the same; whoever took the bits away did not want that.
            if metadata.permissions().readonly() {
                let path = path.to_owned();
                return Err(StoreError::ReadOnly { path });
            }
            Ok(())
        }
        Err(error) => Err(unavailable(path, &error)),
    }
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // Each connection stays on one thread.
    let db = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(PATIENCE)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    // What a large batch is undone from goes into a file otherwise: there may be no directory for it, where all
    // but the state is read-only, and no descriptor.
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn writing_connection(path: &Path) -> Result<Connection, Failure> {
    let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, found) = (number("application_id")?, number("user_version")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != schema::APPLICATION && tables > 0 {
        return Err(Failure::Broken("it belongs to another program".to_owned()));
    }
    if tables == 0 {
        // Only an empty file takes it: so that it can be made shorter once much of it is free.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let known = schema::newest();
    if found > known {
        return Err(Failure::NewerSchema { found, known });
    }
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let detail = format!("its file system allows no write-ahead log, only `{mode}`");
        return Err(Failure::Unusable(detail));
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update_and_check(None, "journal_size_limit", LOG, |_| Ok(()))?;
    if fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_WHOLE) {
        let sound: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(Failure::Broken(sound));
        }
    }
    schema::migrate(&mut db, found)?;
    Ok(db)
}

fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable {
        path: path.to_owned(),
        detail: error.to_string(),
    }
}
