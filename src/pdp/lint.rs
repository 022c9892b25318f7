//! Doubts about rules that hold by themselves: those that can never apply, that others cover, whose
//! operations nobody can reach, or that count the calls of a group without any.
//!
//! A rule is looked up under what would take its place (its own agents' groups, its operations' groups,
//! no condition), so the whole costs a handful of look-ups per rule and never compares each with each.
//! But for the last, nothing is said of a rule that could make a difference to any answer: what is compared is
//! the scope by what it names, clauses token by token, and of clauses that limit one number the number.

mod limits;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::base::Digest;
use crate::model::EntitlementId;

use super::check::Draft;
use super::limit::Limit;
use super::problem::{Problem, Severity};
use super::rule::{Effect, OnChange, Requirement};
use super::{Catalogue, Rule};
use limits::Limits;
use scope::{Part, Scopes, World};

/// What is looked at of one rule, beside what it is.
#[derive(Debug)]
pub(super) struct Written {
    /// The bytes of its head in its file.
    pub(super) head: Range<usize>,
    pub(super) draft: Arc<Draft>,
    /// Whether it is known already that it can never apply.
    pub(super) idle: bool,
    /// The number that it limits.
    pub(super) limit: Option<Limit>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Lints {
    pub(super) problems: Vec<Problem>,
    /// The entitlements that a rule forbids everyone to ask for, and its number.
    pub(super) closed: BTreeMap<EntitlementId, usize>,
}

/// All that makes two rules one: whom and what they are for, when, and what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    forbids: bool,
    principal: u32,
    part: Part,
    conditions: u32,
    requires: u32,
    on_change: Option<bool>,
}

/// Looks at all rules. `written` has one entry for each.
pub(super) fn lint(catalogue: &Catalogue<'_>, rules: &[Rule], written: &[Written]) -> Lints {
    let mut world = World::new(catalogue);
    let (mut book, mut limits) = (Shelf::default(), Limits::default());
    let scopes = written.iter().map(|one| world.scopes(&one.draft.scope));
    let scopes: Vec<Scopes> = scopes.collect();
    let mut looked_at = Vec::with_capacity(rules.len());
    let all = rules.iter().zip(written).zip(&scopes);
    for (number, ((rule, written), scopes)) in all.clone().enumerate() {
        let kind = book.kind(rule, written);
        if !written.idle {
            *book.kinds.entry(kind).or_default() += 1;
            for part in &scopes.parts {
                book.enter(kind.key(scopes.principal, *part), number);
            }
            limits.enter((rule, written), kind, scopes, number);
        }
        looked_at.push(kind);
    }
    let mut lints = Lints::default();
    for ((number, ((rule, written), scopes)), kind) in all.enumerate().zip(&looked_at) {
        if written.idle {
            continue;
        }
        let looking = Looking {
            number,
            rule,
            rules,
            written,
            scopes,
            kind: *kind,
            limits: &limits,
        };
        let doubt = looking.doubt(&mut world, &book);
        if let Some((message, hint)) = doubt.or_else(|| looking.counts_nothing()) {
            lints.problems.push(Problem {
                file: Arc::clone(&rule.file),
                span: Some(written.head.clone()),
                severity: Severity::Warning,
                message,
                hint: Some(hint),
            });
        }
    }
    for entitlement in catalogue.entitlements {
        let parts = world.of_request(&entitlement.id);
        let forbids = Kind::unconditional_forbid();
        let closed = parts
            .iter()
            .filter_map(|part| book.first_forbid(forbids, scope::ANY, *part));
        if let Some(number) = closed.min() {
            lints.closed.insert(entitlement.id.clone(), number);
        }
    }
    lints
}

/// What a rule is, whomever it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    forbids: bool,
    conditions: u32,
    requires: u32,
    on_change: Option<bool>,
}

impl Kind {
    const fn unconditional_forbid() -> Self {
        Self {
            forbids: true,
            conditions: 0,
            requires: 0,
            on_change: None,
        }
    }

    const fn key(self, principal: u32, part: Part) -> Key {
        Key {
            forbids: self.forbids,
            principal,
            part,
            conditions: self.conditions,
            requires: self.requires,
            on_change: self.on_change,
        }
    }
}

/// The rules by all that makes two of them one, the first of each.
#[derive(Default)]
struct Shelf<'r> {
    firsts: HashMap<Key, usize, RandomState>,
    /// How many rules there are of each kind.
    kinds: HashMap<Kind, usize, RandomState>,
    conditions: HashMap<Digest, u32, RandomState>,
    requires: HashMap<&'r [Requirement], u32, std::hash::RandomState>,
}

impl<'r> Shelf<'r> {
    fn kind(&mut self, rule: &'r Rule, written: &Written) -> Kind {
        let next = |taken: usize| u32::try_from(taken + 1).unwrap_or(u32::MAX);
        let conditions = written.draft.clauses.conditions.map_or(0, |digest| {
            let next = next(self.conditions.len());
            *self.conditions.entry(digest).or_insert(next)
        });
        let requires = if rule.requires.is_empty() {
            0
        } else {
            let next = next(self.requires.len());
            *self.requires.entry(&rule.requires).or_insert(next)
        };
        Kind {
            forbids: rule.effect == Effect::Forbid,
            conditions,
            requires,
            on_change: rule.on_change.map(|what| what == OnChange::End),
        }
    }

    fn enter(&mut self, key: Key, number: usize) {
        self.firsts.entry(key).or_insert(number);
    }

    /// Whether a rule that is `own` is not the only one of this kind: most conditions are written once, and then
    /// nothing has to be looked up.
    fn has_another(&self, kind: Kind, own: Kind) -> bool {
        let among = usize::from(kind == own);
        self.kinds.get(&kind).is_some_and(|all| *all > among)
    }

    /// The first rule of this kind, for this scope, that is not `but`.
    fn first(&self, kind: Kind, principal: u32, part: Part, but: usize) -> Option<usize> {
        let found = self.firsts.get(&kind.key(principal, part)).copied();
        found.filter(|number| *number != but)
    }

    /// The first such forbid, whatever it says of grants.
    fn first_forbid(&self, kind: Kind, principal: u32, part: Part) -> Option<usize> {
        let kinds = [None, Some(false), Some(true)].map(|on_change| Kind { on_change, ..kind });
        let found = kinds
            .iter()
            .filter_map(|kind| self.first(*kind, principal, part, usize::MAX));
        found.min()
    }
}

/// One rule that is looked at.
struct Looking<'a> {
    number: usize,
    rule: &'a Rule,
    rules: &'a [Rule],
    written: &'a Written,
    scopes: &'a Scopes,
    kind: Kind,
    limits: &'a Limits<'a>,
}

impl Looking<'_> {
    /// What is doubtful about the rule, and what to do.
    fn doubt(&self, world: &mut World<'_>, shelf: &Shelf<'_>) -> Option<(String, String)> {
        let (parts, clauses) = (&self.scopes.parts, &self.written.draft.clauses);
        if parts.is_empty() {
            return Some((
                "this rule can never apply: nothing that its action names is of its resource"
                    .into(),
                "an operation belongs to one service, and only `request` to entitlements".into(),
            ));
        }
        if let Some(named) = &clauses.of
            && !clauses.can_fail
            && !parts
                .iter()
                .any(|part| world.is_covered_by_one(*part, named))
        {
            let named: Vec<_> = named.iter().map(|one| format!("`{one}`")).collect();
            let message = match &named[..] {
                [] => "this rule can never apply: no grant is of two entitlements".to_owned(),
                _ => format!(
                    "this rule can never apply: {} covers nothing that it is for",
                    named.join(" or ")
                ),
            };
            return Some((
                message,
                "grants exist only for what their entitlement covers".into(),
            ));
        }
        if !self.kind.forbids && !parts.iter().any(|part| world.is_reachable(*part)) {
            return Some((
                "this rule permits nothing: no entitlement covers what it is for".into(),
                "without a grant no call passes, whatever rules permit: add it to an entitlement"
                    .into(),
            ));
        }
        if !self.kind.forbids {
            let forbids = Kind::unconditional_forbid();
            let wider = self.wider(world, |principal, part| {
                shelf.first_forbid(forbids, principal, part)
            });
            if let Some(by) = wider {
                return Some((
                    format!(
                        "this rule permits nothing: {} forbids all that it is for",
                        self.named(&by)
                    ),
                    "narrow the one that forbids, give it a condition, or remove this rule".into(),
                ));
            }
        }
        let kinds = self.kinds();
        let kinds: Vec<Kind> = kinds
            .filter(|kind| shelf.has_another(*kind, self.kind))
            .collect();
        let wider = |find: &dyn Fn(u32, Part) -> Option<usize>| self.wider(world, find);
        let by = (!kinds.is_empty()).then(|| {
            wider(&|principal, part| {
                let mut kinds = kinds.iter();
                kinds.find_map(|kind| shelf.first(*kind, principal, part, self.number))
            })
        });
        if let Some(by) = by.flatten() {
            let hint = "remove one of them, or narrow the wider";
            return Some((self.changes_nothing(&by), hint.to_owned()));
        }
        let limiting = self.limits.of((self.rule, self.written), self.kind)?;
        let by = wider(&|principal, part| limiting.wider(principal, part, self.number))?;
        let hint = "the numbers that it is for are among the other's: remove it, or have it say something else";
        Some((self.changes_nothing(&by), hint.to_owned()))
    }

    /// What the rule counts that never is.
    fn counts_nothing(&self) -> Option<(String, String)> {
        let empty = self.written.draft.empty_groups();
        let empty: Vec<String> = empty.map(|name| format!("`{name}`")).collect();
        (!empty.is_empty()).then(|| {
            let message = format!(
                "this rule counts what the task has called of {}, and no operation is in there: that is nothing",
                empty.join(" and of ")
            );
            let hint = "put operations into the group, or read the history of another";
            (message, hint.to_owned())
        })
    }

    fn changes_nothing(&self, by: &[usize]) -> String {
        let verb = if self.kind.forbids {
            "forbids"
        } else {
            "permits"
        };
        format!(
            "this rule changes nothing: {} {verb} all that it does",
            self.named(by)
        )
    }

    /// The rules that together take in all of the scope, found by `find`; none where some of it is left.
    fn wider(
        &self,
        world: &World<'_>,
        find: impl Fn(u32, Part) -> Option<usize>,
    ) -> Option<Vec<usize>> {
        let principals = world.wider_principals(self.scopes.principal);
        let mut found = Vec::new();
        for part in &self.scopes.parts {
            let wider = world.wider_parts(*part);
            let mut pairs = principals
                .iter()
                .flat_map(|principal| wider.iter().map(move |part| (*principal, *part)));
            let by = pairs.find_map(|(principal, part)| find(principal, part))?;
            if !found.contains(&by) {
                found.push(by);
            }
        }
        Some(found)
    }

    /// The kinds of rules that do all that this one does, this one's own first.
    fn kinds(&self) -> impl Iterator<Item = Kind> {
        let own = self.kind;
        // Without a condition it can't fail, and a failing permit refuses.
        let conditions = [
            Some(own.conditions),
            (!self.written.draft.clauses.can_fail).then_some(0),
        ];
        let requires = [own.requires, 0];
        let on_change: &[Option<bool>] = match &own.on_change {
            None => &[None, Some(false), Some(true)],
            Some(_) => std::slice::from_ref(&self.kind.on_change),
        };
        conditions
            .into_iter()
            .flatten()
            .flat_map(move |conditions| {
                requires.into_iter().flat_map(move |requires| {
                    on_change.iter().map(move |on_change| Kind {
                        conditions,
                        requires,
                        on_change: *on_change,
                        ..own
                    })
                })
            })
    }

    /// Other rules, with their places.
    fn named(&self, numbers: &[usize]) -> String {
        let rules = numbers.iter().filter_map(|number| self.rules.get(*number));
        let mut names: Vec<_> = rules
            .take(3)
            .map(|rule| {
                if rule.file == self.rule.file {
                    format!("`{}` in line {}", rule.id, rule.line)
                } else {
                    format!("`{}` ({}:{})", rule.id, rule.file, rule.line)
                }
            })
            .collect();
        if numbers.len() > names.len() {
            names.push(format!("{} more", numbers.len() - names.len()));
        }
        match names.len() {
            0 | 1 => names.concat(),
            _ => format!("each part of it: {};", names.join(", ")),
        }
    }
}
