//! Which facts a rule reads, so that a request gathers no others.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Policy;
use serde_json::Value;

use super::fact::Fact;
use super::scan::{Token, Tokens};
use super::{Depends, Pace};

/// The attributes of `context` that a rule, or any of several rules, may read, and what of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    facts: BTreeMap<Fact, Parts>,
    /// It can't be told: they count as reading everything.
    untold: bool,
}

/// What is read of one attribute of `context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// All of it.
    Every,
    /// These attributes of it; with none at all, only whether it is there.
    Of(BTreeSet<String>),
}

impl Reads {
    /// Everything there is.
    pub(super) fn everything() -> Self {
        Self {
            facts: Fact::ALL.map(|fact| (fact, Parts::Every)).into(),
            untold: true,
        }
    }

    /// Whether it could be told what is read, so that nothing else is.
    pub(super) const fn are_told(&self) -> bool {
        !self.untold
    }

    /// What a statement that has passed strict validation reads. `context` used in any way that is
    /// not plainly one attribute counts as reading everything: to gather too much costs time, to
    /// gather too little would change an answer.
    pub(super) fn of(statement: &str) -> Self {
        let mut reads = Self::default();
        let mut tokens = Tokens::of(statement).map(|(token, _)| token);
        while let Some(token) = tokens.next() {
            if token != Token::Ident("context") {
                continue;
            }
            match access(tokens.clone()) {
                Some((fact, parts)) => reads.add(fact, &parts),
                None => return Self::everything(),
            }
        }
        reads
    }

    /// The same from Cedar's own tree, which sees through parentheses, escapes and the like; none where
    /// `context` is used as a whole there, too.
    pub(super) fn of_tree(policy: &Policy) -> Option<Self> {
        let tree = policy.to_json().ok()?;
        let mut reads = Self::default();
        reads.walk(tree.get("conditions")?).then_some(reads)
    }

    /// Adds what a part of a tree reads (Cedar's JSON policy format); false where that can't be told.
    fn walk(&mut self, part: &Value) -> bool {
        match part {
            Value::Array(parts) => parts.iter().all(|part| self.walk(part)),
            Value::Object(members) => {
                if let Some((path, tested)) = path(part) {
                    return self.enter(&path, tested);
                }
                members.values().all(|part| self.walk(part))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }

    fn enter(&mut self, path: &[&str], tested: bool) -> bool {
        let Some(fact) = path.first().and_then(|name| Fact::named(name)) else {
            return false;
        };
        let parts = match path.get(1) {
            Some(name) => Parts::Of(BTreeSet::from([(*name).to_owned()])),
            None if tested => Parts::Of(BTreeSet::new()),
            None => Parts::Every,
        };
        self.add(fact, &parts);
        true
    }

    fn add(&mut self, fact: Fact, more: &Parts) {
        let parts = self.facts.entry(fact).or_insert(Parts::Of(BTreeSet::new()));
        match (&mut *parts, more) {
            (Parts::Of(mine), Parts::Of(theirs)) => mine.extend(theirs.iter().cloned()),
            _ => *parts = Parts::Every,
        }
    }

    /// Adds what another rule reads.
    pub(super) fn join(&mut self, other: &Self) {
        for (fact, parts) in &other.facts {
            self.add(*fact, parts);
        }
        self.untold |= other.untold;
    }

    /// Of which operations and groups the history is read.
    pub(super) fn history(&self) -> Option<&Parts> {
        self.facts.get(&Fact::History)
    }

    /// Whether the history of an operation or a group is read under this name.
    pub(super) fn history_of(&self, name: &str) -> bool {
        self.history().is_some_and(|parts| parts.holds(name))
    }

    /// Whether anything is read that an agent's habits tell.
    pub(super) fn habits(&self) -> bool {
        let source = self.facts.get(&Fact::Source);
        self.has(Fact::Usual) || source.is_some_and(|parts| parts.holds("known"))
    }

    /// Whether the country of the source is read.
    pub(super) fn country(&self) -> bool {
        let source = self.facts.get(&Fact::Source);
        source.is_some_and(|parts| parts.holds("country"))
    }

    /// Whether anything is read of the task that never changes of it, but whether there is one.
    pub(super) fn lasting_of_task(&self) -> bool {
        let task = self.facts.get(&Fact::Task);
        let lasting = ["depth", "kind", "opened_by"];
        task.is_some_and(|parts| lasting.iter().any(|part| parts.holds(part)))
    }

    /// The first of what is read that only calls have; none where nothing of that is.
    pub(super) fn of_calls(&self) -> Option<Fact> {
        let of_calls = [Fact::History, Fact::Http, Fact::Input];
        of_calls.into_iter().find(|fact| self.has(*fact))
    }

    /// Whether anything of an attribute is read.
    pub(super) fn has(&self, fact: Fact) -> bool {
        self.facts.contains_key(&fact)
    }

    /// What of an answer can change while nobody asks.
    pub(super) fn depends(&self) -> Depends {
        let ages = |fact| {
            self.facts
                .get(&fact)
                .is_some_and(|parts| parts.holds("age_seconds"))
        };
        // That a score has ended is told as a change of the risk. The history of a task changes by calls
        // alone, and what was let through stays so.
        let seconds =
            self.has(Fact::Now) || ages(Fact::Grant) || ages(Fact::Risk) || ages(Fact::Task);
        let usual = self.facts.get(&Fact::Usual);
        let minutes = self.has(Fact::Local) || usual.is_some_and(|parts| parts.holds("hour"));
        Depends {
            country: self.country(),
            habits: self.habits(),
            risk: self.has(Fact::Risk),
            pace: match (seconds, minutes) {
                (true, _) => Some(Pace::Second),
                (false, true) => Some(Pace::Minute),
                (false, false) => None,
            },
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Fact, &Parts)> {
        self.facts.iter().map(|(fact, parts)| (*fact, parts))
    }
}

impl Parts {
    pub(super) fn holds(&self, name: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Of(some) => some.contains(name),
        }
    }
}

/// The attributes of `context` that an expression goes down by, and whether it only tests for the last; none
/// where it starts elsewhere. Of `context` itself there are none.
pub(super) fn path(expression: &Value) -> Option<(Vec<&str>, bool)> {
    let object = expression.as_object().filter(|object| object.len() == 1)?;
    let (name, operands) = object.iter().next()?;
    match (name.as_str(), operands) {
        ("Var", Value::String(variable)) => (variable == "context").then(|| (Vec::new(), false)),
        ("." | "has", operands) => {
            let (mut names, _) = path(operands.get("left")?)?;
            names.push(operands.get("attr")?.as_str()?);
            Some((names, name == "has"))
        }
        _ => None,
    }
}

/// What is read of `context`, given the tokens after it; none where that is not plain.
fn access<'a>(mut after: impl Iterator<Item = Token<'a>> + Clone) -> Option<(Fact, Parts)> {
    let tested = after.clone().next() == Some(Token::Ident("has"));
    let fact = Fact::named(attribute(&mut after)?)?;
    let parts = match attribute(&mut after) {
        Some(name) => Parts::Of(BTreeSet::from([name.to_owned()])),
        // `context has task`, and no more of it here.
        None if tested => Parts::Of(BTreeSet::new()),
        None => Parts::Every,
    };
    Some((fact, parts))
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
