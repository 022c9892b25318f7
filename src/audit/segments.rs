//! The files of the log: `audit-00000001.jsonl` and so on.

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
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
    /// How long it is, as far as this process has written it.
    length: u64,
    /// Somebody else has changed it: what is in it is not known any more.
    spoilt: bool,
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
            length: file.metadata()?.len(),
            spoilt: false,
            file,
        })
    }

    /// Whether lines are still a part of the log: where the file was moved away, removed or cut, as by what
    /// rotates logs, they would be written to where nobody looks for them.
    fn check_place(&mut self) -> io::Result<()> {
        let name = name(self.number);
        let own = self.file.metadata()?;
        match fs::metadata(self.directory.join(&name)) {
            Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {
                let why = format!("`{name}` was moved or removed: bring it back, or restart");
                return Err(io::Error::other(why));
            }
        }
        self.spoilt |= own.len() != self.length;
        self.check_content()
    }

    fn check_content(&self) -> io::Result<()> {
        if !self.spoilt {
            return Ok(());
        }
        let name = name(self.number);
        let why = format!("`{name}` was changed by somebody else: bring it back, and restart");
        Err(io::Error::other(why))
    }
}

impl Disk for Files {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check_content()?;
        self.file.write_all(bytes)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.check_place()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        // What is missing must not come back as zeros.
        self.spoilt |= self.file.metadata()?.len() < length;
        self.check_content()?;
        self.file.set_len(length)?;
        self.length = length;
        Ok(())
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
