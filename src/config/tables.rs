//! Decision tables: `tests/**/*.toml` below a policy directory, as they stand in the files.
//!
//! A gateway never reads them. They may add agents that only tests know.

mod case;
mod read;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::diagnostics::Diagnostics;
use super::fields::{Fields, Origin, Overrides};
use super::raw::{RawAgent, agent};
use super::text::{Place, Text};
pub use case::{Case, CaseAsk, CaseGrant, CaseHistory, CaseRisk, CaseTask, Expected};

/// The most files with tables, and the largest, in bytes.
const MOST_FILES: usize = 1000;
const LARGEST_FILE: u64 = 4 << 20;

/// The decision tables of a directory.
#[derive(Debug, Default)]
pub struct Tables {
    /// The cases, in the order of files and tables.
    pub cases: Vec<Case>,
    /// The agents that only these know.
    pub(super) agents: Vec<RawAgent>,
}

/// Reads the decision tables in `tests` below each directory, and every mistake in them.
#[must_use]
pub fn read_tables(directories: &[PathBuf]) -> (Tables, Diagnostics) {
    let mut tables = Tables::default();
    let mut problems = Diagnostics::default();
    for directory in directories {
        for file in files(&directory.join("tests"), &mut problems) {
            let name = file.to_string_lossy();
            match text(&file) {
                Ok(text) => tables.add(&Text::new(name, text), &mut problems),
                Err(why) => {
                    problems.about_file(&name, why);
                }
            }
        }
    }
    (tables, problems.in_order())
}

fn text(file: &Path) -> Result<String, String> {
    let unreadable = |error| format!("this can't be read: {error}");
    let length = fs::metadata(file).map_err(unreadable)?.len();
    if length > LARGEST_FILE {
        return Err(format!("it is larger than {} MiB", LARGEST_FILE >> 20));
    }
    fs::read_to_string(file).map_err(unreadable)
}

fn files(directory: &Path, problems: &mut Diagnostics) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                found.push(path);
            }
            if found.len() + left.len() > MOST_FILES {
                let name = directory.to_string_lossy().into_owned();
                problems.about_file(&name, format!("there are more than {MOST_FILES} tables"));
                return found;
            }
        }
    }
    found.sort();
    found
}

impl Tables {
    fn add(&mut self, text: &Arc<Text>, problems: &mut Diagnostics) {
        let (table, errors) = DeTable::parse_recoverable(text.text());
        if !errors.is_empty() {
            for error in &errors {
                let place = Place::new(text, error.span().unwrap_or(0..0));
                problems.error(&place, error.message());
            }
            return;
        }
        let overrides = Overrides::new();
        let mut file = Fields::of_file(
            table,
            Origin {
                text,
                overrides: &overrides,
                problems,
            },
        );
        file.each("agent", |fields| self.agents.extend(agent(fields)));
        file.each("case", |fields| self.cases.extend(read::case(fields)));
        file.finish();
    }
}
