//! The text of a file, and places in it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A file's text under the name that people know it by.
#[derive(Debug)]
pub struct Text {
    name: Arc<str>,
    text: Arc<str>,
    /// Where each line starts; found when the first position is asked for.
    lines: OnceLock<Vec<usize>>,
}

impl Text {
    /// Holds `text`, which was read from `name`.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
            lines: OnceLock::new(),
        })
    }

    /// Where it was read from.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What was read.
    #[must_use]
    pub const fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Line and column of a byte, both from 1, the column in characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let lines = self.lines.get_or_init(|| {
            let ends = self.text.match_indices('\n').map(|(end, _)| end + 1);
            std::iter::once(0).chain(ends).collect()
        });
        let line = lines.partition_point(|start| *start <= offset).max(1);
        let start = lines.get(line - 1).copied().unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or_default();
        let before = rest
            .char_indices()
            .take_while(|(at, _)| start + at < offset);
        (line, before.count() + 1)
    }
}

/// A stretch of a file's text.
#[derive(Clone)]
pub struct Place {
    text: Arc<Text>,
    span: Range<usize>,
}

impl Place {
    /// The bytes `span` of `text`, cut to what there is.
    #[must_use]
    pub fn new(text: &Arc<Text>, span: Range<usize>) -> Self {
        let length = text.text.len();
        let start = span.start.min(length);
        Self {
            text: Arc::clone(text),
            span: start..span.end.clamp(start, length),
        }
    }

    /// The file.
    #[must_use]
    pub const fn text(&self) -> &Arc<Text> {
        &self.text
    }

    /// The bytes.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Line and column of the first byte, both from 1, the column in characters.
    #[must_use]
    pub fn position(&self) -> (usize, usize) {
        self.text.position(self.span.start)
    }
}

/// `file:line:column`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.position();
        write!(f, "{}:{line}:{column}", self.text.name)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> At<T> {
    /// Another value from the same place.
    pub(super) fn with<U>(&self, value: U) -> At<U> {
        At {
            value,
            place: self.place.clone(),
        }
    }
}
