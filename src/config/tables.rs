//! Decision tables: `**/tests/**/*.toml` below a policy directory, as they stand in the files.
//!
//! A gateway never reads them, so that whatever it leaves out as tables is looked at here. They may add agents that only tests know.

mod case;
mod find;
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

/// The largest file with tables, in bytes.
const LARGEST_FILE: u64 = 4 << 20;

/// The decision tables of a directory.
#[derive(Debug, Default)]
pub struct Tables {
    /// The cases, in the order of files and tables.
    pub cases: Vec<Case>,
    /// The agents that only these know.
    pub(super) agents: Vec<RawAgent>,
}

/// Reads the decision tables in every `tests` in and below each directory, and every mistake in them.
#[must_use]
pub fn read_tables(directories: &[PathBuf]) -> (Tables, Diagnostics) {
    let mut tables = Tables::default();
    let mut problems = Diagnostics::default();
    for directory in directories {
        for file in find::tables(directory, &mut problems) {
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
