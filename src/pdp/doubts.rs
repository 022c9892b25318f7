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
use super::problem::Finding;
use super::reads;
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

/// What is doubtful about a statement, and whether it can never apply.
pub(super) fn doubts(draft: &Draft, statement: &str) -> (Vec<Finding>, bool) {
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
    let impossible = impossible(draft, statement);
    if let Some(path) = &impossible {
        doubt(
            format!("this rule can never apply: `{path}` is never what its conditions want"),
            "two of its comparisons exclude each other, or one is with a number that it never is",
        );
    }
    (found, impossible.is_some())
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

/// The attribute that can't have any value that all comparisons which have to hold let it have.
fn impossible(draft: &Draft, statement: &str) -> Option<String> {
    // One that fails refuses, whatever else it says.
    if draft.clauses.can_fail {
        return None;
    }
    // The tree is costly, and most statements have nothing to find in it.
    let compares = |token| match token {
        Token::Punct('<' | '>') => true,
        Token::Ident(word) => ["hour", "minute", "score", "weekday"].contains(&word),
        Token::Path | Token::Punct(_) | Token::Str(_) => false,
    };
    if !Tokens::of(statement).any(|(token, _)| compares(token)) {
        return None;
    }
    let json = draft.policy.to_json().ok()?;
    let clauses = json.get("conditions")?.as_array()?.iter();
    let whens = clauses.filter(|one| one.get("kind").and_then(Value::as_str) == Some("when"));
    let mut left: BTreeMap<String, (i128, i128)> = BTreeMap::new();
    for when in whens {
        each_that_has_to_hold(when.get("body")?, &mut |atom| {
            if let Some((path, low, high)) = comparison(atom) {
                let known = NUMBERS.iter().find(|(known, _)| *known == path);
                let all = known.map_or((i64::MIN, i64::MAX), |(_, all)| (*all.start(), *all.end()));
                let (lowest, highest) = left.entry(path).or_insert((all.0.into(), all.1.into()));
                *lowest = low.max(*lowest);
                *highest = high.min(*highest);
            }
        });
    }
    let none = left.into_iter().find(|(_, (low, high))| low > high);
    none.map(|(path, _)| path)
}

/// The numbers that a comparison of an attribute with a number lets it be.
fn comparison(atom: &Value) -> Option<(String, i128, i128)> {
    let (operator, sides) = atom.as_object()?.iter().next()?;
    let (left, right) = (sides.get("left")?, sides.get("right")?);
    let (path, number, turned) = match (attribute(left), attribute(right)) {
        (Some(path), None) => (path, number(right)?, false),
        (None, Some(path)) => (path, number(left)?, true),
        _ => return None,
    };
    let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let (low, high) = match (operator.as_str(), turned) {
        ("==", _) => (number, number),
        ("<", false) | (">", true) => (least, number - 1),
        ("<=", false) | (">=", true) => (least, number),
        (">", false) | ("<", true) => (number + 1, most),
        (">=", false) | ("<=", true) => (number, most),
        _ => return None,
    };
    Some((path, low, high))
}

/// `context.a.b`, where an expression is that.
fn attribute(expression: &Value) -> Option<String> {
    let (path, _) = reads::path(expression)?;
    Some(format!("context.{}", path.join(".")))
}

fn number(expression: &Value) -> Option<i128> {
    if let Some(less) = expression.get("neg") {
        return number(less.get("arg")?).map(|number| -number);
    }
    expression.get("Value")?.as_i64().map(i128::from)
}
