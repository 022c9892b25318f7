//! What is wrong with a set of rules, where, and what to do about it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One thing that is wrong with the rules or with the names that they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file; empty where the problem lies in the names of the catalogue.
    pub file: Arc<str>,
    /// The bytes of that file's text that it is about.
    pub span: Option<Range<usize>>,
    /// Whether it keeps the rules from going live.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Whether a problem keeps the rules from going live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Problem {
    /// A problem of the names that files other than `*.cedar` give.
    pub(super) fn of_names(message: String, hint: Option<String>) -> Self {
        Self {
            file: Arc::from(""),
            span: None,
            severity: Severity::Error,
            message,
            hint,
        }
    }
}

/// A problem inside one statement: its bytes count from the start of the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) span: Range<usize>,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Finding {
    pub(super) fn error(span: Range<usize>, message: String, hint: Option<String>) -> Self {
        Self {
            span,
            severity: Severity::Error,
            message,
            hint,
        }
    }

    pub(super) fn warning(span: Range<usize>, message: String, hint: Option<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message, hint)
        }
    }

    /// The same problem, seen from the start of the file.
    pub(super) fn in_file(&self, file: &Arc<str>, statement: usize) -> Problem {
        Problem {
            file: Arc::clone(file),
            span: Some(self.span.start + statement..self.span.end + statement),
            severity: self.severity,
            message: self.message.clone(),
            hint: self.hint.clone(),
        }
    }
}

/// ``did you mean `x`?`` for the candidate that is a typing error away from `wrong`.
pub(super) fn did_you_mean<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let allowed = 1 + wrong.chars().count() / 4;
    let scored = candidates
        .into_iter()
        .map(|one| (distance(wrong, one), one));
    let (off, nearest) = scored.min()?;
    (off <= allowed).then(|| format!("did you mean `{nearest}`?"))
}

/// How many characters have to be added, removed or replaced to get from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}
