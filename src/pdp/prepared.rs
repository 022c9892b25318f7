//! Rules as far as they can be told before a call: for one agent and one operation, under one entitlement
//! and in one kind of task, what is left of the slice. Made when a grant's first call of an operation asks
//! for it, kept with the grant, and shared by grants that are alike.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use foldhash::fast::RandomState;
use moka::sync::Cache;

use super::Depends;
use super::catalogue::{KnownAgent, KnownOperation};
use super::index::Slice;
use super::program::{Asked, Fixed, Residual};
use super::reads::Reads;
use crate::model::{AgentId, Ask, EntitlementId, GrantFacts, OperationId, Question, TaskFacts};

/// What all that is shared may weigh together, in bytes, roughly.
const SHARED: u64 = 64 << 20;

/// What one rule weighs, roughly.
const RULE: usize = 256;

/// How many operations' rules are kept in one place. Those of others are looked up among what is shared.
const MOST: usize = 256;

/// Rules kept at hand by what asks them again and again, a live grant or an agent: those of one
/// configuration at a time. Empty until they are asked.
#[derive(Default)]
pub struct Kept(ArcSwapOption<Shelf>);

/// What is kept, of one configuration.
pub(super) struct Shelf {
    /// The number of the policies.
    policies: u64,
    /// In the order of their operations.
    prepared: Vec<Arc<Prepared>>,
}

/// What is left of the rules of one slice.
pub(super) struct Prepared {
    pub(super) agent: Arc<KnownAgent>,
    pub(super) operation: Arc<KnownOperation>,
    pub(super) depends: Depends,
    /// None where a rule of the slice is not compiled.
    pub(super) residual: Option<Residual>,
    key: Key,
}

/// What questions have in common that the same rules are prepared for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    agent: AgentId,
    operation: OperationId,
    /// The grant's; none without one.
    entitlement: Option<EntitlementId>,
    task: Task,
}

/// What is the same of the task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    /// There is none.
    Absent,
    /// Nothing: what has no grant is asked in any task, or in none.
    Any,
    /// There is one, of which no rule reads what never changes.
    Present,
    /// What never changes of it.
    Told {
        depth: i64,
        kind: Box<str>,
        opened_by: Box<str>,
    },
}

impl Task {
    fn of(task: Option<&TaskFacts<'_>>, granted: bool, reads: &Reads) -> Self {
        let Some(task) = task.filter(|_| granted) else {
            return if granted { Self::Absent } else { Self::Any };
        };
        if !reads.lasting_of_task() {
            return Self::Present;
        }
        Self::Told {
            depth: task.depth,
            kind: task.kind.into(),
            opened_by: task.opened_by.into(),
        }
    }

    fn is(&self, task: Option<&TaskFacts<'_>>) -> bool {
        match (self, task) {
            (Self::Any, _) | (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (
                Self::Told {
                    depth,
                    kind,
                    opened_by,
                },
                Some(task),
            ) => task.depth == *depth && task.kind == &**kind && task.opened_by == &**opened_by,
            (Self::Absent, Some(_)) | (Self::Present | Self::Told { .. }, None) => false,
        }
    }
}

/// The parts of a call's question that rules are looked up by.
fn call<'q>(question: &'q Question<'_>) -> Option<(&'q OperationId, Option<&'q GrantFacts<'q>>)> {
    match &question.ask {
        Ask::Call {
            operation, grant, ..
        } => Some((operation, grant.as_ref())),
        Ask::Request { .. } => None,
    }
}

impl Key {
    /// The key of a question whose rules read what the slice's do; none unless it is about a call.
    pub(super) fn of(question: &Question<'_>, reads: &Reads) -> Option<Self> {
        let (operation, grant) = call(question)?;
        Some(Self {
            agent: question.agent.clone(),
            operation: operation.clone(),
            entitlement: grant.map(|grant| grant.entitlement.clone()),
            task: Task::of(question.task.as_ref(), grant.is_some(), reads),
        })
    }
}

impl Prepared {
    /// Prepares the rules of `slice` for questions that have `key` in common with `asked`.
    pub(super) fn new(
        key: Key,
        (agent, operation): (&Arc<KnownAgent>, &Arc<KnownOperation>),
        slice: &Slice,
        asked: &Asked<'_>,
    ) -> Self {
        let fixed = Fixed {
            inputs: &operation.inputs,
            task: key.task != Task::Any,
        };
        let program = slice.program.as_ref();
        Self {
            agent: Arc::clone(agent),
            operation: Arc::clone(operation),
            depends: slice.depends,
            residual: program.map(|program| program.fold(&fixed, asked)),
            key,
        }
    }

    /// Whether they are the rules for a question that may be put to them: that its grant covers it, as theirs
    /// did, and that its inputs are those declared.
    pub(super) fn fit(&self, question: &Question<'_>) -> bool {
        let Ask::Call {
            operation,
            grant,
            input,
            ..
        } = &question.ask
        else {
            return false;
        };
        let key = &self.key;
        let entitlement = grant.as_ref().map(|grant| grant.entitlement);
        key.operation == **operation
            && key.agent == *question.agent
            && key.entitlement.as_ref() == entitlement
            && key.task.is(question.task.as_ref())
            && self.operation.accepts(input)
    }

    fn weight(&self) -> u32 {
        let rules = self.residual.as_ref().map_or(0, Residual::len);
        u32::try_from((rules + 2) * RULE).unwrap_or(u32::MAX)
    }
}

impl Kept {
    pub(super) fn shelf(&self) -> Guard<Option<Arc<Shelf>>> {
        self.0.load()
    }

    /// Keeps rules of the policies of this number beside others of the same, instead of those of another. Of
    /// two at the same time one may be forgotten.
    pub(super) fn keep(&self, policies: u64, prepared: &Arc<Prepared>) {
        let shelf = self.0.load();
        let same = shelf.as_ref().filter(|shelf| shelf.policies == policies);
        let mut list = same.map_or_else(Vec::new, |shelf| {
            let mut list = Vec::with_capacity(shelf.prepared.len() + 1);
            list.extend(shelf.prepared.iter().cloned());
            list
        });
        let place = find(&list, &prepared.key.operation);
        match place {
            Ok(place) => {
                if let Some(held) = list.get_mut(place) {
                    *held = Arc::clone(prepared);
                }
            }
            Err(_) if list.len() >= MOST => return,
            Err(place) => list.insert(place, Arc::clone(prepared)),
        }
        self.0.store(Some(Arc::new(Shelf {
            policies,
            prepared: list,
        })));
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self(ArcSwapOption::new(self.0.load_full()))
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shelf = self.0.load();
        let operations = shelf.as_ref().map_or(0, |shelf| shelf.prepared.len());
        write!(f, "Kept for {operations} operations")
    }
}

impl Shelf {
    /// What is kept of the policies of this number for the question's operation, whoever it is for.
    pub(super) fn get(&self, policies: u64, question: &Question<'_>) -> Option<&Prepared> {
        if self.policies != policies {
            return None;
        }
        let (operation, _) = call(question)?;
        let place = find(&self.prepared, operation).ok()?;
        self.prepared.get(place).map(|prepared| &**prepared)
    }
}

fn find(list: &[Arc<Prepared>], operation: &OperationId) -> Result<usize, usize> {
    // One operation is what most grants are used for.
    if let [only] = list
        && only.key.operation == *operation
    {
        return Ok(0);
    }
    list.binary_search_by(|one| one.key.operation.cmp(operation))
}

/// What is prepared, for all who ask alike: bounded, and safe to lose.
pub(super) struct Shared(Cache<Key, Arc<Prepared>, RandomState>);

impl Shared {
    pub(super) fn new() -> Self {
        let cache = Cache::builder().max_capacity(SHARED);
        let cache = cache.weigher(|_, prepared: &Arc<Prepared>| prepared.weight());
        Self(cache.build_with_hasher(RandomState::default()))
    }

    pub(super) fn get(&self, key: Key, prepare: impl FnOnce(Key) -> Prepared) -> Arc<Prepared> {
        self.0.get(&key).unwrap_or_else(|| {
            let prepared = Arc::new(prepare(key.clone()));
            self.0.insert(key, Arc::clone(&prepared));
            prepared
        })
    }
}
