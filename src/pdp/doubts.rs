//! Doubts about one statement by itself: it permits all there is, no value is what its conditions want, or its
//! `@on_change` has nothing to watch.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use cedar_policy::{ActionConstraint, PrincipalConstraint, ResourceConstraint};
use serde_json::Value;

use super::catalogue::action;
use super::check::Draft;
use super::clauses::each_that_has_to_hold;
use super::limit::{Limit, Numbers, comparison};
use super::problem::Finding;
use super::rule::Effect;
use super::scan::{Token, Tokens};
use super::schema::REQUEST;

/// The attributes that have only some numbers, and which.
const NUMBERS: [(&str, RangeInclusive<i64>); 12] = [
    ("context.auth.factors", 0..=i64::MAX),
    ("context.grant.age_seconds", 0..=i64::MAX),
    ("context.grant.bytes_left", 0..=i64::MAX),
    ("context.grant.calls_left", 0..=i64::MAX),
    ("context.http.content_length", 0..=i64::MAX),
    ("context.local.hour", 0..=23),
    ("context.local.minute", 0..=59),
    ("context.local.weekday", 1..=7),
    ("context.risk.age_seconds", 0..=i64::MAX),
    ("context.risk.score", 0..=100),
    ("context.task.age_seconds", 0..=i64::MAX),
    ("context.task.depth", 0..=i64::MAX),
];

/// What is doubtful about a statement, whether it can never apply, and the number that it limits.
pub(super) fn doubts(draft: &Draft, statement: &str) -> (Vec<Finding>, bool, Option<Limit>) {
    let mut found = Vec::new();
    let mut doubt = |message: String, hint: &str| {
        let head = draft.clauses.head.clone();
        found.push(Finding::warning(head, message, Some(hint.to_owned())));
    };
    if permits_all(draft) {
        doubt(
            "this rule lets every agent ask for every entitlement, and make every call of every grant".into(),
            "say who and what it is for, or on what condition: what any rule permits is permitted",
        );
    }
    if let Some(unwatched) = unwatched(draft) {
        doubt(
            format!("`@on_change` does nothing here: {unwatched}"),
            "take it away, or move what grants at rest can be asked about to a rule of its own",
        );
    }
    let conditions = conditions(draft, statement).unwrap_or_default();
    let impossible = impossible(&conditions);
    if let Some(path) = &impossible {
        doubt(
            format!("this rule can never apply: `{path}` is never what its conditions want"),
            "two of its comparisons exclude each other, or one is with a number that it never is",
        );
    }
    (found, impossible.is_some(), Limit::of(&conditions))
}

fn permits_all(draft: &Draft) -> bool {
    let scope = &draft.scope;
    draft.effect == Effect::Permit
        && draft.clauses.conditions.is_none()
        && draft.annotations.requires.is_empty()
        && matches!(
            scope.principal,
            PrincipalConstraint::Any | PrincipalConstraint::Is(_)
        )
        && matches!(scope.action, ActionConstraint::Any)
        && matches!(scope.resource, ResourceConstraint::Any)
}

/// Why no grant at rest is asked about a rule that says what becomes of grants.
fn unwatched(draft: &Draft) -> Option<String> {
    draft.annotations.on_change?;
    let requests = match &draft.scope.action {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => *uid == action(REQUEST),
        ActionConstraint::In(uids) => uids.iter().all(|uid| *uid == action(REQUEST)),
    };
    if requests {
        return Some("requests are over once they are decided".to_owned());
    }
    if !draft.reads.are_told() {
        return None;
    }
    let name = draft.reads.of_calls()?.name();
    Some(format!(
        "the rule reads `context.{name}`, which only calls have"
    ))
}

/// The conditions of a statement, where they may say anything of numbers. The tree is costly, and most statements
/// have nothing to find in it.
fn conditions(draft: &Draft, statement: &str) -> Option<Vec<Value>> {
    // One that fails refuses, whatever else it says.
    if draft.clauses.can_fail {
        return None;
    }
    let compares = |token| match token {
        Token::Punct('<' | '>') => true,
        Token::Ident(word) => ["hour", "minute", "score", "weekday"].contains(&word),
        Token::Path | Token::Punct(_) | Token::Str(_) => false,
    };
    if !Tokens::of(statement).any(|(token, _)| compares(token)) {
        return None;
    }
    let mut json = draft.policy.to_json().ok()?;
    match json.get_mut("conditions").map(Value::take) {
        Some(Value::Array(conditions)) => Some(conditions),
        _ => None,
    }
}

/// The attribute that can't have any value that all comparisons which have to hold let it have.
fn impossible(conditions: &[Value]) -> Option<String> {
    let clauses = conditions.iter();
    let whens = clauses.filter(|one| one.get("kind").and_then(Value::as_str) == Some("when"));
    let mut left: BTreeMap<String, Numbers> = BTreeMap::new();
    for when in whens {
        each_that_has_to_hold(when.get("body")?, &mut |atom| {
            if let Some((path, numbers)) = comparison(atom) {
                let known = NUMBERS.iter().find(|(known, _)| *known == path);
                let all = known.map_or(Numbers::ALL, |(_, all)| Numbers {
                    low: (*all.start()).into(),
                    high: (*all.end()).into(),
                });
                let left = left.entry(path).or_insert(all);
                *left = left.and(numbers);
            }
        });
    }
    let none = left.into_iter().find(|(_, numbers)| numbers.is_empty());
    none.map(|(path, _)| path)
}
