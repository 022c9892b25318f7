//! What would have to be otherwise for a rule to apply, or not to: the least of what its conditions say, put together
//! from comparisons, memberships, ranges and the like of what was read. A part that is none of these is left out
//! where another does, and otherwise nothing is said.

mod atom;
mod term;
#[cfg(test)]
mod tests;

use cedar_policy::Policy;
use serde_json::Value;

use super::Seen;

/// One thing that would have to be so and is not.
#[derive(Clone, Debug)]
struct Need {
    /// In words of the rule's own language, with what it is now.
    text: String,
    /// How little one can wish for it.
    weight: u32,
    /// The attributes that it is about.
    paths: Vec<String>,
    /// Whether it is that the attribute is there.
    asserts: bool,
    /// Whether the attribute is not there now, so that the rest can't be told without it.
    absent: bool,
}

/// What it takes for an expression to come out as wanted.
#[derive(Clone, Debug)]
enum Change {
    /// Nothing: it does.
    Holds,
    /// All of these.
    Lacks(Vec<Need>),
    /// It can't be told.
    Untold,
}

/// The least that keeps a rule from applying that applies. None where that can't be told.
pub(super) fn to_lift(policy: &Policy, seen: &Seen) -> Option<Vec<String>> {
    let denied = conditions(policy)
        .into_iter()
        .map(|(body, wanted)| change(&body, !wanted, seen));
    told(any(denied))
}

/// The least that a rule lacks to apply. None where that can't be told, or it lacks nothing.
pub(super) fn to_meet(policy: &Policy, seen: &Seen) -> Option<Vec<String>> {
    let met = conditions(policy)
        .into_iter()
        .map(|(body, wanted)| change(&body, wanted, seen));
    told(all(met))
}

/// The bodies of `when`, which have to hold, and of `unless`, which must not.
fn conditions(policy: &Policy) -> Vec<(Value, bool)> {
    let Ok(json) = policy.to_json() else {
        return Vec::new();
    };
    let conditions = json.get("conditions").and_then(Value::as_array);
    let conditions = conditions.into_iter().flatten();
    let part = |condition: &Value| {
        let wanted = condition.get("kind").and_then(Value::as_str) == Some("when");
        Some((condition.get("body")?.clone(), wanted))
    };
    conditions.filter_map(part).collect()
}

fn change(expression: &Value, wanted: bool, seen: &Seen) -> Change {
    let each = |operands: &Value| {
        let sides = ["left", "right"].into_iter();
        let sides = sides.filter_map(|side| operands.get(side));
        let changes = sides.map(|side| change(side, wanted, seen));
        changes.collect::<Vec<_>>()
    };
    if let Some(both) = expression.get("&&") {
        let sides = each(both);
        return if wanted { all(sides) } else { any(sides) };
    }
    if let Some(either) = expression.get("||") {
        let sides = each(either);
        return if wanted { any(sides) } else { all(sides) };
    }
    if let Some(inner) = expression.get("!").and_then(|not| not.get("arg")) {
        return change(inner, !wanted, seen);
    }
    atom::change(expression, wanted, seen).unwrap_or(Change::Untold)
}

/// All of these have to come out.
fn all(changes: impl IntoIterator<Item = Change>) -> Change {
    let mut lacking: Vec<Need> = Vec::new();
    for change in changes {
        match change {
            Change::Holds => {}
            Change::Lacks(needs) => {
                for need in needs {
                    if lacking.iter().all(|one| one.text != need.text) {
                        lacking.push(need);
                    }
                }
            }
            Change::Untold => return Change::Untold,
        }
    }
    if lacking.is_empty() {
        Change::Holds
    } else {
        Change::Lacks(lacking)
    }
}

/// One of these has to come out: of several the one that takes least, and of those alike the first.
fn any(changes: impl IntoIterator<Item = Change>) -> Change {
    let mut least: Option<(u32, Vec<Need>)> = None;
    for change in changes {
        match change {
            Change::Holds => return Change::Holds,
            Change::Lacks(needs) => {
                let weight = needs.iter().map(|need| need.weight).sum();
                if least.as_ref().is_none_or(|(least, _)| weight < *least) {
                    least = Some((weight, needs));
                }
            }
            Change::Untold => {}
        }
    }
    least.map_or(Change::Untold, |(_, needs)| Change::Lacks(needs))
}

/// What is said of a change. Of an attribute that is not there it is said what it would have to be only where it
/// would have to be there; and that it would, only where nothing else says so.
fn told(change: Change) -> Option<Vec<String>> {
    let Change::Lacks(needs) = change else {
        return None;
    };
    let asserted = |path: &String| {
        let mut asserting = needs.iter().filter(|need| need.asserts);
        asserting.any(|need| need.paths.iter().any(|one| is_within(path, one)))
    };
    let absent = needs.iter().filter(|need| need.absent && !need.asserts);
    if !absent.flat_map(|need| &need.paths).all(asserted) {
        return None;
    }
    let implied = |need: &Need| {
        let others = needs.iter().filter(|other| other.absent && !other.asserts);
        let mut paths = others.flat_map(|other| &other.paths);
        need.asserts && paths.any(|path| need.paths.iter().any(|one| is_within(path, one)))
    };
    let told = needs.iter().filter(|need| !implied(need));
    Some(told.map(|need| need.text.clone()).collect())
}

/// Whether a path is another or goes on from it.
fn is_within(path: &str, other: &str) -> bool {
    let rest = path.strip_prefix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
