//! Which facts a rule reads, so that a request gathers no others.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::fact::Fact;
use super::scan::{Token, Tokens};

/// The attributes of `context` that a rule, or any of several rules, may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    facts: u16,
    history: Histories,
}

/// The operations whose history is read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Histories {
    Every,
    Of(BTreeSet<String>),
}

impl Default for Histories {
    fn default() -> Self {
        Self::Of(BTreeSet::new())
    }
}

impl Reads {
    /// Everything there is.
    pub(super) fn everything() -> Self {
        Self {
            facts: Fact::ALL
                .into_iter()
                .fold(0, |bits, fact| bits | fact.bit()),
            history: Histories::Every,
        }
    }

    /// What a statement that has passed strict validation reads. `context` used in any way that is
    /// not plainly one attribute counts as reading everything: to gather too much costs time, to
    /// gather too little would change an answer.
    pub(super) fn of(statement: &str) -> Self {
        let mut reads = Self::default();
        let mut tokens = Tokens::of(statement).map(|(token, _)| token);
        while let Some(token) = tokens.next() {
            if token == Token::Ident("context") && reads.note(tokens.clone()).is_none() {
                return Self::everything();
            }
        }
        reads
    }

    /// Notes what is read of `context` given the tokens after it; none where that is not plain.
    fn note<'a>(&mut self, mut after: impl Iterator<Item = Token<'a>>) -> Option<()> {
        let fact = Fact::named(attribute(&mut after)?)?;
        self.facts |= fact.bit();
        if fact == Fact::History {
            match (attribute(&mut after), &mut self.history) {
                (Some(operation), Histories::Of(some)) => {
                    some.insert(operation.to_owned());
                }
                (_, history) => *history = Histories::Every,
            }
        }
        Some(())
    }

    /// Adds what another rule reads.
    pub(super) fn join(&mut self, other: &Self) {
        self.facts |= other.facts;
        match (&mut self.history, &other.history) {
            (Histories::Of(mine), Histories::Of(theirs)) => mine.extend(theirs.iter().cloned()),
            (mine, _) => *mine = Histories::Every,
        }
    }

    pub(super) const fn contains(&self, fact: Fact) -> bool {
        self.facts & fact.bit() != 0
    }

    /// The operations whose history is read; none for all of them.
    pub(super) const fn histories(&self) -> Option<&BTreeSet<String>> {
        match &self.history {
            Histories::Every => None,
            Histories::Of(some) => Some(some),
        }
    }
}

/// The attribute in `.name`, `["name"]`, `has name` or `has "name"`.
fn attribute<'a>(tokens: &mut impl Iterator<Item = Token<'a>>) -> Option<&'a str> {
    match (tokens.next()?, tokens.next()?) {
        (Token::Punct('.') | Token::Ident("has"), Token::Ident(name)) => Some(name),
        (Token::Punct('['), Token::Str(quoted)) => {
            (tokens.next()? == Token::Punct(']')).then(|| plain(quoted))?
        }
        (Token::Ident("has"), Token::Str(quoted)) => plain(quoted),
        _ => None,
    }
}

/// The text of a string without escapes; with them it might be any name.
fn plain(quoted: &str) -> Option<&str> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('\\')).then_some(inner)
}
