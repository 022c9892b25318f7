//! Conditions that are put together of no others: comparisons, memberships, ranges of addresses, and whether
//! something is there.

use std::cmp::Ordering;

use serde_json::Value;

use super::term::{Term, dotted, look};
use super::{Change, Need};
use crate::pdp::program::{Network, Pattern};
use crate::pdp::{Seen, reads};

/// Comparisons: as they are written, turned around, and denied.
const COMPARISONS: [(&str, &str, &str); 6] = [
    ("!=", "!=", "=="),
    ("<", ">", ">="),
    ("<=", ">=", ">"),
    ("==", "==", "!="),
    (">", "<", "<="),
    (">=", "<=", "<"),
];

/// How little one can wish for a change: of a value, of a flag, and that something is not known or not there.
const VALUE: u32 = 2;
const FLAG: u32 = 3;
const IGNORANCE: u32 = 5;

/// What it takes for an expression to come out as `wanted`; none where it is nothing of what is told.
pub(super) fn change(expression: &Value, wanted: bool, seen: &Seen) -> Option<Change> {
    if let Some((names, tested)) = reads::path(expression) {
        return if tested {
            Some(presence(&names, wanted, seen))
        } else {
            flag(expression, wanted, seen)
        };
    }
    let (operator, operands) = expression.as_object()?.iter().next()?;
    match operator.as_str() {
        "Value" => (operands.as_bool()? == wanted).then_some(Change::Holds),
        "contains" | "containsAll" | "containsAny" => {
            let left = Term::of(operands.get("left")?, seen)?;
            let right = Term::of(operands.get("right")?, seen)?;
            membership(operator, &left, &right)?.come_out(wanted)
        }
        "isEmpty" => {
            let term = Term::of(operands.get("arg")?, seen)?;
            let holds = match &term.value {
                Some(value) => Some(value.as_array()?.is_empty()),
                None => None,
            };
            let text = format!("{}.isEmpty()", term.text);
            Said { text, term, holds }.come_out(wanted)
        }
        "isInRange" | "isIpv4" | "isIpv6" | "isLoopback" | "isMulticast" => {
            address(operator, operands.as_array()?, seen)?.come_out(wanted)
        }
        "like" => like(operands, seen)?.come_out(wanted),
        _ => compared(operator, operands, wanted, seen),
    }
}

/// A condition with what it is about and whether it holds; none where that is not there.
struct Said {
    text: String,
    term: Term,
    holds: Option<bool>,
}

impl Said {
    fn come_out(self, wanted: bool) -> Option<Change> {
        // That of constants alone nobody can change.
        if self.term.is_constant() {
            return None;
        }
        let not = if wanted { "" } else { "!" };
        let text = format!("{not}{} ({})", self.text, self.term.shown());
        Some(lacking(text, &self.term, self.holds == Some(wanted), VALUE))
    }
}

fn lacking(text: String, term: &Term, holds: bool, weight: u32) -> Change {
    if holds {
        return Change::Holds;
    }
    Change::Lacks(vec![Need {
        text,
        weight,
        paths: term.paths.clone(),
        asserts: false,
        absent: term.value.is_none(),
    }])
}

/// `context has task`.
fn presence(names: &[&str], wanted: bool, seen: &Seen) -> Change {
    let there = look(names, seen).is_some();
    if there == wanted {
        return Change::Holds;
    }
    let Some((last, above)) = names.split_last() else {
        return Change::Untold;
    };
    let last = dotted(&[last]);
    let last = last.strip_prefix("context").unwrap_or(&last);
    let last = last.trim_start_matches(['.', '[']).trim_end_matches(']');
    let text = format!("{} has {last}", dotted(above));
    Change::Lacks(vec![Need {
        text: if wanted { text } else { format!("!({text})") },
        weight: if wanted { VALUE } else { IGNORANCE },
        paths: vec![dotted(names)],
        asserts: wanted,
        absent: !there,
    }])
}

/// An attribute that is true or false by itself.
fn flag(expression: &Value, wanted: bool, seen: &Seen) -> Option<Change> {
    let term = Term::of(expression, seen)?;
    let holds = match &term.value {
        Some(value) => value.as_bool()? == wanted,
        None => false,
    };
    let known = term.text.ends_with(".known");
    let weight = if known && !wanted { IGNORANCE } else { FLAG };
    let text = format!("{} == {wanted} ({})", term.text, term.shown());
    Some(lacking(text, &term, holds, weight))
}

/// A comparison of something read, or of a sum of such, with a constant.
fn compared(operator: &str, operands: &Value, wanted: bool, seen: &Seen) -> Option<Change> {
    let known = COMPARISONS.iter().find(|(one, _, _)| *one == operator)?;
    let left = Term::of(operands.get("left")?, seen)?;
    let right = Term::of(operands.get("right")?, seen)?;
    let (term, constant, operator) = match (left.is_constant(), right.is_constant()) {
        (false, true) => (left, right, known.0),
        (true, false) => (right, left, known.1),
        _ => return None,
    };
    let holds = match (&term.value, &constant.value) {
        (Some(value), Some(constant)) => Some(holds(operator, value, constant)?),
        _ => None,
    };
    let (_, _, denied) = COMPARISONS.iter().find(|(one, _, _)| *one == operator)?;
    let operator = if wanted { operator } else { denied };
    let shown = term.shown();
    let text = format!("{} {operator} {} ({shown})", term.text, constant.text);
    Some(lacking(text, &term, holds == Some(wanted), VALUE))
}

fn holds(operator: &str, value: &Value, constant: &Value) -> Option<bool> {
    let order = order(value, constant)?;
    Some(match operator {
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        "==" => order.is_eq(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
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

/// Whether a set has an element, or those of another.
fn membership(operator: &str, left: &Term, right: &Term) -> Option<Said> {
    let holds = match (&left.value, &right.value) {
        (Some(set), Some(other)) => {
            let set = set.as_array()?;
            Some(match operator {
                "contains" => set.contains(other),
                "containsAll" => other.as_array()?.iter().all(|one| set.contains(one)),
                _ => other.as_array()?.iter().any(|one| set.contains(one)),
            })
        }
        _ => None,
    };
    let text = format!("{}.{operator}({})", left.text, right.text);
    // What is read is what is shown; of two the set.
    let term = if left.is_constant() { right } else { left };
    Some(Said {
        text,
        term: term.clone(),
        holds,
    })
}

/// What an address is, or which range it is in.
fn address(operator: &str, operands: &[Value], seen: &Seen) -> Option<Said> {
    let (term, range) = match operands {
        [one] => (Term::of(one, seen)?, None),
        [one, range] => {
            let range = range.get("ip")?.as_array()?.first()?.get("Value")?;
            (Term::of(one, seen)?, Some(range.as_str()?))
        }
        _ => return None,
    };
    let network = match &term.value {
        Some(value) => Some(Network::read(value.as_str()?)?),
        None => None,
    };
    let within = range.map(Network::read);
    let holds = match network {
        Some(network) => Some(match operator {
            "isInRange" => network.is_in(within??),
            "isIpv4" => network.is_ipv4(),
            "isIpv6" => !network.is_ipv4(),
            "isLoopback" => network.is_loopback(),
            _ => network.is_multicast(),
        }),
        None => None,
    };
    let argument = range.map(|range| format!("ip({})", Value::from(range)));
    let text = format!("{}.{operator}({})", term.text, argument.unwrap_or_default());
    Some(Said { text, term, holds })
}

/// Whether a text is of a pattern.
fn like(operands: &Value, seen: &Seen) -> Option<Said> {
    let term = Term::of(operands.get("left")?, seen)?;
    let (mut elements, mut written) = (Vec::new(), String::new());
    for element in operands.get("pattern")?.as_array()? {
        match element.get("Literal").and_then(Value::as_str) {
            Some(literal) => {
                elements.extend(literal.chars().map(Some));
                written.push_str(&literal.replace('*', "\\*"));
            }
            None => {
                elements.push(None);
                written.push('*');
            }
        }
    }
    let holds = match &term.value {
        Some(value) => Some(Pattern::new(elements.into_iter()).matches(value.as_str()?)),
        None => None,
    };
    let text = format!("{} like \"{written}\"", term.text);
    Some(Said { text, term, holds })
}
