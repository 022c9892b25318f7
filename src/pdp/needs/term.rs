//! Values: what stands in a rule, what it reads, and sums of both.

use serde_json::{Number, Value};

use crate::pdp::{Seen, reads};

/// A part of a condition that is a value.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// As rules write it.
    pub(super) text: String,
    /// What it came to; none where something that it reads is not there.
    pub(super) value: Option<Value>,
    /// The attributes that it reads.
    pub(super) paths: Vec<String>,
    /// Whether it is put together with an operator.
    compound: bool,
}

impl Term {
    /// The term that an expression is; none where it is none, or its value is too large.
    pub(super) fn of(expression: &Value, seen: &Seen) -> Option<Self> {
        if let Some((names, tested)) = reads::path(expression) {
            return (!tested && !names.is_empty()).then(|| Self::path(&names, seen));
        }
        let (operator, operands) = expression.as_object()?.iter().next()?;
        match operator.as_str() {
            "Set" => Self::set(operands, seen),
            "Value" => Self::constant(operands),
            "neg" => {
                let term = Self::of(operands.get("arg")?, seen)?;
                let minus = |value: &Value| Some(Value::from(value.as_i64()?.checked_neg()?));
                let value = match &term.value {
                    Some(value) => Some(minus(value)?),
                    None => None,
                };
                Some(Self {
                    text: format!("-{}", term.bracketed()),
                    value,
                    paths: term.paths,
                    compound: false,
                })
            }
            "+" | "-" | "*" => {
                let left = Self::of(operands.get("left")?, seen)?;
                let right = Self::of(operands.get("right")?, seen)?;
                Self::calculated(operator, &left, &right)
            }
            _ => None,
        }
    }

    fn path(names: &[&str], seen: &Seen) -> Self {
        let text = dotted(names);
        Self {
            value: look(names, seen).cloned(),
            paths: vec![text.clone()],
            text,
            compound: false,
        }
    }

    fn constant(value: &Value) -> Option<Self> {
        let plain = matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_));
        plain.then(|| Self {
            text: value.to_string(),
            value: Some(value.clone()),
            paths: Vec::new(),
            compound: false,
        })
    }

    fn set(listed: &Value, seen: &Seen) -> Option<Self> {
        let terms = listed.as_array()?.iter();
        let terms: Vec<Self> = terms
            .map(|one| Self::of(one, seen))
            .collect::<Option<_>>()?;
        let texts: Vec<&str> = terms.iter().map(|term| term.text.as_str()).collect();
        Some(Self {
            text: format!("[{}]", texts.join(", ")),
            value: terms.iter().map(|term| term.value.clone()).collect(),
            paths: terms.iter().flat_map(|term| term.paths.clone()).collect(),
            compound: false,
        })
    }

    fn calculated(operator: &str, left: &Self, right: &Self) -> Option<Self> {
        let value = match (&left.value, &right.value) {
            (Some(left), Some(right)) => {
                let (left, right) = (left.as_i64()?, right.as_i64()?);
                let value = match operator {
                    "+" => left.checked_add(right),
                    "-" => left.checked_sub(right),
                    _ => left.checked_mul(right),
                };
                Some(Value::Number(Number::from(value?)))
            }
            _ => None,
        };
        // Only a sum on the left of a sum reads the same without brackets.
        let first = match operator {
            "*" => left.bracketed(),
            _ => left.text.clone(),
        };
        Some(Self {
            text: format!("{first} {operator} {}", right.bracketed()),
            value,
            paths: [left.paths.clone(), right.paths.clone()].concat(),
            compound: true,
        })
    }

    fn bracketed(&self) -> String {
        if self.compound {
            format!("({})", self.text)
        } else {
            self.text.clone()
        }
    }

    /// Whether it is the same whatever is read.
    pub(super) const fn is_constant(&self) -> bool {
        self.paths.is_empty()
    }

    /// What it is now, for people.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Some(value) => format!("is {value}"),
            None => "is missing".to_owned(),
        }
    }
}

/// An attribute below `context`, as rules write it.
pub(super) fn dotted(names: &[&str]) -> String {
    let mut text = "context".to_owned();
    for name in names {
        let mut characters = name.chars();
        let first = characters.next().is_some_and(is_first);
        if first && characters.all(|c| is_first(c) || c.is_ascii_digit()) {
            text.push('.');
            text.push_str(name);
        } else {
            text.push_str(&format!("[{}]", Value::from(*name)));
        }
    }
    text
}

const fn is_first(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

pub(super) fn look<'s>(path: &[&str], seen: &'s Seen) -> Option<&'s Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(seen.get(*first)?, |value, name| value.get(*name))
}
