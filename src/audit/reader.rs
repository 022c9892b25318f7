//! Reads the log line by line, also while it grows.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use super::{Record, RecordError, line, segments};

/// A log that can't be read.
#[derive(Debug, Error)]
#[error("can't read `{path}`")]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

impl ReadError {
    pub(super) const fn new(path: PathBuf, source: io::Error) -> Self {
        Self { path, source }
    }
}

/// One line, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of its segment.
    pub segment: u64,
    /// Its number there, counted from one.
    pub line: u64,
    /// Its bytes, without the line break.
    pub bytes: Vec<u8>,
}

impl Entry {
    /// The line as JSON, its chain members included.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn value(&self) -> Result<Value, RecordError> {
        serde_json::from_slice(&self.bytes).map_err(RecordError::Json)
    }

    /// The line as the record that was written.
    ///
    /// # Errors
    ///
    /// When no record of this version reads like this.
    pub fn record(&self) -> Result<Record, RecordError> {
        line::read(&self.bytes)
    }
}

/// Segment and line as people are told, such as `audit-00000001.jsonl:7`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", segments::name(self.segment), self.line)
    }
}

/// The lines of a log, in order. The chain is not checked here; `verify` does that.
///
/// After `None` it can be asked again, and then goes on with what was written since. A line that is
/// not whole yet is left for later.
#[derive(Debug)]
pub struct Lines {
    directory: PathBuf,
    segment: u64,
    line: u64,
    /// Where the next line starts.
    offset: u64,
    file: Option<BufReader<File>>,
}

impl Lines {
    /// All lines of the log in `directory`.
    ///
    /// # Errors
    ///
    /// When the directory can't be read.
    pub fn all(directory: &Path) -> Result<Self, ReadError> {
        let numbers = list(directory)?;
        Ok(Self::from(directory, numbers.first().copied().unwrap_or(1)))
    }

    /// The last `count` lines of the log in `directory`, and what is written after them.
    ///
    /// # Errors
    ///
    /// When the log can't be read.
    pub fn last(directory: &Path, count: usize) -> Result<Self, ReadError> {
        let mut kept = VecDeque::new();
        // Newest first, so that the older files of a long log are not touched.
        for segment in list(directory)?.into_iter().rev() {
            let lines = count_lines(directory, segment)?;
            kept.push_front((segment, lines));
            if kept.iter().map(|(_, lines)| lines).sum::<usize>() >= count {
                break;
            }
        }
        let total = kept.iter().map(|(_, lines)| lines).sum::<usize>();
        let mut lines = Self::from(directory, kept.front().map_or(1, |(segment, _)| *segment));
        for _ in count..total {
            lines.advance()?;
        }
        Ok(lines)
    }

    fn from(directory: &Path, segment: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            segment,
            line: 0,
            offset: 0,
            file: None,
        }
    }

    fn advance(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            if let Some(entry) = self.whole_line()? {
                return Ok(Some(entry));
            }
            let next = list(&self.directory)?
                .into_iter()
                .find(|number| *number > self.segment);
            let Some(next) = next else {
                return Ok(None);
            };
            // That there is a next one shows that this one is complete, but it may have grown
            // since it was looked at.
            if let Some(entry) = self.whole_line()? {
                return Ok(Some(entry));
            }
            *self = Self::from(&self.directory, next);
        }
    }

    fn whole_line(&mut self) -> Result<Option<Entry>, ReadError> {
        let read = self.read_line().map_err(|source| ReadError {
            path: self.directory.join(segments::name(self.segment)),
            source,
        })?;
        Ok(read.map(|bytes| {
            self.line = self.line.saturating_add(1);
            Entry {
                segment: self.segment,
                line: self.line,
                bytes,
            }
        }))
    }

    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let file = match &mut self.file {
            Some(file) => file,
            none => match File::open(self.directory.join(segments::name(self.segment))) {
                Ok(file) => none.insert(BufReader::with_capacity(1 << 18, file)),
                // Nothing is written yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let mut bytes = Vec::new();
        let read = file.read_until(b'\n', &mut bytes)? as u64;
        if bytes.pop_if(|last| *last == b'\n').is_some() {
            self.offset = self.offset.saturating_add(read);
            return Ok(Some(bytes));
        }
        // Read it anew next time: if its writer crashed, the next one puts another line here.
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(None)
    }
}

impl Iterator for Lines {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

fn list(directory: &Path) -> Result<Vec<u64>, ReadError> {
    segments::list(directory).map_err(|source| ReadError {
        path: directory.to_owned(),
        source,
    })
}

fn count_lines(directory: &Path, segment: u64) -> Result<usize, ReadError> {
    let path = directory.join(segments::name(segment));
    let count = |path: &Path| -> io::Result<usize> {
        let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
        let mut lines = 0;
        loop {
            let bytes = file.fill_buf()?;
            if bytes.is_empty() {
                return Ok(lines);
            }
            lines += memchr::memchr_iter(b'\n', bytes).count();
            let read = bytes.len();
            file.consume(read);
        }
    };
    count(&path).map_err(|source| ReadError { path, source })
}
