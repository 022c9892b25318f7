//! What a statement says behind its scope, as far as statements are compared with each other.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use cedar_policy::Policy;
use serde_json::Value;

use crate::base::Digest;

use super::scan::{Token, Tokens};

/// Operators and functions whose evaluation can fail where strict validation finds nothing wrong.
const FAILING: [&str; 3] = ["durationSince", "offset", "toDate"];

/// The clauses of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clauses {
    /// The bytes of `permit (…)` or `forbid (…)`.
    pub(super) head: Range<usize>,
    /// The same for statements whose clauses are the same token by token; none where there are no
    /// clauses, or only `when { true }`.
    pub(super) conditions: Option<Digest>,
    /// Whether their evaluation can fail, which is a refusal of its own.
    pub(super) can_fail: bool,
    /// The entitlements that the grant has to be of for the clauses to hold; none where they don't say.
    pub(super) of: Option<BTreeSet<String>>,
}

impl Clauses {
    /// Reads the clauses of a statement that is this policy.
    pub(super) fn of(policy: &Policy, statement: &str) -> Self {
        let mut tokens = Tokens::of(statement).peekable();
        let (mut depth, mut head) = (0_usize, 0..statement.len());
        let mut started = false;
        for (token, span) in tokens.by_ref() {
            match token {
                Token::Ident("permit" | "forbid") if depth == 0 && !started => {
                    (head.start, started) = (span.start, true);
                }
                Token::Punct('(') => depth += 1,
                Token::Punct(')') => {
                    depth = depth.saturating_sub(1);
                    if started && depth == 0 {
                        head.end = span.end;
                        break;
                    }
                }
                _ => {}
            }
        }
        let mut text: Vec<u8> = Vec::new();
        let (mut can_fail, mut speaks_of_entitlement) = (false, false);
        for (token, _) in tokens {
            match token {
                Token::Ident(word) => {
                    can_fail |= FAILING.contains(&word);
                    speaks_of_entitlement |= word == "entitlement";
                    text.extend(word.as_bytes());
                }
                Token::Str(quoted) => {
                    speaks_of_entitlement |= quoted == "\"entitlement\"";
                    text.extend(quoted.as_bytes());
                }
                Token::Path => text.extend(b"::"),
                Token::Punct(';') => continue,
                Token::Punct(mark) => {
                    can_fail |= matches!(mark, '+' | '-' | '*');
                    text.extend(mark.to_string().as_bytes());
                }
            }
            // No token holds a NUL outside a string, and there it is written as an escape.
            text.push(0);
        }
        let bare = text.is_empty() || text == b"when\0{\0true\0}\0";
        Self {
            head,
            conditions: (!bare).then(|| Digest::of(&text)),
            can_fail,
            of: speaks_of_entitlement
                .then(|| entitlements(policy))
                .flatten(),
        }
    }
}

/// The entitlements named by `context.grant.entitlement == "…"` where that has to hold, and by sets of
/// them; several that all have to hold leave what they share.
fn entitlements(policy: &Policy) -> Option<BTreeSet<String>> {
    let json = policy.to_json().ok()?;
    let clauses = json.get("conditions")?.as_array()?.iter();
    let whens = clauses.filter(|one| one.get("kind").and_then(Value::as_str) == Some("when"));
    let mut shared: Option<BTreeSet<String>> = None;
    for when in whens {
        each_that_has_to_hold(when.get("body")?, &mut |atom| {
            if let Some(named) = named(atom) {
                shared = Some(match shared.take() {
                    Some(before) => before.intersection(&named).cloned().collect(),
                    None => named,
                });
            }
        });
    }
    shared
}

/// Visits the operands of `&&` from the top.
pub(super) fn each_that_has_to_hold(body: &Value, visit: &mut impl FnMut(&Value)) {
    match body.get("&&") {
        Some(both) => {
            for side in ["left", "right"].iter().filter_map(|side| both.get(side)) {
                each_that_has_to_hold(side, visit);
            }
        }
        None => visit(body),
    }
}

fn named(atom: &Value) -> Option<BTreeSet<String>> {
    if let Some(equals) = atom.get("==") {
        let (left, right) = (equals.get("left")?, equals.get("right")?);
        let other = match (is_entitlement(left), is_entitlement(right)) {
            (true, false) => right,
            (false, true) => left,
            _ => return None,
        };
        let name = other.get("Value")?.as_str()?;
        return Some(BTreeSet::from([name.to_owned()]));
    }
    let contains = atom.get("contains")?;
    if !is_entitlement(contains.get("right")?) {
        return None;
    }
    let names = contains.get("left")?.get("Set")?.as_array()?.iter();
    let name = |one: &Value| Some(one.get("Value")?.as_str()?.to_owned());
    names.map(name).collect()
}

/// Whether an expression is `context.grant.entitlement`.
fn is_entitlement(expression: &Value) -> bool {
    let step = |from: &Value, name: &str| -> Option<Value> {
        let access = from.get(".")?;
        (access.get("attr")?.as_str()? == name).then(|| access.get("left").cloned())?
    };
    let grant = step(expression, "entitlement");
    let context = grant.and_then(|grant| step(&grant, "grant"));
    context.is_some_and(|one| one.get("Var").and_then(Value::as_str) == Some("context"))
}
