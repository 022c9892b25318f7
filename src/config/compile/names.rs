//! Names that entries claim and others refer to.

use std::collections::HashMap;
use std::str::FromStr;

use crate::config::diagnostics::Diagnostics;
use crate::config::suggest::did_you_mean;
use crate::config::text::{At, Place};
use crate::model::NameError;

/// With more problems than this nobody reads the hints, and finding them costs the most.
const MOST_SUGGESTIONS: usize = 100;

/// The names of one kind of thing, each with the place that claims it.
#[derive(Debug)]
pub(super) struct Names<'r> {
    what: &'static str,
    first: HashMap<&'r str, &'r Place>,
}

impl<'r> Names<'r> {
    /// No names yet, of things that messages call `what`.
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            first: HashMap::new(),
        }
    }

    /// Every name that is used, without complaint about any.
    pub(super) fn of(what: &'static str, names: impl IntoIterator<Item = &'r At<String>>) -> Self {
        let mut known = Self::new(what);
        for name in names {
            known.first.entry(&name.value).or_insert(&name.place);
        }
        known
    }

    /// Whether `name` is free; where it is not, says who has it.
    pub(super) fn claim(&mut self, name: &'r At<String>, problems: &mut Diagnostics) -> bool {
        if let Some(first) = self.first.get(name.value.as_str()) {
            let message = format!("the {} `{}` is defined twice", self.what, name.value);
            problems
                .error(&name.place, message)
                .hint(format!("the first is at {first}"));
            return false;
        }
        self.first.insert(&name.value, &name.place);
        true
    }

    /// Whether something has the name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.first.contains_key(name)
    }

    /// Whether something has the name; where nothing has, says so.
    pub(super) fn resolve(&self, name: &At<String>, problems: &mut Diagnostics) -> bool {
        let known = self.contains(&name.value);
        if !known {
            let message = format!("there is no {} `{}`", self.what, name.value);
            let hint = suggestion(problems, &name.value, self.first.keys().copied());
            problems.error(&name.place, message).maybe_hint(hint);
        }
        known
    }
}

/// `did you mean …?`, unless there are too many problems already.
pub(super) fn suggestion<'a>(
    problems: &Diagnostics,
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    if problems.len() >= MOST_SUGGESTIONS {
        return None;
    }
    did_you_mean(word, candidates)
}

/// Reads a name, or says what is wrong with it.
pub(super) fn name<T: FromStr<Err = NameError>>(
    text: &At<String>,
    problems: &mut Diagnostics,
) -> Option<T> {
    match text.value.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            problems.error(&text.place, error.to_string());
            None
        }
    }
}

/// Reads a list of names; one that stands there twice is a slip.
pub(super) fn names<T: FromStr<Err = NameError> + Ord>(
    texts: &[At<String>],
    problems: &mut Diagnostics,
) -> std::collections::BTreeSet<T> {
    let mut names = std::collections::BTreeSet::new();
    for text in texts {
        if let Some(name) = name(text, problems)
            && !names.insert(name)
        {
            let message = format!("`{}` stands here twice", text.value);
            problems.warning(&text.place, message);
        }
    }
    names
}
