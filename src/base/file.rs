//! Puts a file in place whole: readers find the old bytes or the new ones, also after a power cut. And opens files
//! that others put in place, without waiting for anybody.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::random_id;

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Mode 0644, less what the process's umask takes away.
    Everyone,
    /// Mode 0600, from the first byte on.
    OwnerOnly,
}

/// Opens a file for reading, and nothing else: to open a pipe would be to wait for its writer, for ever.
///
/// # Errors
///
/// What the file system answers, and where there is something else than a file.
pub fn open_file(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}

/// Writes `bytes` to `path`, replacing what is there in one step.
///
/// # Errors
///
/// What the file system answers; `path` is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut draft_name = OsString::from(".");
    draft_name.push(name);
    draft_name.push(random_id(".new"));
    let draft = Draft(directory.join(draft_name));
    let mode = match readers {
        Readers::Everyone => 0o644,
        Readers::OwnerOnly => 0o600,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft.0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft.0, path)?;
    // The name is durable only once the directory is.
    File::open(directory)?.sync_all()
}

/// The unfinished file; gone when it goes out of scope, unless it has been renamed by then.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // After the rename there is nothing of this name; after a failure nobody needs it.
        let _ = fs::remove_file(&self.0);
    }
}
