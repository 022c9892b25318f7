//! The nouns that rules speak of, and what is prepared of them: Cedar's entities, and for each noun
//! the scopes that take it in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid};
use foldhash::fast::RandomState;

use crate::base::ErrorChain;
use crate::model::{
    Agent, AgentId, Entitlement, EntitlementId, InputKind, Operation, OperationId, Service,
};

use super::history::Groups;
use super::problem::{Problem, Severity, did_you_mean};
use super::reads::Reads;
use super::schema::{self, REQUEST};

/// The nouns that rules speak of.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue<'a> {
    /// Every enrolled agent.
    pub agents: &'a [Agent],
    /// Every protected service.
    pub services: &'a [Service],
    /// Every operation.
    pub operations: &'a [Operation],
    /// Every entitlement.
    pub entitlements: &'a [Entitlement],
}

/// The catalogue, prepared for questions.
#[derive(Debug)]
pub(super) struct Directory {
    agents: HashMap<AgentId, Arc<KnownAgent>, RandomState>,
    operations: HashMap<OperationId, Arc<KnownOperation>, RandomState>,
    entitlements: HashMap<EntitlementId, Target, RandomState>,
    groups: Groups,
    /// Agents with their groups, actions with theirs.
    pub(super) entities: Entities,
}

/// An agent as rules see it.
#[derive(Debug)]
pub(super) struct KnownAgent {
    pub(super) uid: EntityUid,
    /// The same number for agents that the scopes of all rules take in alike.
    pub(super) kind: u32,
    /// What scopes name that take it in: itself and its groups, as far as any rule names them.
    pub(super) anchors: Vec<EntityUid>,
    /// Itself and all its groups, named or not.
    pub(super) lineage: Box<[EntityUid]>,
}

/// What is asked for, as rules see it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) number: u32,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    /// What a scope can name to take the action in: itself and its groups.
    pub(super) anchors: Vec<EntityUid>,
}

/// An operation, with what has to hold before any rule is read.
#[derive(Debug)]
pub(super) struct KnownOperation {
    pub(super) target: Target,
    pub(super) baseline: bool,
    pub(super) inputs: BTreeMap<Arc<str>, InputKind>,
    /// Whether any rule reads what was called of it, or of a group that it is in.
    pub(super) history_is_read: bool,
    /// The entitlements whose grants cover it.
    pub(super) covered_by: BTreeSet<EntitlementId>,
}

impl Directory {
    /// Whether there is any agent.
    pub(super) fn has_agents(&self) -> bool {
        !self.agents.is_empty()
    }

    /// Prepares a catalogue whose names don't collide, given what rules' scopes name of principals, and what rules
    /// read.
    pub(super) fn new(
        catalogue: &Catalogue<'_>,
        groups: Groups,
        named: &HashSet<&EntityUid>,
        reads: &Reads,
    ) -> Result<Self, Problem> {
        let mut entities: Vec<Entity> = Vec::new();
        let agents = agents(catalogue, named, &mut entities);
        let mut operations =
            HashMap::with_capacity_and_hasher(catalogue.operations.len(), RandomState::default());
        for (number, operation) in (0..).zip(catalogue.operations) {
            let action = action(operation.id.as_str());
            let parents = schema::parents(operation);
            let parents = parents.iter().map(|one| self::action(one));
            let anchors = add(&mut entities, &action, parents);
            let resource = uid("Service", operation.service.as_str());
            let target = Target {
                number,
                action,
                resource,
                anchors,
            };
            operations.insert(
                operation.id.clone(),
                Arc::new(KnownOperation::new(operation, target, catalogue, reads)),
            );
        }
        let first = u32::try_from(operations.len()).unwrap_or(u32::MAX);
        let entitlements = (first..).zip(catalogue.entitlements);
        let entitlements = entitlements.map(|(number, one)| {
            let action = action(REQUEST);
            let target = Target {
                number,
                anchors: vec![action.clone()],
                action,
                resource: uid("Entitlement", one.id.as_str()),
            };
            (one.id.clone(), target)
        });
        let entitlements = entitlements.collect();
        let entities = Entities::from_entities(entities, None)
            .map_err(|error| Problem::of_names(ErrorChain(&error).to_string(), None))?;
        Ok(Self {
            agents,
            operations,
            entitlements,
            groups,
            entities,
        })
    }

    pub(super) fn agent(&self, id: &AgentId) -> Option<&Arc<KnownAgent>> {
        self.agents.get(id)
    }

    /// What scopes name that takes in any agent at all.
    pub(super) fn anchors(&self) -> HashSet<&EntityUid> {
        let agents = self.agents.values();
        agents.flat_map(|agent| &agent.anchors).collect()
    }

    /// Every entitlement, in no order.
    pub(super) fn entitlements(&self) -> impl Iterator<Item = (&EntitlementId, &Target)> {
        self.entitlements.iter()
    }

    pub(super) fn operation(&self, id: &OperationId) -> Option<&Arc<KnownOperation>> {
        self.operations.get(id)
    }

    pub(super) const fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(super) fn operation_named(&self, name: &str) -> Option<(&OperationId, &KnownOperation)> {
        let (id, operation) = self.operations.get_key_value(name)?;
        Some((id, operation))
    }

    pub(super) fn operations(&self) -> impl Iterator<Item = (&OperationId, &KnownOperation)> {
        self.operations
            .iter()
            .map(|(id, operation)| (id, &**operation))
    }

    pub(super) fn entitlement(&self, id: &EntitlementId) -> Option<&Target> {
        self.entitlements.get(id)
    }
}

impl KnownOperation {
    fn new(
        operation: &Operation,
        target: Target,
        catalogue: &Catalogue<'_>,
        reads: &Reads,
    ) -> Self {
        let mut names = target.anchors.iter().map(|one| one.id().unescaped());
        let inputs = operation.inputs.iter();
        let covering = catalogue.entitlements.iter();
        let covering = covering.filter(|one| one.operations.contains(&operation.id));
        Self {
            history_is_read: names.any(|name| reads.history_of(name)),
            target,
            baseline: operation.baseline,
            inputs: inputs
                .map(|(name, input)| (Arc::clone(name), input.kind))
                .collect(),
            covered_by: covering.map(|one| one.id.clone()).collect(),
        }
    }
}

fn agents(
    catalogue: &Catalogue<'_>,
    named: &HashSet<&EntityUid>,
    entities: &mut Vec<Entity>,
) -> HashMap<AgentId, Arc<KnownAgent>, RandomState> {
    let mut kinds: HashMap<Vec<EntityUid>, u32> = HashMap::new();
    let mut agents = HashMap::default();
    for agent in catalogue.agents {
        let uid = uid("Agent", agent.id.as_str());
        let groups = agent.groups.iter();
        let groups = groups.map(|one| self::uid("AgentGroup", one.as_str()));
        let mut anchors = add(entities, &uid, groups);
        let lineage = anchors.clone().into_boxed_slice();
        anchors.retain(|anchor| named.contains(anchor));
        let next = u32::try_from(kinds.len()).unwrap_or(u32::MAX);
        let kind = *kinds.entry(anchors.clone()).or_insert(next);
        let known = KnownAgent {
            uid,
            kind,
            anchors,
            lineage,
        };
        agents.insert(agent.id.clone(), Arc::new(known));
    }
    agents
}

/// Adds an entity with its groups; returns all that a scope can name to take it in.
fn add(
    entities: &mut Vec<Entity>,
    uid: &EntityUid,
    groups: impl Iterator<Item = EntityUid>,
) -> Vec<EntityUid> {
    let mut anchors = vec![uid.clone()];
    anchors.extend(groups);
    let groups = anchors.iter().skip(1).cloned().collect();
    entities.push(Entity::new_no_attrs(uid.clone(), groups));
    anchors
}

pub(super) fn action(id: &str) -> EntityUid {
    uid("Action", id)
}

/// An entity by the name of its type and its own.
pub(super) fn entity(type_name: &'static str, id: &str) -> EntityUid {
    uid(type_name, id)
}

fn uid(type_name: &'static str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_named(type_name), EntityId::new(id))
}

/// The types of entities that rules speak of, read once: Cedar starts its parser for each that it reads.
static TYPES: LazyLock<[(&str, EntityTypeName); 5]> = LazyLock::new(|| {
    let names = ["Action", "Agent", "AgentGroup", "Entitlement", "Service"];
    names.map(|name| (name, read(name)))
});

/// A type of entities by its name.
pub(super) fn type_named(name: &'static str) -> EntityTypeName {
    let mut known = TYPES.iter();
    let known = known.find(|(known, _)| *known == name);
    known.map_or_else(|| read(name), |(_, known)| known.clone())
}

fn read(type_name: &'static str) -> EntityTypeName {
    #[expect(
        clippy::expect_used,
        reason = "every type name in this room is an identifier"
    )]
    type_name.parse().expect("an identifier")
}

/// The names that rules may use, by entity type.
#[derive(Debug)]
pub(super) struct Names(HashMap<EntityTypeName, (&'static str, BTreeSet<String>)>);

impl Names {
    pub(super) fn of(catalogue: &Catalogue<'_>) -> Self {
        let mut actions: BTreeSet<String> = schema::groups(catalogue).into_iter().collect();
        actions.insert(REQUEST.to_owned());
        actions.extend(catalogue.operations.iter().map(|one| one.id.to_string()));
        let agents = catalogue.agents.iter();
        let groups = agents.clone().flat_map(|one| &one.groups);
        let services = catalogue.services.iter();
        let entitlements = catalogue.entitlements.iter();
        let known = [
            ("Action", "operation, group or service", actions),
            (
                "Agent",
                "agent",
                agents.map(|one| one.id.to_string()).collect(),
            ),
            (
                "AgentGroup",
                "group of agents",
                groups.map(ToString::to_string).collect(),
            ),
            (
                "Entitlement",
                "entitlement",
                entitlements.map(|one| one.id.to_string()).collect(),
            ),
            (
                "Service",
                "service",
                services.map(|one| one.name.to_string()).collect(),
            ),
        ];
        Self(
            known
                .into_iter()
                .map(|(name, kind, ids)| (type_named(name), (kind, ids)))
                .collect(),
        )
    }

    /// What to say of an entity that no file defines. Types that don't exist are the validator's.
    ///
    /// A group of agents is defined by its members, and rules may wait for the first of them: only a
    /// name that looks like another one misspelt is an error.
    pub(super) fn unknown(&self, uid: &EntityUid) -> Option<(Severity, String, Option<String>)> {
        let type_name = uid.type_name();
        let id: &str = uid.id().unescaped();
        let (kind, known) = self.0.get(type_name)?;
        if known.contains(id) {
            return None;
        }
        let hint = did_you_mean(id, known.iter().map(String::as_str));
        if hint.is_none() && *type_name == type_named("AgentGroup") {
            let message = format!("no agent is in the group `{id}`, so this rule applies to none");
            return Some((Severity::Warning, message, None));
        }
        let hint = hint.or_else(|| {
            known
                .is_empty()
                .then(|| format!("no {kind} is defined at all"))
        });
        Some((Severity::Error, format!("there is no {kind} `{id}`"), hint))
    }
}
