//! The tree, and what it comes to.

use std::cmp::Ordering;
use std::slice;

use cedar_policy::EntityUid;

use super::super::fact::Fact;
use super::facts::{Asked, Slot};
use super::pattern::Pattern;
use super::value::{Constant, Network, Range, Stumbled, Value};
use super::{Kind, Party};

/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// One part of a condition.
#[derive(Clone, Debug)]
pub(super) enum Node {
    And(Box<[Self; 2]>),
    Arithmetic(Arithmetic, Box<[Self; 2]>),
    /// Whether a number is at least the one and at most the other: what comparisons of a fact and a
    /// constant come to.
    Between(Slot, i64, i64),
    Compare(Comparison, Box<[Self; 2]>),
    Constant(Constant),
    Contains(Box<[Self; 2]>),
    ContainsAll(Box<[Self; 2]>),
    ContainsAny(Box<[Self; 2]>),
    DurationSince(Box<[Self; 2]>),
    Equal(Box<[Self; 2]>),
    Fact(Slot),
    /// Whether the source's address is in a range.
    From(Range),
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
    /// Whether the moment is not before the one and not after the other.
    NowBetween(i64, i64),
    Offset(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    Party(Party),
    /// Whether an attribute of `context` is there.
    Present(Fact),
    /// Whether an attribute of an attribute is there.
    PresentPart(Slot),
    /// Whether a fact is this text.
    TextIs(Slot, Box<str>),
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
    /// The same with its sides changed.
    pub(super) const fn turned(self) -> Self {
        match self {
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
        }
    }

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

/// The parts of a node, borrowed as the node is.
macro_rules! parts {
    ($node:expr, $one:ident $(, $mut:tt)?) => {
        match $node {
            Node::And(pair)
            | Node::Arithmetic(_, pair)
            | Node::Compare(_, pair)
            | Node::Contains(pair)
            | Node::ContainsAll(pair)
            | Node::ContainsAny(pair)
            | Node::DurationSince(pair)
            | Node::Equal(pair)
            | Node::InRange(pair)
            | Node::Offset(pair)
            | Node::Or(pair) => &$($mut)? **pair,
            Node::If(three) => &$($mut)? **three,
            Node::IsEmpty(inner)
            | Node::IsIpv4(inner)
            | Node::IsIpv6(inner)
            | Node::IsLoopback(inner)
            | Node::IsMulticast(inner)
            | Node::Like(inner, _)
            | Node::Negative(inner)
            | Node::Not(inner)
            | Node::ToDate(inner)
            | Node::ToTime(inner)
            | Node::Units(_, inner) => slice::$one(inner),
            Node::Between(..)
            | Node::Constant(_)
            | Node::Fact(_)
            | Node::From(_)
            | Node::In(..)
            | Node::Is(..)
            | Node::NowBetween(..)
            | Node::Party(_)
            | Node::Present(_)
            | Node::PresentPart(_)
            | Node::TextIs(..) => &$($mut)? [],
        }
    };
}

impl Node {
    /// What most of what is left of rules is made of; the rest is apart, so that this stays small.
    pub(super) fn truth(&self, asked: &Asked<'_>) -> Result<bool, Stumbled> {
        Ok(match self {
            Self::And(pair) => {
                let [left, right] = &**pair;
                left.truth(asked)? && right.truth(asked)?
            }
            Self::Between(slot, least, most) => (*least..=*most).contains(&asked.long(slot)?),
            Self::From(range) => range.holds(asked.address()),
            Self::Not(inner) => !inner.truth(asked)?,
            Self::NowBetween(least, most) => (*least..=*most).contains(&asked.now()),
            Self::Or(pair) => {
                let [left, right] = &**pair;
                left.truth(asked)? || right.truth(asked)?
            }
            Self::Present(fact) => asked.has(*fact),
            Self::TextIs(slot, text) => asked.text(slot)? == &**text,
            other => return other.seldom_truth(asked),
        })
    }

    #[inline(never)]
    fn seldom_truth(&self, asked: &Asked<'_>) -> Result<bool, Stumbled> {
        Ok(match self {
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
            Self::Fact(slot) => asked.truth(slot)?,
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
                left.ip(asked)?.is_in(right.ip(asked)?)
            }
            Self::Is(party, kind) => asked.is(*party, *kind),
            Self::IsEmpty(set) => set.value(asked)?.set()?.is_empty(),
            Self::IsIpv4(ip) => ip.ip(asked)?.is_ipv4(),
            Self::IsIpv6(ip) => !ip.ip(asked)?.is_ipv4(),
            Self::IsLoopback(ip) => ip.ip(asked)?.is_loopback(),
            Self::IsMulticast(ip) => ip.ip(asked)?.is_multicast(),
            Self::Like(text, pattern) => pattern.matches(text.text(asked)?),
            Self::PresentPart(slot) => {
                if !asked.has(slot.fact()) {
                    return Err(Stumbled);
                }
                asked.read(slot).is_some()
            }
            Self::Constant(Constant::Bool(truth)) => *truth,
            Self::And(_)
            | Self::Between(..)
            | Self::From(_)
            | Self::Not(_)
            | Self::NowBetween(..)
            | Self::Or(_)
            | Self::Present(_)
            | Self::TextIs(..) => return self.truth(asked),
            Self::Constant(_)
            | Self::Arithmetic(..)
            | Self::DurationSince(_)
            | Self::Negative(_)
            | Self::Offset(_)
            | Self::Party(_)
            | Self::ToDate(_)
            | Self::ToTime(_)
            | Self::Units(..) => self.value(asked)?.truth()?,
        })
    }

    fn ip(&self, asked: &Asked<'_>) -> Result<Network, Stumbled> {
        match self {
            Self::Fact(Slot::SourceIp) => Ok(Network::single(asked.address())),
            other => other.value(asked)?.ip(),
        }
    }

    fn text<'a>(&'a self, asked: &'a Asked<'_>) -> Result<&'a str, Stumbled> {
        match self {
            Self::Fact(slot) => asked.text(slot),
            other => other.value(asked)?.text(),
        }
    }

    pub(super) fn value<'a>(&'a self, asked: &'a Asked<'_>) -> Result<Value<'a>, Stumbled> {
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

    /// What it is made of.
    pub(super) fn parts(&self) -> &[Self] {
        parts!(self, from_ref)
    }

    /// What it is made of, to be replaced.
    pub(super) fn parts_mut(&mut self) -> &mut [Self] {
        parts!(self, from_mut, mut)
    }
}
