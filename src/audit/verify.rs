//! Walks the chain from end to end.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::chain::{Fault, Head, Link};
use super::segments;
use crate::base::Digest;

/// A log whose chain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many files it has.
    pub segments: u64,
    /// How many lines.
    pub records: u64,
    /// The hash of the last line: kept elsewhere, it shows when lines at the end are gone.
    pub head: Digest,
}

/// A log whose chain does not hold, or that can't be read.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The first bad line.
    #[error("the first bad line is `{segment}:{line}`")]
    Broken {
        /// The file.
        segment: String,
        /// The line, counted from one.
        line: u64,
        /// What is wrong with it.
        #[source]
        why: Fault,
    },
    /// No log at all.
    #[error("there is no audit log in `{0}`")]
    Empty(PathBuf),
    /// A file between others, or the first.
    #[error("`{segment}` is missing")]
    Missing {
        /// The file.
        segment: String,
    },
    /// Something can't be read.
    #[error("can't read `{path}`")]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Checks every line of the log in `directory`, which no gateway needs to run for.
///
/// # Errors
///
/// Names the first line that is not the one that was written, or the first file that is missing.
pub fn verify(directory: &Path) -> Result<Summary, VerifyError> {
    let numbers = list(directory)?;
    if numbers.is_empty() {
        return Err(VerifyError::Empty(directory.to_owned()));
    }
    let mut head = Head::NONE;
    for (due, number) in (1..).zip(&numbers) {
        if *number != due {
            return Err(missing(due));
        }
        let end = walk(directory, due, Some(head))?;
        if !end.tail.is_empty() {
            return Err(end.broken(due, Fault::Torn));
        }
        head = end.head.unwrap_or(head);
    }
    Ok(Summary {
        segments: numbers.len() as u64,
        records: head.seq,
        head: head.hash,
    })
}

/// Where a segment ends.
pub(super) struct End {
    /// After its last whole line; `None` where it has none and nothing was known before it.
    pub(super) head: Option<Head>,
    /// How many bytes its whole lines have.
    pub(super) length: u64,
    /// How many whole lines it has.
    pub(super) lines: u64,
    /// What stands after its last line break.
    pub(super) tail: Vec<u8>,
}

impl End {
    /// Names the line after the last whole one.
    pub(super) fn broken(&self, number: u64, why: Fault) -> VerifyError {
        VerifyError::Broken {
            segment: segments::name(number),
            line: self.lines.saturating_add(1),
            why,
        }
    }
}

/// Checks segment `number`, whose first line follows `head`; where that is not known, the first
/// line is believed about what was before it.
pub(super) fn walk(directory: &Path, number: u64, head: Option<Head>) -> Result<End, VerifyError> {
    let path = directory.join(segments::name(number));
    let unreadable = |source| VerifyError::Read {
        path: path.clone(),
        source,
    };
    let mut file = BufReader::with_capacity(1 << 18, File::open(&path).map_err(unreadable)?);
    let mut end = End {
        head,
        length: 0,
        lines: 0,
        tail: Vec::new(),
    };
    loop {
        end.tail.clear();
        let length = file.read_until(b'\n', &mut end.tail).map_err(unreadable)?;
        let Some(line) = end.tail.strip_suffix(b"\n") else {
            return Ok(end);
        };
        let before = match end.head {
            Some(head) => Ok(head),
            None => Link::read(line).map(|link| link.before()),
        };
        match before.and_then(|head| head.follow(line)) {
            Ok(head) => end.head = Some(head),
            Err(why) => return Err(end.broken(number, why)),
        }
        end.length = end.length.saturating_add(length as u64);
        end.lines = end.lines.saturating_add(1);
    }
}

pub(super) fn list(directory: &Path) -> Result<Vec<u64>, VerifyError> {
    segments::list(directory).map_err(|source| VerifyError::Read {
        path: directory.to_owned(),
        source,
    })
}

pub(super) fn missing(number: u64) -> VerifyError {
    VerifyError::Missing {
        segment: segments::name(number),
    }
}
