//! From a rule to what is left of it once a part of the question is known: what is then constant is
//! worked out, and what is left is put as it is answered fastest. Where a rule would stumble it still
//! does, in the same order.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Conditions;
use super::facts::{Asked, Slot};
use super::node::{Comparison, Node};
use super::value::{Constant, Range};
use crate::model::InputKind;
use crate::pdp::fact::Fact;

/// What of a call's question is the same each time that it is put, beside its agent, its operation and
/// whether there is a grant.
#[derive(Clone, Copy, Debug)]
pub(in crate::pdp) struct Fixed<'a> {
    /// The inputs that the operation declares: all are there.
    pub(in crate::pdp) inputs: &'a BTreeMap<Arc<str>, InputKind>,
    /// Whether the task is the same.
    pub(in crate::pdp) task: bool,
}

impl Fixed<'_> {
    fn holds(&self, slot: &Slot) -> bool {
        match slot {
            Slot::GrantEntitlement => true,
            Slot::TaskDepth | Slot::TaskKind | Slot::TaskOpenedBy => self.task,
            _ => false,
        }
    }

    /// Whether a node comes to the same each time.
    fn settles(&self, node: &Node) -> bool {
        match node {
            Node::Constant(_) | Node::In(..) | Node::Is(..) | Node::Party(_) => true,
            Node::Fact(slot) => self.holds(slot),
            Node::Present(fact) => self.task || *fact != Fact::Task,
            Node::PresentPart(slot) => self.holds(slot) || matches!(slot, Slot::Input(_)),
            Node::Between(..) | Node::From(_) | Node::NowBetween(..) | Node::TextIs(..) => false,
            node => node.parts().iter().all(|part| self.settles(part)),
        }
    }
}

impl Conditions {
    /// What is left of them for questions that have in common with `asked` what is fixed; nothing where
    /// they never hold.
    pub(super) fn fold(&self, fixed: &Fixed<'_>, asked: &Asked<'_>) -> Option<Node> {
        let mut left: Vec<Node> = Vec::new();
        for clause in &self.clauses {
            match fold(clause, fixed, asked) {
                Node::Constant(Constant::Bool(true)) => {}
                // What stands before it may stumble yet; what stands after it is never asked.
                never @ Node::Constant(Constant::Bool(false)) => {
                    left.push(never);
                    break;
                }
                clause => left.push(clause),
            }
        }
        if let [Node::Constant(Constant::Bool(false))] = &*left {
            return None;
        }
        let joined = left.into_iter().rev().reduce(|after, one| and(one, after));
        Some(joined.unwrap_or(Node::Constant(Constant::Bool(true))))
    }
}

fn fold(node: &Node, fixed: &Fixed<'_>, asked: &Asked<'_>) -> Node {
    if fixed.settles(node) {
        // One that stumbles is left to do so when it is asked.
        let settled = node.value(asked).map(Constant::of).map(Node::Constant);
        return settled.unwrap_or_else(|_| node.clone());
    }
    let mut folded = node.clone();
    for part in folded.parts_mut() {
        *part = fold(part, fixed, asked);
    }
    match folded {
        Node::And(pair) => {
            let [left, right] = *pair;
            and(left, right)
        }
        Node::Compare(comparison, pair) => compare(comparison, *pair),
        Node::Equal(pair) => equal(*pair),
        Node::Fact(Slot::Input(name)) => {
            let place = fixed.inputs.keys().position(|input| *input == name);
            Node::Fact(place.map_or(Slot::Input(name), Slot::InputAt))
        }
        Node::If(three) => {
            let [condition, then, otherwise] = *three;
            match truth(&condition) {
                Some(true) => then,
                Some(false) => otherwise,
                None => Node::If(Box::new([condition, then, otherwise])),
            }
        }
        Node::InRange(pair) => match *pair {
            [
                Node::Fact(Slot::SourceIp),
                Node::Constant(Constant::Ip(network)),
            ] => Node::From(Range::of(network)),
            pair => Node::InRange(Box::new(pair)),
        },
        Node::Or(pair) => {
            let [left, right] = *pair;
            match (truth(&left), truth(&right)) {
                (Some(true), _) | (None, Some(false)) => left,
                (Some(false), _) => right,
                (None, _) => Node::Or(Box::new([left, right])),
            }
        }
        other => other,
    }
}

const fn truth(node: &Node) -> Option<bool> {
    match node {
        Node::Constant(Constant::Bool(truth)) => Some(*truth),
        _ => None,
    }
}

fn and(left: Node, right: Node) -> Node {
    match (truth(&left), truth(&right)) {
        (Some(false), _) | (None, Some(true)) => return left,
        (Some(true), _) => return right,
        (None, _) => {}
    }
    match (left, right) {
        // The same fact stumbles in both or in none.
        (Node::Between(slot, least, most), Node::Between(other, more, less)) if slot == other => {
            Node::Between(slot, least.max(more), most.min(less))
        }
        (left, right) => Node::And(Box::new([left, right])),
    }
}

/// The numbers that a comparison with a constant on its right takes.
fn bounds(comparison: Comparison, number: i64) -> (i64, i64) {
    const NONE: (i64, i64) = (i64::MAX, i64::MIN);
    match comparison {
        Comparison::Greater => number.checked_add(1).map_or(NONE, |next| (next, i64::MAX)),
        Comparison::GreaterOrEqual => (number, i64::MAX),
        Comparison::Less => number.checked_sub(1).map_or(NONE, |last| (i64::MIN, last)),
        Comparison::LessOrEqual => (i64::MIN, number),
    }
}

/// The fact that a comparison with a constant reads, and the numbers, or the moments, that it takes.
pub(super) fn taken(node: &Node) -> Option<(&Slot, i64, i64)> {
    const fn number(constant: &Constant) -> Option<i64> {
        match constant {
            Constant::Datetime(number) | Constant::Long(number) => Some(*number),
            _ => None,
        }
    }
    let (comparison, pair) = match node {
        Node::Compare(comparison, pair) => (Some(*comparison), pair),
        Node::Equal(pair) => (None, pair),
        _ => return None,
    };
    let (slot, constant, comparison) = match &**pair {
        [Node::Fact(slot), Node::Constant(constant)] => (slot, constant, comparison),
        [Node::Constant(constant), Node::Fact(slot)] => {
            (slot, constant, comparison.map(Comparison::turned))
        }
        _ => return None,
    };
    let number = number(constant)?;
    let (least, most) = comparison.map_or((number, number), |one| bounds(one, number));
    Some((slot, least, most))
}

fn compare(comparison: Comparison, pair: [Node; 2]) -> Node {
    let turned = match pair {
        [fact @ Node::Fact(_), Node::Constant(constant)] => Ok((comparison, fact, constant)),
        [Node::Constant(constant), fact @ Node::Fact(_)] => {
            Ok((comparison.turned(), fact, constant))
        }
        pair => Err(pair),
    };
    match turned {
        Ok((comparison, Node::Fact(Slot::Now), Constant::Datetime(moment))) => {
            let (least, most) = bounds(comparison, moment);
            Node::NowBetween(least, most)
        }
        Ok((comparison, Node::Fact(slot), Constant::Long(number))) => {
            let (least, most) = bounds(comparison, number);
            Node::Between(slot, least, most)
        }
        Ok((comparison, fact, constant)) => {
            Node::Compare(comparison, Box::new([fact, Node::Constant(constant)]))
        }
        Err(pair) => Node::Compare(comparison, Box::new(pair)),
    }
}

fn equal(pair: [Node; 2]) -> Node {
    match pair {
        [
            Node::Fact(Slot::Now),
            Node::Constant(Constant::Datetime(moment)),
        ]
        | [
            Node::Constant(Constant::Datetime(moment)),
            Node::Fact(Slot::Now),
        ] => Node::NowBetween(moment, moment),
        [Node::Fact(slot), Node::Constant(Constant::Long(number))]
        | [Node::Constant(Constant::Long(number)), Node::Fact(slot)] => {
            Node::Between(slot, number, number)
        }
        [Node::Fact(slot), Node::Constant(Constant::Text(text))]
        | [Node::Constant(Constant::Text(text)), Node::Fact(slot)] => Node::TextIs(slot, text),
        pair => Node::Equal(Box::new(pair)),
    }
}
