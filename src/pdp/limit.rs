//! Rules that limit one number: which numbers their conditions let it be, with all else that they want.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::base::Digest;

use super::clauses::each_that_has_to_hold;
use super::reads;

/// The numbers that a rule lets one attribute be for it to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The same for rules that limit the same attribute and want the same besides.
    pub(super) of: Digest,
    pub(super) numbers: Numbers,
}

/// Whole numbers from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) low: i128,
    pub(super) high: i128,
}

impl Numbers {
    pub(super) const ALL: Self = Self {
        low: i64::MIN as i128,
        high: i64::MAX as i128,
    };

    /// Those that are of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }

    pub(super) const fn is_empty(self) -> bool {
        self.low > self.high
    }

    /// All others, where these are all from one on or up to one.
    fn others(self) -> Option<Self> {
        let Self { low, high } = Self::ALL;
        match self {
            Self {
                low: from,
                high: to,
            } if to == high => Some(Self {
                low,
                high: from - 1,
            }),
            Self {
                low: from,
                high: to,
            } if from == low => Some(Self { low: to + 1, high }),
            Self { .. } => None,
        }
    }
}

impl Limit {
    /// The limit that the conditions of a rule are (Cedar's JSON policy format); none where they compare no
    /// attribute with a number, or several.
    pub(super) fn of(conditions: &[Value]) -> Option<Self> {
        let (mut limits, mut rest) = (BTreeMap::<String, Numbers>::new(), Vec::new());
        let mut take = |path: String, numbers: Numbers| {
            let left = limits.entry(path).or_insert(Numbers::ALL);
            *left = left.and(numbers);
        };
        for condition in conditions {
            let body = condition.get("body")?;
            if condition.get("kind").and_then(Value::as_str) == Some("when") {
                each_that_has_to_hold(body, &mut |atom| match comparison(atom) {
                    Some((path, numbers)) => take(path, numbers),
                    None => rest.push(atom.to_string()),
                });
            } else {
                let denied = comparison(body);
                match denied.and_then(|(path, numbers)| Some((path, numbers.others()?))) {
                    Some((path, numbers)) => take(path, numbers),
                    None => rest.push(condition.to_string()),
                }
            }
        }
        let mut limits = limits.into_iter();
        let (Some((path, numbers)), None) = (limits.next(), limits.next()) else {
            return None;
        };
        // In whatever order they stand: what has to hold has to hold.
        rest.sort_unstable();
        rest.dedup();
        let rest = rest.iter().map(String::as_bytes);
        let parts: Vec<&[u8]> = std::iter::once(path.as_bytes()).chain(rest).collect();
        let of = Digest::of_parts(&parts);
        Some(Self { of, numbers })
    }
}

/// The numbers that a comparison of an attribute with a number lets it be.
pub(super) fn comparison(atom: &Value) -> Option<(String, Numbers)> {
    let (operator, sides) = atom.as_object()?.iter().next()?;
    let (left, right) = (sides.get("left")?, sides.get("right")?);
    let (path, number, turned) = match (attribute(left), attribute(right)) {
        (Some(path), None) => (path, number(right)?, false),
        (None, Some(path)) => (path, number(left)?, true),
        _ => return None,
    };
    let Numbers {
        low: least,
        high: most,
    } = Numbers::ALL;
    let (low, high) = match (operator.as_str(), turned) {
        ("==", _) => (number, number),
        ("<", false) | (">", true) => (least, number - 1),
        ("<=", false) | (">=", true) => (least, number),
        (">", false) | ("<", true) => (number + 1, most),
        (">=", false) | ("<=", true) => (number, most),
        _ => return None,
    };
    Some((path, Numbers { low, high }))
}

/// `context.a.b`, where an expression is that.
fn attribute(expression: &Value) -> Option<String> {
    let (path, tested) = reads::path(expression)?;
    (!tested).then(|| format!("context.{}", path.join(".")))
}

fn number(expression: &Value) -> Option<i128> {
    if let Some(less) = expression.get("neg") {
        return number(less.get("arg")?).map(|number| -number);
    }
    expression.get("Value")?.as_i64().map(i128::from)
}
