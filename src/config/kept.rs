//! The files of the generation that was published last, kept for the next start: where new policies have to
//! wait, a restart must not let them through.
//!
//! It is one file beside the store, replaced whole, which holds what was read: the texts, their names in the
//! policy directories and the generation that they are.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::diagnostics::Diagnostics;
use super::files::{Files, Named};
use super::text::Text;
use crate::base::{ErrorChain, Readers, write_whole};

/// What is written. Another number is another program's.
const VERSION: u32 = 1;

/// Where the copy is.
#[derive(Clone, Debug)]
pub struct Kept {
    file: PathBuf,
}

/// A copy that can't be written, or can't be made use of.
#[derive(Debug, Error)]
pub(super) enum KeptError {
    /// The file system said no.
    #[error("it can't be {0}")]
    File(&'static str, #[source] io::Error),
    /// It is no copy of policies.
    #[error("it is damaged")]
    Damaged(#[source] serde_json::Error),
    /// The texts are not those of the generation.
    #[error("it is damaged: it does not hold generation {0}")]
    Altered(String),
    /// A program of another version wrote it.
    #[error("it was written by another version of the program (format {0} instead of {VERSION})")]
    Version(u32),
    /// It needs more policy directories than there are.
    #[error("its files are of more directories than are configured")]
    Directories,
}

#[derive(Serialize, Deserialize)]
struct Copy {
    version: u32,
    generation: String,
    files: Vec<CopiedFile>,
}

#[derive(Deserialize)]
struct Format {
    version: u32,
}

/// A file, by its path in the policy directory of this number.
#[derive(Serialize, Deserialize)]
struct CopiedFile {
    directory: usize,
    path: String,
    text: Arc<str>,
}

impl Kept {
    /// The copy is `file`, or will be.
    #[must_use]
    pub const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Removes the copy, if there is one: what is published without it would make it old.
    ///
    /// # Errors
    ///
    /// When it can't be removed.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps `files` in the place of those before; they are on the disk when this returns.
    pub(super) fn save(&self, files: &Files) -> Result<(), KeptError> {
        let unwritten = |error| KeptError::File("written", error);
        let copied = files.named.iter().map(|named| CopiedFile {
            directory: named.directory,
            path: named.path.to_string_lossy().into_owned(),
            text: Arc::clone(named.text.text()),
        });
        let copy = Copy {
            version: VERSION,
            generation: files.generation.as_str().to_owned(),
            files: copied.collect(),
        };
        let bytes = serde_json::to_vec(&copy).map_err(|error| unwritten(error.into()))?;
        if let Some(directory) = self.file.parent() {
            fs::create_dir_all(directory).map_err(unwritten)?;
        }
        write_whole(&self.file, &bytes, Readers::OwnerOnly).map_err(unwritten)
    }

    /// The files that were kept, as if they lay in `directories`; none where none were.
    pub(super) fn load(&self, directories: &[PathBuf]) -> Result<Option<Files>, KeptError> {
        let bytes = match fs::read(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| KeptError::File("read", error))?,
        };
        let Format { version } = serde_json::from_slice(&bytes).map_err(KeptError::Damaged)?;
        if version != VERSION {
            return Err(KeptError::Version(version));
        }
        let copy: Copy = serde_json::from_slice(&bytes).map_err(KeptError::Damaged)?;
        let named = copy.files.into_iter().map(|file| {
            let directory = directories.get(file.directory);
            let path = directory.ok_or(KeptError::Directories)?.join(&file.path);
            Ok(Named {
                directory: file.directory,
                path: PathBuf::from(file.path),
                text: Text::new(path.to_string_lossy(), file.text),
            })
        });
        let named = named.collect::<Result<Vec<_>, KeptError>>()?;
        let files = Files::of(named);
        if files.generation.as_str() != copy.generation {
            return Err(KeptError::Altered(copy.generation));
        }
        Ok(Some(files))
    }

    /// Says that the copy can't be written: nothing goes live without it.
    pub(super) fn unwritten(&self, error: &KeptError) -> Diagnostics {
        let message =
            "the policies can't be kept for the next start, and don't go live without that";
        self.problem(message, error, "make room, or let the gateway write there")
    }

    /// Says that the copy can't be used: nothing starts without it.
    pub(super) fn unusable(&self, error: &KeptError) -> Diagnostics {
        let message = "the policies that were live last can't be read";
        self.problem(message, error, WAY_OUT)
    }

    /// Says that what is wrong with files is wrong with those that were kept.
    pub(super) fn unfit(&self, mut problems: Diagnostics) -> Diagnostics {
        let message = "the policies that were live last can't be used any more, for what is said about their files";
        problems.about_file(&self.name(), message).hint(WAY_OUT);
        problems
    }

    fn problem(&self, message: &str, error: &KeptError, hint: &str) -> Diagnostics {
        let mut problems = Diagnostics::default();
        let message = format!("{message}: {}", ErrorChain(error));
        problems.about_file(&self.name(), message).hint(hint);
        problems
    }

    fn name(&self) -> String {
        self.file.display().to_string()
    }
}

const WAY_OUT: &str = "remove this file to start with the policy files as they are, which then don't wait for an operator";

/// Where a store's gateway keeps its policies.
#[must_use]
pub fn kept_beside(store: &Path) -> Kept {
    Kept::new(store.with_file_name("policies.live.json"))
}
