//! Finds the files with decision tables.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::diagnostics::Diagnostics;
use crate::config::files::{DEEPEST, MOST_ENTRIES, TESTS, is_hidden};

/// The most files with tables.
const MOST_FILES: usize = 1000;

/// The tables in every `tests` in and below `directory`, sorted. What can't be read is among the problems: a
/// case that nobody runs would pass.
pub(super) fn tables(directory: &Path, problems: &mut Diagnostics) -> Vec<PathBuf> {
    let mut search = Search {
        found: Vec::new(),
        entries: 0,
        problems,
    };
    search.directory(directory, false, 0);
    if search.found.len() > MOST_FILES || search.entries > MOST_ENTRIES {
        search.about(
            directory,
            format!("there are more than {MOST_FILES} tables, or too many other files"),
        );
    }
    let mut found = search.found;
    found.sort();
    found
}

struct Search<'p> {
    found: Vec<PathBuf>,
    entries: usize,
    problems: &'p mut Diagnostics,
}

impl Search<'_> {
    /// Looks at one directory, which is `tests` or below it where `in_tests`.
    fn directory(&mut self, directory: &Path, in_tests: bool, depth: usize) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(directory, &error),
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => return self.unreadable(directory, &error),
            };
            self.entries += 1;
            if self.entries > MOST_ENTRIES || self.found.len() > MOST_FILES {
                return;
            }
            self.entry(path, in_tests, depth);
        }
    }

    fn entry(&mut self, path: PathBuf, in_tests: bool, depth: usize) {
        let name = path.file_name().unwrap_or_default();
        if is_hidden(name) {
            return;
        }
        // Links are followed, as they are to policies.
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable(&path, &error),
        };
        if metadata.is_dir() {
            let in_tests = in_tests || name == OsStr::new(TESTS);
            if depth < DEEPEST {
                self.directory(&path, in_tests, depth + 1);
            } else {
                let message = format!("directories are nested more than {DEEPEST} deep");
                self.about(&path, message);
            }
        } else if in_tests && has_ending(&path, "toml") {
            self.found.push(path);
        } else if in_tests && has_ending(&path, "cedar") {
            let name = path.to_string_lossy();
            let problem = self
                .problems
                .warn_file(&name, "no gateway reads rules that lie below `tests`");
            problem.hint("move the file, or remove it");
        }
    }

    fn about(&mut self, path: &Path, message: String) {
        self.problems.about_file(&path.to_string_lossy(), message);
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.about(path, format!("this can't be read: {error}"));
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension == ending)
}
