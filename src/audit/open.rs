//! Takes hold of a directory and goes on where the last run ended.

#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::chain::{Fault, Head, is_torn};
use super::queue::queue;
use super::segments::{self, Disk, Files};
use super::verify::{End, list, missing, walk};
use super::writer::{Pending, RETRY, Writer};
use super::{Audit, Record, RecordKind, VerifyError};
use crate::base::{Clock, Digest};

/// Where and how the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where its files are. Made when it is not there.
    pub directory: PathBuf,
    /// How many records may be decided and not yet durable. An exchange takes its place before it
    /// starts, so this also bounds how many can run.
    pub queue: usize,
    /// When to go on in a new file.
    pub segment_bytes: u64,
    /// How long a record may wait for others to be synced with it.
    pub sync_within: Duration,
}

impl Options {
    /// The usual sizes, in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            queue: 8192,
            segment_bytes: 64 << 20,
            sync_within: Duration::from_millis(50),
        }
    }
}

/// A log that can't be opened or ended in order.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The lines that are there are not the ones that were written.
    #[error("the audit log in `{directory}` can't be continued")]
    Chain {
        /// Where.
        directory: PathBuf,
        /// The first bad line.
        source: VerifyError,
    },
    /// The directory can't be made.
    #[error("can't make the audit directory `{path}`")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock file can't be used.
    #[error("can't lock `{path}`")]
    Lock {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Two writers would fork the chain.
    #[error("another process writes this audit log: it holds `{path}`")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Records at the end of a run that are lost.
    #[error("{records} records could not be written before the end")]
    Unwritten {
        /// How many.
        records: u64,
        /// Why.
        source: io::Error,
    },
    /// The first record of a run can't be written.
    #[error("can't write the audit log in `{directory}`")]
    Write {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Opens the log, checks its last files, and writes a `start` record.
///
/// # Errors
///
/// When another process has it, when a line is not as it was written, and when nothing can be
/// written. A last line that a crash cut short is none of these: it is removed, and the `start`
/// record says so.
pub fn open(options: &Options, clock: Clock) -> Result<(Audit, Writer), AuditError> {
    let directory = &options.directory;
    segments::make_directory(directory).map_err(|source| AuditError::Directory {
        path: directory.clone(),
        source,
    })?;
    let lock = lock(directory.join("lock"))?;
    let last = last(directory).map_err(|source| AuditError::Chain {
        directory: directory.clone(),
        source,
    })?;
    let unwritable = |source| AuditError::Write {
        directory: directory.clone(),
        source,
    };
    let (disk, length) = mend(directory, &last).map_err(unwritable)?;
    let mut start = Record::new(RecordKind::Start, clock.wall());
    start.detail = Some(detail(&last));
    let (audit, shared) = queue(options.queue);
    let mut writer = Writer {
        shared,
        clock,
        disk: Box::new(disk),
        head: last.head,
        pending: Pending::default(),
        length,
        segment_bytes: options.segment_bytes,
        sync_within: options.sync_within,
        retry: RETRY,
        _lock: Some(lock),
    };
    writer.start(&start).map_err(unwritable)?;
    Ok((audit, writer))
}

fn lock(path: PathBuf) -> Result<File, AuditError> {
    let file = match segments::private().open(&path) {
        Ok(file) => file,
        Err(source) => return Err(AuditError::Lock { path, source }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AuditError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(AuditError::Lock { path, source }),
    }
}

/// The segment to go on in.
struct Last {
    number: u64,
    head: Head,
    /// Its whole lines, in bytes.
    length: u64,
    tail: Tail,
}

/// What stands after the last line break.
enum Tail {
    /// Nothing.
    None,
    /// A part of a line.
    Torn(Vec<u8>),
    /// A line that lacks nothing but its line break.
    Whole(usize),
}

/// Finds the end of the chain. The two last segments are checked: the older one tells what the
/// first line of the newer one has to follow.
fn last(directory: &Path) -> Result<Last, VerifyError> {
    let numbers = list(directory)?;
    let Some((&number, older)) = numbers.split_last() else {
        return Ok(Last {
            number: 1,
            head: Head::NONE,
            length: 0,
            tail: Tail::None,
        });
    };
    let mut head = (number == 1).then_some(Head::NONE);
    if let Some(&before) = older.last() {
        if before + 1 != number {
            return Err(missing(before + 1));
        }
        let end = walk(directory, before, (before == 1).then_some(Head::NONE))?;
        if !end.tail.is_empty() {
            return Err(end.broken(before, Fault::Torn));
        }
        head = end.head;
    }
    let end = walk(directory, number, head)?;
    // An empty segment whose predecessor is gone: where the chain stood can't be known.
    let head = end.head.ok_or_else(|| missing(number.saturating_sub(1)))?;
    let (head, tail) = judge_tail(&end, number, head)?;
    Ok(Last {
        number,
        head,
        length: end.length,
        tail,
    })
}

fn judge_tail(end: &End, number: u64, head: Head) -> Result<(Head, Tail), VerifyError> {
    if end.tail.is_empty() {
        return Ok((head, Tail::None));
    }
    if is_torn(&end.tail) {
        return Ok((head, Tail::Torn(end.tail.clone())));
    }
    match head.follow(&end.tail) {
        Ok(head) => Ok((head, Tail::Whole(end.tail.len()))),
        Err(why) => Err(end.broken(number, why)),
    }
}

/// Opens the last segment and brings its end in order; says how long it then is.
fn mend(directory: &Path, last: &Last) -> io::Result<(Files, u64)> {
    let mut disk = Files::open(directory, last.number)?;
    match last.tail {
        Tail::None => Ok((disk, last.length)),
        Tail::Torn(_) => {
            disk.truncate(last.length)?;
            Ok((disk, last.length))
        }
        Tail::Whole(length) => {
            disk.append(b"\n")?;
            Ok((disk, last.length.saturating_add(length as u64 + 1)))
        }
    }
}

fn detail(last: &Last) -> String {
    let product = concat!("portcullis ", env!("CARGO_PKG_VERSION"));
    match &last.tail {
        Tail::None | Tail::Whole(_) => product.to_owned(),
        Tail::Torn(tail) => {
            let (bytes, digest) = (tail.len(), Digest::of(tail));
            tracing::warn!(
                bytes,
                "the last line of the audit log was cut short by a crash"
            );
            format!("{product}; removed {bytes} bytes of a line cut short, sha-256 {digest}")
        }
    }
}
