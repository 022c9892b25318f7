//! One process at a time: a lock on a file beside the store, which says who holds it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// The longest text that a lock file is believed to hold.
const LONGEST: u64 = 32;

/// Held as long as the store is open. The system lets go of it however the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Takes the lock of the store at `path`.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let file = beside(path, ".lock");
        let unusable = |error: io::Error| StoreError::Unavailable {
            path: path.to_owned(),
            detail: format!("its lock file `{}`: {error}", file.display()),
        };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked {
                    path: path.to_owned(),
                    holder: holder(&lock),
                });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // The number helps people; the lock itself is the kernel's.
        let note = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        note(&mut lock).map_err(unusable)?;
        Ok(Self(lock))
    }
}

/// The file beside `path` whose name ends in `ending`, too.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn holder(mut lock: &File) -> String {
    let mut text = String::new();
    let read = lock.rewind().and_then(|()| {
        let mut start = lock.take(LONGEST);
        start.read_to_string(&mut text)
    });
    // Between taking the lock and writing the number, the file is empty.
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}
