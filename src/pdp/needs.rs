//! What would have to be otherwise for rules to answer otherwise: the clauses of their conditions, as far as each
//! compares what was read with a constant.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use cedar_policy::Policy;
use serde_json::Value;

use super::{Seen, reads};

/// Comparisons: as they are written, turned around, and denied.
const COMPARISONS: [(&str, &str, &str); 6] = [
    ("!=", "!=", "=="),
    ("<", ">", ">="),
    ("<=", ">=", ">"),
    ("==", "==", "!="),
    (">", "<", "<="),
    (">=", "<=", "<"),
];

/// A part of a rule's conditions that all have to come out as they are `wanted` for the rule to apply.
struct Clause {
    body: Value,
    wanted: bool,
}

/// What a clause says, in words of the rule's own language, and whether that is so.
struct Said {
    text: String,
    so: bool,
    compares: bool,
}

/// The least that keeps a rule from applying that applies: one clause that would not hold. None where no clause
/// is a comparison of something read with a constant.
pub(super) fn to_lift(policy: &Policy, seen: &Seen) -> Option<String> {
    let clauses = clauses(policy);
    let denied = clauses
        .iter()
        .filter_map(|clause| clause.say(!clause.wanted, seen));
    let mut denied: Vec<Said> = denied.filter(|said| !said.so).collect();
    // That something is not known is seldom what one can wish for.
    denied.sort_by_key(|said| !said.compares);
    denied.into_iter().next().map(|said| said.text)
}

/// What a rule lacks to apply: all of these. None where that can't be told, because a clause that may be what
/// fails is no such comparison.
pub(super) fn to_meet(policy: &Policy, seen: &Seen) -> Option<Vec<String>> {
    let mut lacking = Vec::new();
    for clause in clauses(policy) {
        let said = clause.say(clause.wanted, seen)?;
        if !said.so {
            lacking.push(said.text);
        }
    }
    (!lacking.is_empty()).then_some(lacking)
}

fn clauses(policy: &Policy) -> Vec<Clause> {
    let mut all = Vec::new();
    let Ok(json) = policy.to_json() else {
        return all;
    };
    let conditions = json.get("conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        let wanted = condition.get("kind").and_then(Value::as_str) == Some("when");
        if let Some(body) = condition.get("body") {
            split(body, wanted, &mut all);
        }
    }
    all
}

/// Parts what has to hold at every `&&`, and what must not at every `||`.
fn split(body: &Value, wanted: bool, into: &mut Vec<Clause>) {
    let both = body.get(if wanted { "&&" } else { "||" });
    if let Some(both) = both {
        for side in ["left", "right"].iter().filter_map(|side| both.get(side)) {
            split(side, wanted, into);
        }
    } else if let Some(inner) = body.get("!").and_then(|not| not.get("arg")) {
        split(inner, !wanted, into);
    } else {
        let body = body.clone();
        into.push(Clause { body, wanted });
    }
}

impl Clause {
    /// Says that the clause comes out as `wanted`.
    fn say(&self, wanted: bool, seen: &Seen) -> Option<Said> {
        if let Some(said) = self.compare(wanted, seen) {
            return Some(said);
        }
        let path = path(&self.body)?;
        let value = look(&path, seen)?.as_bool()?;
        let path = path.join(".");
        Some(Said {
            text: format!("context.{path} == {wanted} (is {value})"),
            so: value == wanted,
            compares: false,
        })
    }

    fn compare(&self, wanted: bool, seen: &Seen) -> Option<Said> {
        let (operator, operands) = self.body.as_object()?.iter().next()?;
        let (left, right) = (operands.get("left")?, operands.get("right")?);
        let known = COMPARISONS.iter().find(|(one, _, _)| one == operator)?;
        let (path, constant, operator) = match (path(left), path(right)) {
            (Some(path), None) => (path, right.get("Value")?, known.0),
            (None, Some(path)) => (path, left.get("Value")?, known.1),
            _ => return None,
        };
        let value = look(&path, seen)?;
        let order = order(value, constant)?;
        let holds = match operator {
            "!=" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            "==" => order.is_eq(),
            ">" => order.is_gt(),
            _ => order.is_ge(),
        };
        let (_, _, denied) = COMPARISONS.iter().find(|(one, _, _)| *one == operator)?;
        let operator = if wanted { operator } else { denied };
        let path = path.join(".");
        Some(Said {
            text: format!("context.{path} {operator} {constant} (is {value})"),
            so: holds == wanted,
            compares: true,
        })
    }
}

/// How two values of one kind compare.
fn order(value: &Value, constant: &Value) -> Option<Ordering> {
    match (value, constant) {
        (Value::Number(one), Value::Number(other)) => Some(one.as_i64()?.cmp(&other.as_i64()?)),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// The attributes below `context` that an expression goes down by, where it does not only test for the last.
fn path(expression: &Value) -> Option<Vec<&str>> {
    let (names, tested) = reads::path(expression)?;
    (!tested).then_some(names)
}

fn look<'s>(path: &[&str], seen: &'s Seen) -> Option<&'s Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(seen.get(*first)?, |value, name| value.get(*name))
}
