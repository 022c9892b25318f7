//! Rules compiled: what a rule's conditions say, as a tree over the facts of a question, with nothing
//! looked up by name, parsed or allocated when it is asked.
//!
//! Cedar stays the judge. A rule that uses anything the compiler does not know ([`Uncovered`]) is asked
//! of Cedar's own authorizer, with all rules of its slice; and so is a question on which a compiled rule
//! stumbles ([`Stumbled`]), so that errors are Cedar's, word for word. What is left for the compiler is
//! to give, where it answers at all, the answer that Cedar gives: the property tests of this room hold
//! the two against each other.

mod facts;
mod fold;
mod lower;
mod node;
mod past;
mod pattern;
mod until;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use cedar_policy::Policy;
use smallvec::SmallVec;

pub(super) use facts::Asked;
pub(super) use fold::Fixed;
pub(super) use lower::Uncovered;
use node::Node;
pub(super) use pattern::Pattern;
pub(super) use value::{Network, Stumbled};

use super::Effect;
use super::history::Groups;

/// The conditions of one rule; its scope is the index's.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Each has to hold.
    clauses: Box<[Node]>,
}

impl Conditions {
    /// Compiles the conditions of a policy, given the groups whose history it reads.
    pub(super) fn of(policy: &Policy, groups: &Groups) -> Result<Self, Uncovered> {
        lower::clauses(policy, groups).map(|clauses| Self { clauses })
    }

    /// Whether all conditions hold.
    pub(super) fn hold(&self, asked: &Asked<'_>) -> Result<bool, Stumbled> {
        for clause in &self.clauses {
            if !clause.truth(asked)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The rules of one slice whose scopes take in its agents and its target.
#[derive(Debug, Default)]
pub(super) struct Program {
    forbids: Vec<Entry>,
    permits: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The rule's number.
    rule: usize,
    conditions: Arc<Conditions>,
}

/// The rules that decide a question, in the order of the files: all forbids that hold, or else all
/// permits that do.
#[derive(Debug, Default)]
pub(super) struct Deciding {
    pub(super) forbidden: bool,
    pub(super) rules: SmallVec<[usize; 8]>,
}

impl Program {
    pub(super) fn add(&mut self, rule: usize, effect: Effect, conditions: Arc<Conditions>) {
        let entries = match effect {
            Effect::Forbid => &mut self.forbids,
            Effect::Permit => &mut self.permits,
        };
        entries.push(Entry { rule, conditions });
    }

    /// Asks every rule: one that stumbles matters even where another has decided.
    pub(super) fn run(&self, asked: &Asked<'_>) -> Result<Deciding, Stumbled> {
        let ask = |entry: &Entry| Ok((entry.rule, entry.conditions.hold(asked)?));
        Deciding::by(&self.forbids, &self.permits, ask)
    }

    /// What is left of it for questions that have in common with `asked` what is fixed.
    pub(super) fn fold(&self, fixed: &Fixed<'_>, asked: &Asked<'_>) -> Residual {
        let fold = |entries: &[Entry]| {
            let left = entries.iter().filter_map(|entry| {
                let condition = entry.conditions.fold(fixed, asked)?;
                let rule = entry.rule;
                Some(Left { rule, condition })
            });
            left.collect()
        };
        Residual {
            forbids: fold(&self.forbids),
            permits: fold(&self.permits),
        }
    }
}

/// A program without what is known before the call.
#[derive(Debug)]
pub(super) struct Residual {
    forbids: Box<[Left]>,
    permits: Box<[Left]>,
}

/// What is left of a rule.
#[derive(Debug)]
struct Left {
    /// Its number.
    rule: usize,
    condition: Node,
}

impl Residual {
    /// Asks every rule that is left.
    pub(super) fn run(&self, asked: &Asked<'_>) -> Result<Deciding, Stumbled> {
        let ask = |left: &Left| Ok((left.rule, left.condition.truth(asked)?));
        Deciding::by(&self.forbids, &self.permits, ask)
    }

    /// How many rules are left.
    pub(super) fn len(&self) -> usize {
        self.forbids.len() + self.permits.len()
    }
}

impl Deciding {
    fn by<R>(
        forbids: &[R],
        permits: &[R],
        ask: impl Fn(&R) -> Result<(usize, bool), Stumbled>,
    ) -> Result<Self, Stumbled> {
        let mut deciding = Self::default();
        for rule in forbids {
            let (number, holds) = ask(rule)?;
            if holds {
                deciding.forbidden = true;
                deciding.rules.push(number);
            }
        }
        for rule in permits {
            let (number, holds) = ask(rule)?;
            if holds && !deciding.forbidden {
                deciding.rules.push(number);
            }
        }
        Ok(deciding)
    }
}

/// The entity types that rules speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Action,
    Agent,
    AgentGroup,
    Entitlement,
    Service,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Action" => Self::Action,
            "Agent" => Self::Agent,
            "AgentGroup" => Self::AgentGroup,
            "Entitlement" => Self::Entitlement,
            "Service" => Self::Service,
            _ => return None,
        })
    }
}

/// One of the three entities of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Action,
    Principal,
    Resource,
}
