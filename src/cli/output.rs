//! What commands print: tables and fields for people, JSON for programs.
//!
//! Text that came from a server or another agent (a task's description, a request's reason) may hold
//! terminal escapes. [`clean`] stands between any such text and a terminal.

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    // No doc comments here: the command line would repeat them under every `--help`.
    Json,
    #[default]
    Text,
}

impl Output {
    /// Prints `document` as JSON, or what `text` makes of it.
    pub(super) fn show(
        self,
        document: &Value,
        text: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<()> {
        match self {
            Self::Json => print(&format!("{document:#}")),
            Self::Text => print(text(document).trim_end_matches('\n')),
        }
    }
}

/// Prints `text` and a line end. A reader that has gone away (`| head -1`) is not an error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    print_on(text).map(drop)
}

/// The same, for who goes on printing: false where the reader has gone away.
pub(super) fn print_on(text: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("the output can't be written"),
    }
}

/// Whether colours may be used on the standard error output (<https://no-color.org>).
pub(super) fn colours() -> bool {
    let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !asked_not_to && !dumb && io::stderr().is_terminal()
}

/// `text` on one line, with nothing in it that a terminal would obey: control characters, and the
/// invisible ones that reorder or hide text.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            c if c.is_control() || is_invisible(c) => None,
            c => Some(c),
        })
        .collect()
}

const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A member of a JSON object as clean text; lists are joined, absent and null members are `-`.
pub(super) fn field(document: &Value, name: &str) -> String {
    let text = plain(document.get(name).unwrap_or(&Value::Null));
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => clean(&value.to_string()),
    }
}

/// The named members of an object, one a line, names aligned. Absent ones are left out.
pub(super) fn fields(document: &Value, names: &[&str]) -> String {
    let mut table = Table::bare();
    for name in names {
        if document.get(*name).is_some_and(|value| !value.is_null()) {
            table.row([name.replace('_', " "), field(document, name)]);
        }
    }
    table.render()
}

/// A table with its columns aligned.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without a heading.
    pub(super) const fn bare() -> Self {
        Self { rows: Vec::new() }
    }

    /// A table with a heading.
    pub(super) fn new<const N: usize>(heading: [&str; N]) -> Self {
        let mut table = Self::bare();
        table.row(heading.map(str::to_owned));
        table
    }

    /// Adds a row; its cells are cleaned.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| clean(&cell)).into());
    }

    /// The table as lines, two blanks between the columns and none at the end of a line.
    pub(super) fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                line.push_str(cell);
                let blanks = width.saturating_sub(cell.chars().count()).saturating_add(2);
                line.extend(std::iter::repeat_n(' ', blanks));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}
