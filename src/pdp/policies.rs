//! Rules that are compiled, and what can be known of them without a question.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{AgentId, Entitlement, EntitlementId, GroupName, OperationId};
use crate::telemetry::Counter;

use super::catalogue::{Directory, KnownOperation};
use super::context::Addresses;
use super::fact::Fact;
use super::index::Index;
use super::prepared::Shared;
use super::reads::Reads;
use super::{Requirement, Rule};

/// The number of the next policies.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Compiled rules: immutable, shared by all who ask.
pub struct Policies {
    /// No other policies of this process have the same.
    pub(super) number: u64,
    pub(super) directory: Directory,
    pub(super) rules: Vec<Rule>,
    pub(super) index: Index,
    /// Of what every question is put together with, what some rule reads.
    wanted: Wanted,
    /// What of the rules that grants at rest are asked about can change.
    turning: bool,
    /// Where the head of each rule stands in its file, in bytes.
    heads: Vec<Range<usize>>,
    /// The entitlements that a rule forbids everyone to ask for, and its number.
    closed: BTreeMap<EntitlementId, usize>,
    pub(super) addresses: Addresses,
    pub(super) shared: Shared,
    /// Counts the questions that only Cedar's own authorizer could answer.
    pub(super) put_to_cedar: Counter,
    schema: String,
}

/// What has come of compiling them.
pub(super) struct Compiled {
    pub(super) directory: Directory,
    pub(super) rules: Vec<Rule>,
    pub(super) index: Index,
    /// What any of them reads.
    pub(super) reads: Reads,
    pub(super) heads: Vec<Range<usize>>,
    pub(super) closed: BTreeMap<EntitlementId, usize>,
    pub(super) put_to_cedar: Counter,
    pub(super) schema: String,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies of {} rules", self.rules.len())
    }
}

/// Signals that are looked up for each question, where some rule reads them.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    country: bool,
    habits: bool,
    risk: bool,
}

impl Wanted {
    fn of(reads: &Reads) -> Self {
        Self {
            country: reads.country(),
            habits: reads.habits(),
            risk: reads.has(Fact::Risk),
        }
    }
}

impl Policies {
    pub(super) fn new(compiled: Compiled) -> Self {
        let Compiled {
            directory,
            rules,
            index,
            reads,
            heads,
            closed,
            put_to_cedar,
            schema,
        } = compiled;
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            directory,
            rules,
            wanted: Wanted::of(&reads),
            turning: index.has_turning(),
            index,
            heads,
            closed,
            addresses: Addresses::new(),
            shared: Shared::new(),
            put_to_cedar,
            schema,
        }
    }

    /// Whether any rule reads what a task has called of `operation`, or of a group that it is in.
    #[must_use]
    pub fn reads_history_of(&self, operation: &OperationId) -> bool {
        let operation = self.directory.operation(operation);
        operation.is_some_and(|one| one.history_is_read)
    }

    /// Whether rules know a group of operations by this name: a declared one, a service or a built-in one.
    #[must_use]
    pub fn has_group(&self, name: &str) -> bool {
        self.directory.groups().get(name).is_some()
    }

    /// Whether any rule says what becomes of grants when it turns against them (`@on_change`).
    #[must_use]
    pub const fn has_turning(&self) -> bool {
        self.turning
    }

    /// Whether any rule reads how risky an agent looks.
    #[must_use]
    pub fn reads_risk(&self) -> bool {
        self.wanted.risk
    }

    /// The entitlements that no rule lets any agent ask for, whatever its conditions. Nothing where there
    /// are no agents: their groups may be filled later.
    #[must_use]
    pub fn out_of_reach(&self) -> BTreeSet<EntitlementId> {
        let mut entitlements = self.directory.entitlements();
        let principals = self.directory.anchors();
        // Asking is one action, whatever is asked for.
        let asking = entitlements.next().map(|(_, target)| &target.anchors);
        let named = asking.and_then(|anchors| self.index.permitted(anchors, &principals));
        let Some(named) = named.filter(|_| self.directory.has_agents()) else {
            return BTreeSet::new();
        };
        let all = self.directory.entitlements();
        let unnamed = all.filter(|(_, target)| !named.contains(&target.resource));
        unnamed.map(|(id, _)| id.clone()).collect()
    }

    /// The rules that want people's agreement: where each one's head stands in its file, in bytes, and the
    /// group that has to agree.
    pub fn approvals(&self) -> impl Iterator<Item = (&Rule, Range<usize>, &GroupName)> {
        approvals(self.rules.iter().zip(&self.heads))
    }

    /// The rules that want people's agreement to calls of an operation that no grant brings it for: where each
    /// one's head stands, the group, and such an operation. A grant brings the agreement of those whom its
    /// entitlement asks, or whom a rule does where that asks nobody.
    #[must_use]
    pub fn agreements_of_no_grant<'p>(
        &'p self,
        entitlements: &'p [Entitlement],
    ) -> Vec<(&'p Rule, Range<usize>, &'p GroupName, &'p OperationId)> {
        let mut covering: HashMap<&OperationId, Vec<&Entitlement>> = HashMap::new();
        for entitlement in entitlements {
            for operation in &entitlement.operations {
                covering.entry(operation).or_default().push(entitlement);
            }
        }
        let mut wanting: HashMap<&GroupName, Vec<usize>> = HashMap::new();
        for (number, rule) in self.rules.iter().enumerate() {
            for group in rule.requires.iter().filter_map(Requirement::approval) {
                wanting.entry(group).or_default().push(number);
            }
        }
        // What rules bring is looked for once for each entitlement and group, however many rules want it.
        let mut by_rule: HashMap<(&EntitlementId, &GroupName), bool> = HashMap::new();
        let mut brings = |entitlement: &'p Entitlement, group: &'p GroupName| {
            if let Some(rule) = &entitlement.approval {
                return rule.group == *group;
            }
            *by_rule.entry((&entitlement.id, group)).or_insert_with(|| {
                let target = self.directory.entitlement(&entitlement.id);
                let mut rules = wanting.get(group).into_iter().flatten();
                target.is_some_and(|target| rules.any(|rule| self.index.concerns(*rule, target)))
            })
        };
        let mut found = Vec::new();
        for (number, (rule, head)) in self.rules.iter().zip(&self.heads).enumerate() {
            for group in rule.requires.iter().filter_map(Requirement::approval) {
                let mut lacks = |(id, operation): &(&OperationId, &KnownOperation)| {
                    !operation.baseline
                        && self.index.concerns(number, &operation.target)
                        && covering
                            .get(id)
                            .is_some_and(|all| !all.iter().any(|one| brings(one, group)))
                };
                if let Some((operation, _)) = self.directory.operations().find(&mut lacks) {
                    found.push((rule, head.clone(), group, operation));
                }
            }
        }
        found
    }

    /// Whether any rule permits an agent to ask for an entitlement, under whichever conditions.
    #[must_use]
    pub fn may_ask(&self, agent: &AgentId, entitlement: &EntitlementId) -> bool {
        let agent = self.directory.agent(agent);
        let target = self.directory.entitlement(entitlement);
        let asked = agent.zip(target);
        asked.is_some_and(|(agent, target)| self.index.slice(agent, target).permits())
    }

    /// The rules that forbid an agent all calls of an operation, whatever the circumstances; none in the list where
    /// no rule permits any, either. Nothing where a call may be allowed.
    #[must_use]
    pub fn shuts(&self, agent: &AgentId, operation: &OperationId) -> Option<Vec<&Rule>> {
        let agent = self.directory.agent(agent);
        let operation = self.directory.operation(operation);
        let shut = match agent.zip(operation) {
            Some((agent, operation)) => self.index.shut(agent, &operation.target)?,
            None => Vec::new(),
        };
        let rules = shut.into_iter().filter_map(|rule| self.rules.get(rule));
        Some(rules.collect())
    }

    /// The rule that forbids everyone to ask for an entitlement, whatever the circumstances.
    #[must_use]
    pub fn closes(&self, entitlement: &str) -> Option<&Rule> {
        self.rules.get(*self.closed.get(entitlement)?)
    }

    /// Whether any rule reads what is usual for an agent, or whether its network is known.
    #[must_use]
    pub fn reads_habits(&self) -> bool {
        self.wanted.habits
    }

    /// Whether any rule reads the country of the source.
    #[must_use]
    pub fn reads_country(&self) -> bool {
        self.wanted.country
    }

    /// Every rule, in the order of the files.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that are not compiled and what each uses that isn't. They are asked of Cedar's own
    /// authorizer, with all rules that apply beside them: the answers are the same, and cost more.
    pub fn interpreted(&self) -> impl Iterator<Item = (&Rule, String)> {
        let uncovered = self.index.uncovered();
        uncovered.filter_map(|(number, what)| Some((self.rules.get(number)?, what.to_string())))
    }

    /// The generated schema in Cedar's own syntax.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

/// Of these rules, those that want people's agreement, one by one for each group that has to agree.
pub(super) fn approvals<'r>(
    rules: impl Iterator<Item = (&'r Rule, &'r Range<usize>)>,
) -> impl Iterator<Item = (&'r Rule, Range<usize>, &'r GroupName)> {
    rules.flat_map(|(rule, head)| {
        let groups = rule.requires.iter().filter_map(Requirement::approval);
        groups.map(move |group| (rule, head.clone(), group))
    })
}
