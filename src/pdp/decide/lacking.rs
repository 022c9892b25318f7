//! What a question lacks that the rules have decided against.

use std::sync::Arc;

use cedar_policy::Policy;

use super::number;
use crate::model::{Ask, Question};
use crate::pdp::index::Slice;
use crate::pdp::needs;
use crate::pdp::seen::Seen;
use crate::pdp::{Effect, Policies, Rule};

impl Policies {
    /// The least that would have to be otherwise of what was read for these rules, which decided against a question,
    /// not to stand in its way; where there is none, of what the permit lacks that comes closest.
    #[must_use]
    pub fn needs(&self, question: &Question<'_>, rules: &[Arc<str>], seen: &Seen) -> Vec<String> {
        let Ok((agent, target)) = self.admit(question) else {
            return Vec::new();
        };
        let slice = self.index.slice(agent, target);
        if !rules.is_empty() {
            return self.to_lift(&slice, rules, seen);
        }
        let permits = self.of_effect(&slice, Effect::Permit);
        let lacking = permits.filter_map(|(policy, rule)| {
            let lacks = needs::to_meet(policy, seen)?;
            Some((lacks.len(), &rule.id, lacks))
        });
        let nearest = lacking.min_by(|one, other| (one.0, one.1).cmp(&(other.0, other.1)));
        nearest.map(|(_, _, lacks)| lacks).unwrap_or_default()
    }

    /// The least that would have to be otherwise of what these rules read of a grant at rest for them to let it go.
    /// The question is about a call, of which they read nothing.
    #[must_use]
    pub fn needs_at_rest(&self, question: &Question<'_>, rules: &[Arc<str>]) -> Vec<String> {
        let Ask::Call { operation, .. } = &question.ask else {
            return Vec::new();
        };
        let slice = self.call_slice(question.agent, operation);
        let needs =
            slice.map(|(_, _, slice)| self.to_lift(&slice, rules, &self.turning_reads(question)));
        needs.unwrap_or_default()
    }

    /// One least change for each of these forbids, those that are the same once.
    fn to_lift(&self, slice: &Slice, rules: &[Arc<str>], seen: &Seen) -> Vec<String> {
        let forbids = self.of_effect(slice, Effect::Forbid);
        let deciding = forbids.filter(|(_, rule)| rules.contains(&rule.id));
        let lifting = deciding.filter_map(|(policy, _)| needs::to_lift(policy, seen));
        let mut lifting: Vec<String> = lifting.flatten().collect();
        lifting.sort_unstable();
        lifting.dedup();
        lifting
    }

    fn of_effect<'s>(
        &'s self,
        slice: &'s Slice,
        effect: Effect,
    ) -> impl Iterator<Item = (&'s Policy, &'s Rule)> {
        let all = slice.policies().policies();
        let all = all.filter_map(|policy| Some((policy, self.rules.get(number(policy.id())?)?)));
        all.filter(move |(_, rule)| rule.effect == effect)
    }
}
