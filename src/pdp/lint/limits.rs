//! Rules that differ in a number alone: of those that limit the same attribute, say the same and want the same
//! besides, the one that takes in most.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::base::Digest;
use crate::pdp::Rule;
use crate::pdp::limit::Numbers;

use super::scope::{Part, Scopes};
use super::{Key, Kind, Written};

/// All such rules, the widest of each kind and scope.
#[derive(Debug, Default)]
pub(super) struct Limits<'r> {
    widest: HashMap<Place<'r>, Widest, RandomState>,
    /// How many there are that differ in the number and the scope alone.
    alike: HashMap<Alike<'r>, usize, RandomState>,
    /// What they limit and want besides, as numbers.
    besides: HashMap<Digest, u32, RandomState>,
}

/// All that two rules have to have in common but their scope and the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Alike<'r> {
    /// Its `conditions` are all but the number.
    kind: Kind,
    message: Option<&'r str>,
}

/// The same with one scope.
type Place<'r> = (Key, Option<&'r str>);

/// The rule that takes in most from some number on, and the one up to some number; of several alike the first.
#[derive(Clone, Copy, Debug, Default)]
struct Widest {
    from: Option<(i128, usize)>,
    up_to: Option<(i128, usize)>,
}

/// One rule that limits a number, among the others.
#[derive(Debug)]
pub(super) struct Limiting<'l> {
    limits: &'l Limits<'l>,
    alike: Alike<'l>,
    numbers: Numbers,
}

impl<'r> Limits<'r> {
    /// Takes in a rule, if it is such a one.
    pub(super) fn enter(
        &mut self,
        (rule, written): (&'r Rule, &Written),
        kind: Kind,
        scopes: &Scopes,
        number: usize,
    ) {
        let Some(limit) = written.limit else {
            return;
        };
        let next = u32::try_from(self.besides.len() + 1).unwrap_or(u32::MAX);
        let conditions = *self.besides.entry(limit.of).or_insert(next);
        let alike = Alike {
            kind: Kind { conditions, ..kind },
            message: rule.message.as_deref(),
        };
        *self.alike.entry(alike).or_default() += 1;
        for part in &scopes.parts {
            let place = alike.at(scopes.principal, *part);
            self.widest
                .entry(place)
                .or_default()
                .enter(limit.numbers, number);
        }
    }

    /// The rule, if it is such a one and not the only one that is alike.
    pub(super) fn of<'l>(
        &'l self,
        (rule, written): (&'l Rule, &Written),
        kind: Kind,
    ) -> Option<Limiting<'l>> {
        let limit = written.limit?;
        let conditions = *self.besides.get(&limit.of)?;
        let alike = Alike {
            kind: Kind { conditions, ..kind },
            message: rule.message.as_deref(),
        };
        (*self.alike.get(&alike)? > 1).then_some(Limiting {
            limits: self,
            alike,
            numbers: limit.numbers,
        })
    }
}

impl<'r> Alike<'r> {
    const fn at(self, principal: u32, part: Part) -> Place<'r> {
        (self.kind.key(principal, part), self.message)
    }
}

impl Widest {
    fn enter(&mut self, numbers: Numbers, number: usize) {
        let Numbers { low, high } = numbers;
        if high == Numbers::ALL.high && self.from.is_none_or(|(from, _)| low < from) {
            self.from = Some((low, number));
        }
        if low == Numbers::ALL.low && self.up_to.is_none_or(|(to, _)| high > to) {
            self.up_to = Some((high, number));
        }
    }
}

impl Limiting<'_> {
    /// Another rule for this scope that takes in all of the numbers.
    pub(super) fn wider(&self, principal: u32, part: Part, own: usize) -> Option<usize> {
        let widest = self.limits.widest.get(&self.alike.at(principal, part))?;
        let from = widest.from.filter(|(low, _)| *low <= self.numbers.low);
        let up_to = widest.up_to.filter(|(high, _)| *high >= self.numbers.high);
        let mut found = [from, up_to].into_iter().flatten();
        let found = found.find(|(_, number)| *number != own);
        found.map(|(_, number)| number)
    }
}
