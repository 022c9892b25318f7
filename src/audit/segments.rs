//! The files of the log: `audit-00000001.jsonl` and so on.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where lines go. One implementation writes files; tests have one that breaks.
pub(super) trait Disk: Send {
    /// Adds `bytes` at the end. On failure some of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything appended survives a crash of the machine.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the segment to its first `length` bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Goes on in a new, empty segment. Can be tried again after a failure.
    fn next_segment(&mut self) -> io::Result<()>;
}

/// The name of segment `number`.
pub(super) fn name(number: u64) -> String {
    format!("audit-{number:08}.jsonl")
}

/// The numbers of the segments in `directory`, in order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        numbers.extend(entry?.file_name().to_str().and_then(number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn number(file: &str) -> Option<u64> {
    let digits = file.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
    // Only the spelling that we write: two names of one number would be two segments of one place.
    digits.parse().ok().filter(|n| *n > 0 && name(*n) == file)
}

/// Makes `directory` for this user alone, unless it is there.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    match directory.canonicalize()?.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The options for a file that only this user can read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options
}

/// The segment that grows.
pub(super) struct Files {
    directory: PathBuf,
    number: u64,
    file: File,
}

impl Files {
    /// Opens segment `number` of `directory`, or makes it.
    pub(super) fn open(directory: &Path, number: u64) -> io::Result<Self> {
        let file = private().open(directory.join(name(number)))?;
        // A file whose name is lost in a crash is lost with all its lines.
        sync_directory(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            number,
            file,
        })
    }
}

impl Disk for Files {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let next = Self::open(&self.directory, self.number.saturating_add(1))?;
        if next.file.metadata()?.len() > 0 {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("`{}` is there already", name(next.number)),
            ));
        }
        *self = next;
        Ok(())
    }
}
