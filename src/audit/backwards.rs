//! Reads the log from its end, so that a look at what happened last costs the same in a log of any
//! length.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::reader::ReadError;
use super::{Record, RecordError, line, segments};

/// How much is read at once.
const CHUNK: u64 = 64 * 1024;

/// Where a line starts: what lies before it is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of the segment.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
}

/// One line, and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Older {
    /// Its bytes, without the line break.
    pub bytes: Vec<u8>,
    /// Where it starts.
    pub mark: Mark,
}

impl Older {
    /// The line as the record that was written.
    ///
    /// # Errors
    ///
    /// When no record of this version reads like this.
    pub fn record(&self) -> Result<Record, RecordError> {
        line::read(&self.bytes)
    }
}

/// The lines of a log, the newest first. The chain is not checked here; `verify` does that.
#[derive(Debug)]
pub struct Backwards {
    directory: PathBuf,
    /// The segments that are left, this one last.
    left: Vec<u64>,
    current: Option<Segment>,
}

/// A segment that is being read: what lies before `start` is not in memory yet.
#[derive(Debug)]
struct Segment {
    number: u64,
    file: File,
    start: u64,
    /// From `start` to the end of the last line that was not handed out.
    bytes: Vec<u8>,
}

impl Backwards {
    /// All lines of the log in `directory` that lie before `mark`; all there are where it is none.
    ///
    /// # Errors
    ///
    /// When the directory can't be read.
    pub fn open(directory: &Path, mark: Option<Mark>) -> Result<Self, ReadError> {
        let failed = |source| ReadError::new(directory.to_owned(), source);
        let mut left = segments::list(directory).map_err(failed)?;
        let mut backwards = Self {
            directory: directory.to_owned(),
            left: Vec::new(),
            current: None,
        };
        if let Some(Mark { segment, offset }) = mark {
            left.retain(|number| *number <= segment);
            if left.pop_if(|last| *last == segment).is_some() {
                backwards.current = Some(backwards.segment(segment, Some(offset))?);
            }
        }
        backwards.left = left;
        Ok(backwards)
    }

    fn segment(&self, number: u64, end: Option<u64>) -> Result<Segment, ReadError> {
        let path = self.directory.join(segments::name(number));
        let open = || {
            let mut file = File::open(&path)?;
            let length = file.seek(SeekFrom::End(0))?;
            Ok(Segment {
                number,
                file,
                start: end.unwrap_or(length).min(length),
                bytes: Vec::new(),
            })
        };
        let mut segment = open().map_err(|source| ReadError::new(path.clone(), source))?;
        // A line that is not whole yet is left for later.
        let cut = segment.drop_partial_line();
        cut.map_err(|source| ReadError::new(path, source))?;
        Ok(segment)
    }

    fn step(&mut self) -> Result<Option<Older>, ReadError> {
        loop {
            if self.current.is_none() {
                let Some(number) = self.left.pop() else {
                    return Ok(None);
                };
                self.current = Some(self.segment(number, None)?);
            }
            let Some(segment) = &mut self.current else {
                return Ok(None);
            };
            let line = segment.line().map_err(|source| {
                let path = self.directory.join(segments::name(segment.number));
                ReadError::new(path, source)
            })?;
            match line {
                Some(line) => return Ok(Some(line)),
                None => self.current = None,
            }
        }
    }
}

impl Segment {
    /// The last line that was not handed out.
    fn line(&mut self) -> io::Result<Option<Older>> {
        if self.bytes.is_empty() && !self.more()? {
            return Ok(None);
        }
        self.bytes.pop_if(|last| *last == b'\n');
        loop {
            if let Some(end) = memchr::memrchr(b'\n', &self.bytes) {
                let bytes = self.bytes.split_off(end + 1);
                let offset = self.start.saturating_add(self.bytes.len() as u64);
                return Ok(Some(self.older(bytes, offset)));
            }
            if !self.more()? {
                let bytes = std::mem::take(&mut self.bytes);
                return Ok(Some(self.older(bytes, 0)));
            }
        }
    }

    const fn older(&self, bytes: Vec<u8>, offset: u64) -> Older {
        let mark = Mark {
            segment: self.number,
            offset,
        };
        Older { bytes, mark }
    }

    fn drop_partial_line(&mut self) -> io::Result<()> {
        while self.more()? {
            if let Some(end) = memchr::memrchr(b'\n', &self.bytes) {
                self.bytes.truncate(end + 1);
                return Ok(());
            }
        }
        self.bytes.clear();
        Ok(())
    }

    /// Reads the chunk before; false at the start of the file.
    fn more(&mut self) -> io::Result<bool> {
        let size = self.start.min(CHUNK);
        if size == 0 {
            return Ok(false);
        }
        let start = self.start - size;
        self.file.seek(SeekFrom::Start(start))?;
        let mut chunk = Vec::new();
        self.file.by_ref().take(size).read_to_end(&mut chunk)?;
        if chunk.len() as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunk.append(&mut self.bytes);
        self.bytes = chunk;
        self.start = start;
        Ok(true)
    }
}

impl Iterator for Backwards {
    type Item = Result<Older, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
