//! Problems as a terminal shows them: with the lines they are about.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::text::Text;

/// Every problem with its lines.
pub(super) fn graphical(problems: &Diagnostics, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(100);
    let mut sources: HashMap<*const Text, Arc<str>> = HashMap::new();
    let mut out = String::new();
    for problem in problems.iter() {
        let source = problem.place().map(|place| {
            let text = place.text();
            let shown = sources
                .entry(Arc::as_ptr(text))
                .or_insert_with(|| shown(text, problems));
            Shown {
                name: Arc::clone(text.name()),
                text: Arc::clone(shown),
            }
        });
        let view = View { problem, source };
        // Writing to a string fails only where a source can't be read; then one line is left.
        if handler.render_report(&mut out, &view).is_err() {
            out.push_str(&problem.to_string());
        }
        out.push('\n');
    }
    out
}

/// A file's text as it may be shown.
fn shown(text: &Arc<Text>, problems: &Diagnostics) -> Arc<str> {
    let mut shown = printable(text.text());
    let secrets = problems
        .iter()
        .filter_map(Diagnostic::withheld)
        .filter(|place| Arc::ptr_eq(place.text(), text));
    for secret in secrets {
        let mask = |c: char| {
            if c == '\n' {
                "\n".into()
            } else {
                "*".repeat(c.len_utf8())
            }
        };
        if let Some(masked) = shown.get(secret.span()) {
            let masked: String = masked.chars().map(mask).collect();
            shown.replace_range(secret.span(), &masked);
        }
    }
    shown.into()
}

/// Files are written by people who may paste anything: what a terminal would obey, or what would
/// turn a line round, becomes question marks of the same length in bytes, so that spans still hold.
pub(super) fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if obeyed(character) {
            out.extend(std::iter::repeat_n('?', character.len_utf8()));
        } else {
            out.push(character);
        }
    }
    out
}

/// How miette wants to see a problem.
#[derive(Debug)]
struct View<'a> {
    problem: &'a Diagnostic,
    source: Option<Shown>,
}

/// A text whose columns are counted in characters, as they are everywhere else; miette counts bytes.
#[derive(Debug)]
struct Shown {
    name: Arc<str>,
    text: Arc<str>,
}

impl SourceCode for Shown {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let read = self.text.read_span(span, before, after)?;
        let start = read.span().offset();
        let line = start.checked_sub(read.column());
        let left = line.and_then(|line| self.text.get(line..start));
        let column = left.map_or(read.column(), |left| left.chars().count());
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_string(),
            read.data(),
            *read.span(),
            read.line(),
            column,
            read.line_count(),
        )))
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source.is_none() {
            write!(f, "{}", self.problem.origin())?;
        }
        f.write_str(self.problem.message())
    }
}

impl std::error::Error for View<'_> {}

impl miette::Diagnostic for View<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity() {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.hint()?))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source.as_ref()?)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::underline(self.problem.place()?.span());
        Some(Box::new(std::iter::once(label)))
    }
}
