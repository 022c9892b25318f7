//! Problems found in files: gathered all at once, shown to people and to programs.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::SerializeStruct;

use super::render::{self, printable};
use super::text::Place;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The files can't be used.
    Error,
    /// They can, but probably don't mean what they say.
    Warning,
}

impl Severity {
    /// The word in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem, and where it is.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    origin: Origin,
    severity: Severity,
    message: String,
    hint: Option<String>,
    withheld: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A whole file, a directory, or no file at all.
    File(Arc<str>),
    Place(Place),
}

impl Diagnostic {
    /// The file, as people know it; empty where there is none.
    #[must_use]
    pub fn file(&self) -> &str {
        match &self.origin {
            Origin::File(file) => file,
            Origin::Place(place) => place.text().name(),
        }
    }

    /// Line and column, both from 1, the column in characters; 1 and 1 for a whole file.
    #[must_use]
    pub fn position(&self) -> (usize, usize) {
        self.place().map_or((1, 1), Place::position)
    }

    /// The text that it is about, where it is about a part of a file.
    #[must_use]
    pub const fn place(&self) -> Option<&Place> {
        match &self.origin {
            Origin::File(_) => None,
            Origin::Place(place) => Some(place),
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The text that nobody may see, where it is about such.
    pub(super) fn withheld(&self) -> Option<&Place> {
        self.place().filter(|_| self.withheld)
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    fn sort_key(&self) -> (&str, usize, Severity, &str) {
        let start = self.place().map_or(0, |place| place.span().start);
        (self.file(), start, self.severity, &self.message)
    }
}

/// `file:line:column: `, or as much of it as there is.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => write!(f, "{place}: "),
            Self::File(file) if file.is_empty() => Ok(()),
            Self::File(file) => write!(f, "{file}: "),
        }
    }
}

/// `file:line:column: error: message (hint)` on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.replace('\n', " ");
        write!(f, "{}{}: {message}", self.origin, self.severity.as_str())?;
        match &self.hint {
            Some(hint) => write!(f, " ({})", hint.replace('\n', " ")),
            None => Ok(()),
        }
    }
}

/// `{file, line, column, message, hint?, severity}`.
impl Serialize for Diagnostic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (line, column) = self.position();
        let mut out = serializer.serialize_struct("Diagnostic", 6)?;
        out.serialize_field("file", self.file())?;
        out.serialize_field("line", &line)?;
        out.serialize_field("column", &column)?;
        out.serialize_field("message", &self.message)?;
        match &self.hint {
            Some(hint) => out.serialize_field("hint", hint)?,
            None => out.skip_field("hint")?,
        }
        out.serialize_field("severity", self.severity.as_str())?;
        out.end()
    }
}

/// Every problem of a set of files, in the order of files and lines once it is handed out.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them stops the files from being used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|one| one.severity == Severity::Error)
    }

    /// All of them with the lines they are about, for a terminal. What holds a secret is masked.
    #[must_use]
    pub fn graphical(&self, colour: bool) -> String {
        render::graphical(self, colour)
    }

    /// Those of `self` and of `other`, as one.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        self.append(other);
        self.in_order()
    }

    /// Adds that something that `file` names can't be used.
    pub fn unusable(&mut self, file: &Path, message: impl Into<String>) {
        self.about_file(&file.to_string_lossy(), message);
    }

    /// Adds that something that `file` names can't be used yet, which stops nobody from beginning.
    pub fn not_yet(&mut self, file: &Path, message: impl Into<String>) {
        self.warn_file(&file.to_string_lossy(), message);
    }

    pub(super) fn error(&mut self, place: &Place, message: impl Into<String>) -> Pushed<'_> {
        self.push(
            Origin::Place(place.clone()),
            Severity::Error,
            &message.into(),
        )
    }

    pub(super) fn warning(&mut self, place: &Place, message: impl Into<String>) -> Pushed<'_> {
        self.push(
            Origin::Place(place.clone()),
            Severity::Warning,
            &message.into(),
        )
    }

    /// A problem of a whole file or directory.
    pub(super) fn about_file(&mut self, file: &str, message: impl Into<String>) -> Pushed<'_> {
        self.push(Origin::File(file.into()), Severity::Error, &message.into())
    }

    /// A doubt about a whole file.
    pub(super) fn warn_file(&mut self, file: &str, message: impl Into<String>) -> Pushed<'_> {
        self.push(
            Origin::File(file.into()),
            Severity::Warning,
            &message.into(),
        )
    }

    fn push(&mut self, origin: Origin, severity: Severity, message: &str) -> Pushed<'_> {
        self.0.push(Diagnostic {
            origin,
            severity,
            message: printable(message),
            hint: None,
            withheld: false,
        });
        Pushed(self.0.last_mut())
    }

    /// Drops those that `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.0.retain(keep);
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Sorted by file and line, without repetitions: as a result that others see.
    pub(super) fn in_order(mut self) -> Self {
        self.0.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        self.0.dedup_by(|a, b| a.sort_key() == b.sort_key());
        self
    }

    /// `value` with the warnings, or everything where one is an error.
    pub(super) fn verdict<T>(self, value: T) -> Result<(T, Self), Self> {
        if self.has_errors() {
            Err(self.in_order())
        } else {
            Ok((value, self.in_order()))
        }
    }
}

/// One `file:line:column: error: message (hint)` a line.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.0 {
            writeln!(f, "{one}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The problem that was just added, which may take a hint.
pub(super) struct Pushed<'a>(Option<&'a mut Diagnostic>);

impl Pushed<'_> {
    pub(super) fn hint(self, hint: impl Into<String>) {
        if let Some(one) = self.0 {
            one.hint = Some(printable(&hint.into()));
        }
    }

    /// Masks the text that the problem is about in every rendering: it holds a secret.
    pub(super) fn withhold(mut self) -> Self {
        if let Some(one) = &mut self.0 {
            one.withheld = true;
        }
        self
    }

    pub(super) fn maybe_hint(self, hint: Option<String>) {
        if let Some(hint) = hint {
            self.hint(hint);
        }
    }
}
