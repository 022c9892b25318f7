//! Finds and reads the policy files: all of them, of one moment, within bounds.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::text::Text;
use super::watch::FileId;
use crate::base::Digest;
use crate::model::Generation;

/// The largest policy file, in bytes.
const LARGEST_FILE: u64 = 4 << 20;
/// The most policy files in one set.
const MOST_FILES: usize = 10_000;
/// The most directory entries that are looked at, whatever they are.
pub(super) const MOST_ENTRIES: usize = 100_000;
/// How deep directories may be nested.
pub(super) const DEEPEST: usize = 16;
/// The directories of decision tables, which hold no policies.
pub(super) const TESTS: &str = "tests";
/// How often a set that changes while it is read is read again.
const ATTEMPTS: usize = 4;

/// A policy file.
#[derive(Clone, Debug)]
pub(super) struct PolicyFile {
    pub(super) text: Arc<Text>,
    /// What relative paths in it start from.
    pub(super) directory: Arc<PathBuf>,
}

/// A policy file, and where it is in which of the directories.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) directory: usize,
    pub(super) path: PathBuf,
    pub(super) text: Arc<Text>,
}

/// The policy files of one moment, sorted by name.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) generation: Generation,
    /// All of them, as the generation's hash knows them.
    pub(super) named: Vec<Named>,
    pub(super) toml: Vec<PolicyFile>,
    pub(super) cedar: Vec<PolicyFile>,
}

/// Reads the policy files in and below `directories`, which are one set. What can't be read is among
/// the problems; the rest is there all the same.
pub(super) fn gather(directories: &[PathBuf]) -> (Files, Diagnostics) {
    let mut attempt = 1;
    loop {
        let before = walk(directories);
        let (files, mut problems) = read(&before);
        // A set that is being replaced file by file, or by a swap of `..data`, must not be seen half
        // old and half new.
        let stable = stamp_of(&before) == stamp_of(&walk(directories));
        if stable || attempt == ATTEMPTS {
            if !stable {
                let first = directories
                    .first()
                    .map_or("".into(), |d| d.to_string_lossy());
                problems.about_file(&first, "the files change faster than they can be read");
            }
            return (files, problems);
        }
        attempt += 1;
    }
}

/// A digest of what the file system says about the policy files, without reading any: equal as long
/// as nothing was touched.
pub(super) fn stamp(directories: &[PathBuf]) -> Digest {
    stamp_of(&walk(directories))
}

/// What the file system knows the policy files by.
pub(super) fn ids(directories: &[PathBuf]) -> HashSet<FileId> {
    walk(directories).found.iter().map(|one| one.id).collect()
}

#[derive(Debug, Default)]
struct Walk {
    found: Vec<Found>,
    problems: Diagnostics,
    entries: usize,
    /// Whether there were more files or entries than are looked at.
    overfull: bool,
}

#[derive(Debug)]
struct Found {
    /// Which of the directories, and where in it: what the generation's hash knows the file by.
    name: (usize, PathBuf),
    path: PathBuf,
    id: FileId,
    stamp: String,
}

fn walk(directories: &[PathBuf]) -> Walk {
    let mut walk = Walk::default();
    for (index, directory) in directories.iter().enumerate() {
        let known = walk.found.len();
        let readable = match fs::metadata(directory) {
            Ok(metadata) => {
                let mut above = vec![(metadata.dev(), metadata.ino())];
                walk.directory(index, directory, Path::new(""), &mut above)
            }
            Err(error) => walk.unreadable(directory, &error),
        };
        // An overlay may be empty; the first directory without files is a mount that went away or a
        // wrong path, and "no rules" is not what anybody meant.
        if index == 0 && readable && walk.found.len() == known {
            let problem = walk.problems.about_file(
                &directory.to_string_lossy(),
                "there are no policy files here",
            );
            problem.hint("policies are *.toml and *.cedar files, at any depth");
        }
    }
    if walk.overfull {
        let first = directories.first().map(PathBuf::as_path);
        let message = format!("there are more than {MOST_FILES} policy files, or too many others");
        walk.about(first.unwrap_or(Path::new("")), message);
    }
    walk.found.sort_by(|a, b| a.name.cmp(&b.name));
    walk
}

impl Walk {
    /// Looks at one directory; false where that is not possible.
    fn directory(
        &mut self,
        index: usize,
        directory: &Path,
        relative: &Path,
        above: &mut Vec<(u64, u64)>,
    ) -> bool {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(directory, &error),
        };
        for entry in entries {
            let name = match entry {
                Ok(entry) => entry.file_name(),
                Err(error) => return self.unreadable(directory, &error),
            };
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                self.overfull = true;
                return true;
            }
            if !is_hidden(&name) {
                self.entry(index, directory.join(&name), relative.join(&name), above);
            }
        }
        true
    }

    fn entry(
        &mut self,
        index: usize,
        path: PathBuf,
        relative: PathBuf,
        above: &mut Vec<(u64, u64)>,
    ) {
        // Links are followed: a mounted ConfigMap consists of them.
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.unreadable(&path, &error);
                return;
            }
        };
        if metadata.is_dir() {
            let identity = (metadata.dev(), metadata.ino());
            if path.file_name() == Some(OsStr::new(TESTS)) {
                // Decision tables; the `test` command reads them.
            } else if above.contains(&identity) {
                self.about(&path, "this link leads back to a directory above it".into());
            } else if above.len() >= DEEPEST {
                let message = format!("directories are nested more than {DEEPEST} deep");
                self.about(&path, message);
            } else {
                above.push(identity);
                self.directory(index, &path, &relative, above);
                above.pop();
            }
        } else if is_policy(&path) {
            if !metadata.is_file() {
                self.about(&path, "this is not a regular file".into());
            } else if self.found.len() == MOST_FILES {
                self.overfull = true;
            } else {
                self.found.push(Found {
                    name: (index, relative),
                    path,
                    id: (metadata.dev(), metadata.ino()),
                    stamp: describe(&metadata),
                });
            }
        }
    }

    fn about(&mut self, path: &Path, message: String) {
        self.problems.about_file(&path.to_string_lossy(), message);
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) -> bool {
        self.about(path, format!("this can't be read: {error}"));
        false
    }
}

fn read(walk: &Walk) -> (Files, Diagnostics) {
    let mut problems = walk.problems.clone();
    let mut named = Vec::new();
    let mut table = Vec::new();
    for found in &walk.found {
        let name = found.path.to_string_lossy();
        let bytes = match read_bounded(&found.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                problems.about_file(&name, format!("this can't be read: {error}"));
                continue;
            }
        };
        let (index, relative) = &found.name;
        table.extend(row(*index, relative, &bytes).into_bytes());
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                problems.about_file(&name, format!("this is not UTF-8, from byte {valid} on"));
                continue;
            }
        };
        // What a file looks like between being cut to nothing and being written; a set without its
        // rules must not go live because an editor, or a full disk, stopped there.
        if text.trim().is_empty() {
            let problem = problems.about_file(&name, "this file is empty");
            problem.hint("delete it, or leave a comment in it");
        }
        named.push(Named {
            directory: *index,
            path: relative.clone(),
            text: Text::new(name, text),
        });
    }
    (
        Files::new(Generation::new(Digest::of(&table)), named),
        problems,
    )
}

/// What the generation's hash knows of a file.
fn row(directory: usize, path: &Path, bytes: &[u8]) -> String {
    let digest = Digest::of(bytes);
    format!("{directory} {}\0{digest}\n", path.to_string_lossy())
}

impl Files {
    /// Files that are known by their texts, which have the names that they would be found by.
    pub(super) fn of(named: Vec<Named>) -> Self {
        let row = |one: &Named| row(one.directory, &one.path, one.text.text().as_bytes());
        let table: String = named.iter().map(row).collect();
        Self::new(Generation::new(Digest::of(table.as_bytes())), named)
    }

    fn new(generation: Generation, named: Vec<Named>) -> Self {
        let (mut toml, mut cedar) = (Vec::new(), Vec::new());
        for one in &named {
            let path = Path::new(one.text.name().as_ref());
            let directory = path.parent().unwrap_or(Path::new("")).to_owned();
            let file = PolicyFile {
                text: Arc::clone(&one.text),
                directory: Arc::new(directory),
            };
            if path.extension() == Some(OsStr::new("cedar")) {
                cedar.push(file);
            } else {
                toml.push(file);
            }
        }
        Self {
            generation,
            named,
            toml,
            cedar,
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB",
            LARGEST_FILE >> 20
        )));
    }
    Ok(bytes)
}

/// Names that start with a dot (`..data` and the versions behind it among them, which links lead to
/// anyway) and what editors leave beside a file while it is open.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || name.starts_with('#') || name.ends_with('~') || name.ends_with(".swp")
}

fn is_policy(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "toml" || extension == "cedar")
}

/// What changes when a file is written, replaced or comes back as another one.
fn describe(file: &Metadata) -> String {
    format!(
        "{} {} {} {}.{} {}.{}",
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    )
}

fn stamp_of(walk: &Walk) -> Digest {
    let mut table = format!("{}\n", walk.problems);
    for found in &walk.found {
        let (index, relative) = &found.name;
        let name = relative.to_string_lossy();
        table.push_str(&format!("{index} {name}\0{}\n", found.stamp));
    }
    Digest::of(table.as_bytes())
}
