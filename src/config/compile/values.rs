//! Words, durations and sizes.

use std::time::Duration;

use super::names::suggestion;
use crate::config::diagnostics::Diagnostics;
use crate::config::text::At;
use crate::config::units;

/// The value of a word from a fixed list.
pub(super) fn word<T: Copy>(
    text: Option<&At<String>>,
    what: &str,
    words: &[(&'static str, T)],
    problems: &mut Diagnostics,
) -> Option<T> {
    let text = text?;
    let found = words.iter().find(|(word, _)| *word == text.value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = suggestion(problems, &text.value, known.iter().copied());
        let message = format!("`{}` is not {what}: {}", text.value, known.join(", "));
        problems.error(&text.place, message).maybe_hint(hint);
    }
    found.map(|(_, value)| *value)
}

/// A duration above zero.
pub(super) fn duration(text: Option<&At<String>>, problems: &mut Diagnostics) -> Option<Duration> {
    let text = text?;
    let read = units::duration(&text.value).map_err(|error| error.to_string());
    match read {
        Ok(duration) if !duration.is_zero() => Some(duration),
        Ok(_) => {
            problems.error(&text.place, "a duration of nothing can't be meant");
            None
        }
        Err(message) => {
            problems.error(&text.place, message);
            None
        }
    }
}

/// A size above zero.
pub(super) fn size(text: Option<&At<String>>, problems: &mut Diagnostics) -> Option<u64> {
    let text = text?;
    match units::size(&text.value) {
        Ok(0) => {
            problems.error(&text.place, "a size of nothing can't be meant");
            None
        }
        Ok(size) => Some(size),
        Err(error) => {
            problems.error(&text.place, error.to_string());
            None
        }
    }
}
