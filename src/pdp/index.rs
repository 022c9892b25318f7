//! Which rules can apply to whom: indexed by what their scopes name.
//!
//! A slice holds the rules for agents of one kind and one target; agents are of one kind where the
//! scopes of all rules take them in alike. It is made when it is first asked for, by a handful of
//! look-ups whose number depends on groups, not on rules, and kept in a bounded cache that is safe to
//! lose.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    ResourceConstraint,
};
use foldhash::fast::RandomState;
use jiff::Timestamp;
use moka::sync::Cache;

use super::catalogue::{KnownAgent, Target};
use super::check::Draft;
use super::program::{Conditions, Program, Uncovered};
use super::reads::Reads;
use super::{Depends, Effect, Pace, Until};
use crate::base::Digest;

/// What all cached slices may weigh together, in bytes, roughly.
const CACHED: u64 = 64 << 20;

/// What one policy in a slice weighs, roughly: its text and its place in the set.
const POLICY: u32 = 2 << 10;

/// All policies, by scope.
pub(super) struct Index {
    policies: Vec<Arc<Draft>>,
    /// By what the scope names of the principal and of the action; none for no constraint.
    scopes: HashMap<(Option<EntityUid>, Option<EntityUid>), Vec<usize>, RandomState>,
    slices: Cache<(u32, u32), Arc<Slice>, RandomState>,
}

impl Draft {
    /// The rule as one that grants at rest are asked about: a forbid with `@on_change` that reads nothing
    /// of a call, as far as that can be told.
    fn turning(&self, rule: usize) -> Option<Turning> {
        if !self.turns() {
            return None;
        }
        let way = self.conditions().map_or_else(
            |_| Way::Interpreted(Box::new(Alone::new(self))),
            |conditions| Way::Compiled(Arc::clone(conditions)),
        );
        Some(Turning { rule, way })
    }

    fn turns(&self) -> bool {
        let of_calls = self.reads.are_told() && self.reads.of_calls().is_some();
        self.annotations.on_change.is_some() && !of_calls
    }

    /// Whether the scope takes in this target, whoever asks.
    fn concerns(&self, target: &Target) -> bool {
        let action = match &self.scope.action {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => *uid == target.action,
            ActionConstraint::In(uids) => uids.iter().any(|uid| target.anchors.contains(uid)),
        };
        let resource = match &self.scope.resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => *uid == target.resource,
            ResourceConstraint::Is(name) => is(&target.resource, name),
            ResourceConstraint::IsIn(name, uid) => {
                is(&target.resource, name) && *uid == target.resource
            }
        };
        action && resource
    }

    /// Whether the scope takes in agents of this kind and this target.
    fn is_in_scope(&self, agent: &KnownAgent, target: &Target) -> bool {
        let principal = match &self.scope.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(uid) => *uid == agent.uid,
            PrincipalConstraint::In(uid) => agent.anchors.contains(uid),
            PrincipalConstraint::Is(name) => is(&agent.uid, name),
            PrincipalConstraint::IsIn(name, uid) => {
                is(&agent.uid, name) && agent.anchors.contains(uid)
            }
        };
        principal && self.concerns(target)
    }
}

/// A rule that grants at rest are asked about.
#[derive(Debug)]
pub(super) struct Turning {
    /// Its number.
    pub(super) rule: usize,
    pub(super) way: Way,
}

/// How such a rule is asked.
#[derive(Debug)]
pub(super) enum Way {
    Compiled(Arc<Conditions>),
    /// Of Cedar, because it uses what is not compiled.
    Interpreted(Box<Alone>),
}

/// One rule by itself, for Cedar.
#[derive(Debug)]
pub(super) struct Alone {
    pub(super) policies: PolicySet,
    pub(super) reads: Reads,
}

impl Alone {
    fn new(draft: &Draft) -> Self {
        let mut policies = PolicySet::new();
        // Fails only for an id that is there already.
        let _ = policies.add(draft.policy.clone());
        let reads = draft.reads.clone();
        Self { policies, reads }
    }

    /// How long its answer stands while nothing but the time changes: it is not known when the time will
    /// turn it, so until it is read otherwise.
    pub(super) fn until(&self, now: Timestamp) -> Until {
        match self.reads.depends().pace {
            None => Until::EVER,
            Some(Pace::Minute) => {
                let minute = now.as_second().div_euclid(60) + 1;
                Until::at(minute.saturating_mul(60_000))
            }
            Some(Pace::Second) => Until::NOW,
        }
    }
}

fn is(uid: &EntityUid, name: &EntityTypeName) -> bool {
    uid.type_name() == name
}

/// The rules that can apply to agents of one kind and one target.
#[derive(Debug)]
pub(super) struct Slice {
    /// By their numbers.
    members: Vec<(usize, Arc<Draft>)>,
    /// The same for Cedar, each called by its number; made when it is first asked.
    policies: OnceLock<PolicySet>,
    /// What any of them reads.
    pub(super) reads: Reads,
    /// What of their answers can change while nobody asks.
    pub(super) depends: Depends,
    /// The forbids that say what becomes of grants when they turn against them.
    pub(super) turning: Vec<Turning>,
    /// What those read.
    turning_reads: Reads,
    /// A digest of their statements.
    turning_digest: Digest,
    /// The same rules, compiled; none where one of them uses what is not compiled.
    pub(super) program: Option<Program>,
    weight: u32,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index of {} policies", self.policies.len())
    }
}

impl Slice {
    /// What the forbids read that say what becomes of grants.
    pub(super) const fn turning_reads(&self) -> &Reads {
        &self.turning_reads
    }
}

impl Index {
    /// Whether the rule of this number is about a target, whoever asks.
    pub(super) fn concerns(&self, rule: usize, target: &Target) -> bool {
        let rule = self.policies.get(rule);
        rule.is_some_and(|draft| draft.concerns(target))
    }

    /// Indexes policies. Each one's place is its number.
    pub(super) fn new(policies: Vec<Arc<Draft>>) -> Self {
        let mut index = Self {
            policies: Vec::new(),
            scopes: HashMap::default(),
            slices: Cache::builder()
                .max_capacity(CACHED)
                .weigher(|_, slice: &Arc<Slice>| slice.weight)
                .build_with_hasher(RandomState::default()),
        };
        for (number, policy) in policies.iter().enumerate() {
            let scope = &policy.scope;
            index.enter(number, scope.principal_named(), &scope.action);
        }
        index.policies = policies;
        index
    }

    /// What the scopes of rules name of principals.
    pub(super) fn principals(&self) -> HashSet<&EntityUid> {
        let scopes = self.scopes.keys();
        scopes.filter_map(|(uid, _)| uid.as_ref()).collect()
    }

    fn enter(&mut self, number: usize, principal: Option<&EntityUid>, action: &ActionConstraint) {
        let mut under = |action: Option<EntityUid>| {
            let scope = (principal.cloned(), action);
            self.scopes.entry(scope).or_default().push(number);
        };
        match action {
            ActionConstraint::Any => under(None),
            ActionConstraint::Eq(uid) => under(Some(uid.clone())),
            ActionConstraint::In(uids) => uids.iter().for_each(|uid| under(Some(uid.clone()))),
        }
    }

    /// What all rules together read.
    pub(super) fn all_reads(&self) -> Reads {
        let mut all = Reads::default();
        for indexed in &self.policies {
            all.join(&indexed.reads);
        }
        all
    }

    /// Whether any rule is one that grants at rest are asked about.
    pub(super) fn has_turning(&self) -> bool {
        self.policies.iter().any(|one| one.turns())
    }

    /// The rules that can apply when this agent asks for this target.
    pub(super) fn slice(&self, agent: &KnownAgent, target: &Target) -> Arc<Slice> {
        let key = (agent.kind, target.number);
        self.slices.get(&key).unwrap_or_else(|| {
            let slice = Arc::new(self.cut(agent, target));
            self.slices.insert(key, Arc::clone(&slice));
            slice
        })
    }

    /// The rules whose scopes name this agent or any, and this action or any, in the order of the files.
    fn named(
        &self,
        agent: &KnownAgent,
        target: &Target,
    ) -> impl Iterator<Item = (usize, &Arc<Draft>)> {
        let mut numbers: BTreeSet<usize> = BTreeSet::new();
        let named = |uids: &[EntityUid]| {
            let uids = uids.iter().cloned().map(Some);
            uids.chain([None]).collect::<Vec<_>>()
        };
        let actions = named(&target.anchors);
        for principal in named(&agent.anchors) {
            for action in &actions {
                let scope = (principal.clone(), action.clone());
                numbers.extend(self.scopes.get(&scope).into_iter().flatten().copied());
            }
        }
        let numbers = numbers.into_iter();
        numbers.filter_map(|number| Some((number, self.policies.get(number)?)))
    }

    fn cut(&self, agent: &KnownAgent, target: &Target) -> Slice {
        let mut slice = Slice {
            members: Vec::new(),
            policies: OnceLock::new(),
            reads: Reads::default(),
            depends: Depends::default(),
            turning: Vec::new(),
            turning_reads: Reads::default(),
            turning_digest: Digest::ZERO,
            program: Some(Program::default()),
            weight: POLICY,
        };
        for (number, indexed) in self.named(agent, target) {
            let named = indexed.scope.resource_named();
            if named.is_none_or(|one| *one == target.resource) {
                slice.members.push((number, Arc::clone(indexed)));
                slice.reads.join(&indexed.reads);
                slice.weight = slice.weight.saturating_add(POLICY);
                if indexed.is_in_scope(agent, target) {
                    slice.compile(number, indexed);
                    if let Some(turning) = indexed.turning(number) {
                        if matches!(turning.way, Way::Interpreted(_)) {
                            slice.weight = slice.weight.saturating_add(POLICY);
                        }
                        slice.turning.push(turning);
                        slice.turning_reads.join(&indexed.reads);
                        let (all, one) = (slice.turning_digest.as_bytes(), indexed.digest());
                        slice.turning_digest = Digest::of_parts(&[all, one.as_bytes()]);
                    }
                }
            }
        }
        slice.depends = slice.reads.depends();
        slice
    }

    /// The rules that forbid an agent a target whatever the circumstances, in the order of the files; none in the
    /// list where no rule permits it, either. Nothing where it may be allowed.
    pub(super) fn shut(&self, agent: &KnownAgent, target: &Target) -> Option<Vec<usize>> {
        let (mut permits, mut forbidding) = (false, Vec::new());
        // No slice is made for it: nobody may ever ask for one, and rules are compiled for those.
        let applying = self.named(agent, target);
        for (number, draft) in applying.filter(|(_, draft)| draft.is_in_scope(agent, target)) {
            match draft.effect {
                Effect::Forbid if draft.clauses.conditions.is_none() => forbidding.push(number),
                Effect::Forbid => {}
                Effect::Permit => permits = true,
            }
        }
        (!forbidding.is_empty() || !permits).then_some(forbidding)
    }

    /// The rules that are not compiled, and what each uses that isn't.
    pub(super) fn uncovered(&self) -> impl Iterator<Item = (usize, &Uncovered)> {
        let policies = self.policies.iter().enumerate();
        policies.filter_map(|(number, one)| Some((number, one.conditions().err()?)))
    }

    /// What permits that can apply to an action for somebody name of resources; none where one of them takes
    /// in every resource. `anchors` take in the action, `principals` somebody.
    pub(super) fn permitted(
        &self,
        anchors: &[EntityUid],
        principals: &HashSet<&EntityUid>,
    ) -> Option<HashSet<&EntityUid>> {
        let mut named = HashSet::new();
        for policy in &self.policies {
            let applies = match &policy.scope.action {
                ActionConstraint::Any => true,
                ActionConstraint::Eq(uid) => anchors.contains(uid),
                ActionConstraint::In(uids) => uids.iter().any(|uid| anchors.contains(uid)),
            };
            let somebody = policy.scope.principal_named();
            let somebody = somebody.is_none_or(|uid| principals.contains(uid));
            if policy.effect == Effect::Permit && applies && somebody {
                named.insert(policy.scope.resource_named()?);
            }
        }
        Some(named)
    }

    /// Every policy, for the comparison with Cedar's own authorizer.
    #[cfg(test)]
    pub(super) fn whole(&self) -> PolicySet {
        PolicySet::from_policies(self.policies.iter().enumerate().map(numbered)).unwrap()
    }
}

impl Slice {
    /// Whether one of the rules permits anything.
    pub(super) fn permits(&self) -> bool {
        let mut members = self.members.iter();
        members.any(|(_, policy)| policy.effect == Effect::Permit)
    }

    /// The rules for Cedar, each called by its number.
    pub(super) fn policies(&self) -> &PolicySet {
        self.policies.get_or_init(|| {
            let mut policies = PolicySet::new();
            for (number, policy) in &self.members {
                // Fails only for an id that is there already, and numbers are taken once.
                let _ = policies.add(numbered((*number, policy)));
            }
            policies
        })
    }

    /// What the answers of the rules that grants at rest are asked about depend on, and a digest of the rules;
    /// none where there is no such rule.
    pub(super) fn watched(&self) -> Option<(Depends, &Digest)> {
        let any = !self.turning.is_empty();
        any.then(|| (self.turning_reads.depends(), &self.turning_digest))
    }

    /// Adds a rule to the program, or gives the program up.
    fn compile(&mut self, number: usize, indexed: &Draft) {
        let compiled = (self.program.take(), indexed.conditions());
        if let (Some(mut program), Ok(conditions)) = compiled {
            program.add(number, indexed.effect, Arc::clone(conditions));
            self.program = Some(program);
        }
    }
}

/// A rule as Cedar is asked about it.
fn numbered((number, draft): (usize, &Arc<Draft>)) -> Policy {
    draft.policy.new_id(PolicyId::new(number.to_string()))
}
