//! The tree, and what it comes to.

use std::cmp::Ordering;

use cedar_policy::EntityUid;

use super::super::fact::Fact;
use super::facts::{Asked, Slot};
use super::pattern::Pattern;
use super::value::{Constant, Stumbled, Value};
use super::{Kind, Party};

/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// One part of a condition.
#[derive(Debug)]
pub(super) enum Node {
    And(Box<[Self; 2]>),
    Arithmetic(Arithmetic, Box<[Self; 2]>),
    Compare(Comparison, Box<[Self; 2]>),
    Constant(Constant),
    Contains(Box<[Self; 2]>),
    ContainsAll(Box<[Self; 2]>),
    ContainsAny(Box<[Self; 2]>),
    DurationSince(Box<[Self; 2]>),
    Equal(Box<[Self; 2]>),
    Fact(Slot),
    /// Whether one of the question's entities is one of these, or a member of one.
    In(Party, Box<[EntityUid]>),
    InRange(Box<[Self; 2]>),
    If(Box<[Self; 3]>),
    /// Whether one of the question's entities is of this type.
    Is(Party, Kind),
    IsEmpty(Box<Self>),
    IsIpv4(Box<Self>),
    IsIpv6(Box<Self>),
    IsLoopback(Box<Self>),
    IsMulticast(Box<Self>),
    Like(Box<Self>, Pattern),
    Negative(Box<Self>),
    Not(Box<Self>),
    Offset(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    Party(Party),
    /// Whether an attribute of `context` is there.
    Present(Fact),
    /// Whether an attribute of an attribute is there.
    PresentPart(Slot),
    /// A duration in whole units of so many milliseconds.
    Units(i64, Box<Self>),
    ToDate(Box<Self>),
    ToTime(Box<Self>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Arithmetic {
    Add,
    Multiply,
    Subtract,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    const fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
        }
    }
}

impl Arithmetic {
    fn of(self, left: i64, right: i64) -> Result<i64, Stumbled> {
        let result = match self {
            Self::Add => left.checked_add(right),
            Self::Multiply => left.checked_mul(right),
            Self::Subtract => left.checked_sub(right),
        };
        result.ok_or(Stumbled)
    }
}

impl Node {
    pub(super) fn truth(&self, asked: &Asked<'_>) -> Result<bool, Stumbled> {
        Ok(match self {
            Self::And(pair) => {
                let [left, right] = &**pair;
                left.truth(asked)? && right.truth(asked)?
            }
            Self::Compare(comparison, pair) => {
                let [left, right] = &**pair;
                comparison.accepts(left.value(asked)?.compare(right.value(asked)?)?)
            }
            Self::Contains(pair) => {
                let [left, right] = &**pair;
                left.value(asked)?.set()?.holds(right.value(asked)?)?
            }
            Self::ContainsAll(pair) => {
                let [left, right] = &**pair;
                left.value(asked)?
                    .set()?
                    .holds_all(right.value(asked)?.set()?)?
            }
            Self::ContainsAny(pair) => {
                let [left, right] = &**pair;
                left.value(asked)?
                    .set()?
                    .holds_any(right.value(asked)?.set()?)?
            }
            Self::Equal(pair) => {
                let [left, right] = &**pair;
                left.value(asked)?.equals(right.value(asked)?)?
            }
            Self::If(three) => {
                let [condition, then, otherwise] = &**three;
                let branch = if condition.truth(asked)? {
                    then
                } else {
                    otherwise
                };
                branch.truth(asked)?
            }
            Self::In(party, uids) => uids.iter().any(|uid| asked.is_in(*party, uid)),
            Self::InRange(pair) => {
                let [left, right] = &**pair;
                left.value(asked)?.ip()?.is_in(right.value(asked)?.ip()?)
            }
            Self::Is(party, kind) => asked.is(*party, *kind),
            Self::IsEmpty(set) => set.value(asked)?.set()?.is_empty(),
            Self::IsIpv4(ip) => ip.value(asked)?.ip()?.is_ipv4(),
            Self::IsIpv6(ip) => !ip.value(asked)?.ip()?.is_ipv4(),
            Self::IsLoopback(ip) => ip.value(asked)?.ip()?.is_loopback(),
            Self::IsMulticast(ip) => ip.value(asked)?.ip()?.is_multicast(),
            Self::Like(text, pattern) => pattern.matches(text.value(asked)?.text()?),
            Self::Not(inner) => !inner.truth(asked)?,
            Self::Or(pair) => {
                let [left, right] = &**pair;
                left.truth(asked)? || right.truth(asked)?
            }
            Self::Present(fact) => asked.has(*fact),
            Self::PresentPart(slot) => {
                if !asked.has(slot.fact()) {
                    return Err(Stumbled);
                }
                asked.read(slot).is_some()
            }
            Self::Constant(_)
            | Self::Arithmetic(..)
            | Self::DurationSince(_)
            | Self::Fact(_)
            | Self::Negative(_)
            | Self::Offset(_)
            | Self::Party(_)
            | Self::ToDate(_)
            | Self::ToTime(_)
            | Self::Units(..) => self.value(asked)?.truth()?,
        })
    }

    fn value<'a>(&'a self, asked: &'a Asked<'_>) -> Result<Value<'a>, Stumbled> {
        Ok(match self {
            Self::Arithmetic(operator, pair) => {
                let [left, right] = &**pair;
                let (left, right) = (left.value(asked)?.long()?, right.value(asked)?.long()?);
                Value::Long(operator.of(left, right)?)
            }
            Self::Constant(constant) => constant.value(),
            Self::DurationSince(pair) => {
                let [left, right] = &**pair;
                let (left, right) = (
                    left.value(asked)?.datetime()?,
                    right.value(asked)?.datetime()?,
                );
                Value::Duration(left.checked_sub(right).ok_or(Stumbled)?)
            }
            Self::Fact(slot) => asked.read(slot).ok_or(Stumbled)?,
            Self::If(three) => {
                let [condition, then, otherwise] = &**three;
                let branch = if condition.truth(asked)? {
                    then
                } else {
                    otherwise
                };
                branch.value(asked)?
            }
            Self::Negative(number) => {
                Value::Long(number.value(asked)?.long()?.checked_neg().ok_or(Stumbled)?)
            }
            Self::Offset(pair) => {
                let [moment, span] = &**pair;
                let (moment, span) = (
                    moment.value(asked)?.datetime()?,
                    span.value(asked)?.duration()?,
                );
                Value::Datetime(moment.checked_add(span).ok_or(Stumbled)?)
            }
            Self::Party(party) => Value::Entity(asked.party(*party)),
            Self::ToDate(moment) => {
                let moment = moment.value(asked)?.datetime()?;
                Value::Datetime(moment.checked_sub(moment.rem_euclid(DAY)).ok_or(Stumbled)?)
            }
            Self::ToTime(moment) => {
                Value::Duration(moment.value(asked)?.datetime()?.rem_euclid(DAY))
            }
            Self::Units(unit, span) => Value::Long(
                span.value(asked)?
                    .duration()?
                    .checked_div(*unit)
                    .ok_or(Stumbled)?,
            ),
            _ => Value::Bool(self.truth(asked)?),
        })
    }
}
