//! What scopes name, as numbers, and what takes in what.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{ActionConstraint, EntityTypeName, EntityUid, ResourceConstraint};
use foldhash::fast::RandomState;

use crate::model::{EntitlementId, Operation, OperationId};
use crate::pdp::Catalogue;
use crate::pdp::catalogue::{action, entity, type_named};
use crate::pdp::check::Scope;
use crate::pdp::schema::{self, CALL, REQUEST};

/// Whoever, and whatever.
pub(super) const ANY: u32 = 0;

/// One action of a scope, or one group of actions, with the resource that narrows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    action: u32,
    /// A service under a group that has others too, an entitlement under `request`; else [`ANY`].
    resource: u32,
}

/// The scope of one rule.
#[derive(Debug)]
pub(super) struct Scopes {
    pub(super) principal: u32,
    /// Empty where nothing is in the scope.
    pub(super) parts: Vec<Part>,
}

/// What an action is.
#[derive(Clone, Debug)]
enum Action {
    Group,
    Operation { service: u32, parents: Vec<u32> },
    Request,
}

/// A part of what calls can be, and one entitlement.
type Covered = HashSet<(Part, String), RandomState>;

/// The names of a catalogue as numbers, from 1.
pub(super) struct World<'c> {
    catalogue: Catalogue<'c>,
    numbers: HashMap<EntityUid, u32, RandomState>,
    actions: HashMap<u32, Action, RandomState>,
    /// The groups of each agent that some file knows.
    groups: HashMap<u32, Vec<u32>, RandomState>,
    /// The group of all operations of each service.
    services: HashMap<u32, u32, RandomState>,
    /// The parts that have any operation, and whether one of them can be reached.
    inhabited: HashMap<Part, bool, RandomState>,
    /// Made when a rule first asks.
    covered: Option<Covered>,
    call: u32,
    request: u32,
    entitlement: EntityTypeName,
}

impl<'c> World<'c> {
    pub(super) fn new(catalogue: &Catalogue<'c>) -> Self {
        let mut world = Self {
            catalogue: *catalogue,
            numbers: HashMap::default(),
            actions: HashMap::default(),
            groups: HashMap::default(),
            services: HashMap::default(),
            inhabited: HashMap::default(),
            covered: None,
            call: ANY,
            request: ANY,
            entitlement: type_named("Entitlement"),
        };
        world.call = world.number(&action(CALL));
        world.request = world.number(&action(REQUEST));
        world.actions.insert(world.request, Action::Request);
        for group in schema::groups(catalogue) {
            let group = world.number(&action(&group));
            world.actions.insert(group, Action::Group);
        }
        for service in catalogue.services {
            let all = world.number(&action(service.name.as_str()));
            let service = world.number(&entity("Service", service.name.as_str()));
            world.services.insert(service, all);
        }
        let held = catalogue
            .entitlements
            .iter()
            .flat_map(|one| &one.operations);
        let held: HashSet<&OperationId, RandomState> = held.collect();
        for operation in catalogue.operations {
            world.enter(
                operation,
                operation.baseline || held.contains(&operation.id),
            );
        }
        for agent in catalogue.agents {
            let groups = agent.groups.iter();
            let groups = groups.map(|one| world.number(&entity("AgentGroup", one.as_str())));
            let groups = groups.collect();
            let agent = world.number(&entity("Agent", agent.id.as_str()));
            world.groups.insert(agent, groups);
        }
        world
    }

    fn number(&mut self, uid: &EntityUid) -> u32 {
        if let Some(number) = self.numbers.get(uid) {
            return *number;
        }
        let next = u32::try_from(self.numbers.len() + 1).unwrap_or(u32::MAX);
        self.numbers.insert(uid.clone(), next);
        next
    }

    fn enter(&mut self, operation: &Operation, reachable: bool) {
        let service = self.number(&entity("Service", operation.service.as_str()));
        let parents = schema::parents(operation);
        let parents: Vec<u32> = parents
            .iter()
            .map(|one| self.number(&action(one)))
            .collect();
        let number = self.number(&action(operation.id.as_str()));
        let operation = Action::Operation { service, parents };
        for part in ways_to(number, &operation) {
            *self.inhabited.entry(part).or_default() |= reachable;
        }
        self.actions.insert(number, operation);
    }

    /// What a rule is for.
    pub(super) fn scopes(&mut self, scope: &Scope) -> Scopes {
        let principal = scope.principal_named().map_or(ANY, |uid| self.number(uid));
        let actions = match &scope.action {
            ActionConstraint::Any => vec![ANY],
            ActionConstraint::Eq(uid) => vec![self.number(uid)],
            ActionConstraint::In(uids) => uids.iter().map(|uid| self.number(uid)).collect(),
        };
        let mut parts: Vec<Part> = Vec::with_capacity(actions.len());
        for action in actions {
            let part = self.part(action, &scope.resource);
            if let Some(part) = part.filter(|part| !parts.contains(part)) {
                parts.push(part);
            }
        }
        Scopes { principal, parts }
    }

    /// The one way to write an action with a resource; none where there is no such thing.
    fn part(&mut self, action: u32, resource: &ResourceConstraint) -> Option<Part> {
        let whole = |action| {
            Some(Part {
                action,
                resource: ANY,
            })
        };
        let asks = matches!(self.actions.get(&action), Some(Action::Request));
        let (named, type_name) = match resource {
            ResourceConstraint::Any => return self.some(whole(action)?),
            ResourceConstraint::Is(type_name) => (None, type_name.clone()),
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => {
                (Some(uid), uid.type_name().clone())
            }
            ResourceConstraint::IsIn(type_name, uid) => {
                if uid.type_name() != type_name {
                    return None;
                }
                (Some(uid), type_name.clone())
            }
        };
        let named = named.map(|uid| self.number(uid));
        if type_name == self.entitlement {
            let requests = asks || action == ANY;
            return requests.then_some(Part {
                action: self.request,
                resource: named.unwrap_or(ANY),
            });
        }
        if asks {
            return None;
        }
        let calls = if action == ANY { self.call } else { action };
        let Some(service) = named else {
            return self.some(whole(calls)?);
        };
        let all = *self.services.get(&service)?;
        match self.actions.get(&calls)? {
            Action::Operation { service: own, .. } => (*own == service).then_some(whole(calls)?),
            Action::Request => None,
            Action::Group if calls == self.call || calls == all => self.some(whole(all)?),
            Action::Group => self.some(Part {
                action: calls,
                resource: service,
            }),
        }
    }

    /// The part, if it has anything in it.
    fn some(&self, part: Part) -> Option<Part> {
        let asks = part.action == ANY || part.action == self.request;
        (asks || self.inhabited.contains_key(&part)).then_some(part)
    }

    /// The part of asking for an entitlement, and all that take it in.
    pub(super) fn of_request(&self, entitlement: &EntitlementId) -> Vec<Part> {
        let named = self
            .numbers
            .get(&entity("Entitlement", entitlement.as_str()));
        let resource = named.copied().unwrap_or(ANY);
        self.wider_parts(Part {
            action: self.request,
            resource,
        })
    }

    /// Itself, and all that a scope can name to take it in.
    pub(super) fn wider_principals(&self, principal: u32) -> Vec<u32> {
        let groups = self.groups.get(&principal).into_iter().flatten();
        let mut wider = vec![principal];
        wider.extend(groups);
        if principal != ANY {
            wider.push(ANY);
        }
        wider
    }

    /// Itself, and all that a scope can name to take it in.
    pub(super) fn wider_parts(&self, part: Part) -> Vec<Part> {
        let whole = |action| Part {
            action,
            resource: ANY,
        };
        let mut wider = match self.actions.get(&part.action) {
            Some(operation @ Action::Operation { .. }) => ways_to(part.action, operation),
            Some(Action::Request) => vec![part, whole(part.action)],
            Some(Action::Group) => {
                let all = self.services.get(&part.resource).copied();
                let mut wider = vec![part, whole(part.action)];
                wider.extend(all.map(whole));
                wider.push(whole(self.call));
                wider
            }
            None => vec![part],
        };
        if part.action != ANY {
            wider.push(whole(ANY));
        }
        wider.dedup();
        wider
    }

    /// Whether any of it can ever be called or asked for.
    pub(super) fn is_reachable(&self, part: Part) -> bool {
        let asks = part.action == ANY || part.action == self.request;
        asks || self.inhabited.get(&part) == Some(&true)
    }

    /// Whether a grant of one of these entitlements can cover any of it.
    pub(super) fn is_covered_by_one(
        &mut self,
        part: Part,
        entitlements: &BTreeSet<String>,
    ) -> bool {
        if part.action == self.request {
            // Who asks has no grant yet; what such a rule says of one is the validator's matter.
            return true;
        }
        let mut covered = self.covered.take().unwrap_or_else(|| self.all_covered());
        let part = if part.action == ANY {
            Part {
                action: self.call,
                ..part
            }
        } else {
            part
        };
        // What needs no grant may have any.
        let mut names = entitlements.iter().map(String::as_str).chain([""]);
        let found = names.any(|name| covered.contains(&(part, name.to_owned())));
        self.covered = Some(std::mem::take(&mut covered));
        found
    }

    fn all_covered(&self) -> Covered {
        let mut covered = Covered::default();
        let operations = self.catalogue.operations.iter();
        let operations: HashMap<&OperationId, &Operation> =
            operations.map(|one| (&one.id, one)).collect();
        let mut cover = |operation: &Operation, by: &str| {
            let number = self.numbers.get(&action(operation.id.as_str()));
            if let Some((number, action)) =
                number.and_then(|one| Some((one, self.actions.get(one)?)))
            {
                let ways = ways_to(*number, action).into_iter();
                covered.extend(ways.map(|part| (part, by.to_owned())));
            }
        };
        for entitlement in self.catalogue.entitlements {
            let held = entitlement.operations.iter();
            for operation in held.filter_map(|id| operations.get(id)) {
                cover(operation, entitlement.id.as_str());
            }
        }
        for operation in self.catalogue.operations.iter().filter(|one| one.baseline) {
            cover(operation, "");
        }
        covered
    }
}

/// All parts that take in one operation, but for the one that takes in everything.
fn ways_to(number: u32, operation: &Action) -> Vec<Part> {
    let whole = |action| Part {
        action,
        resource: ANY,
    };
    let mut ways = vec![whole(number)];
    if let Action::Operation { service, parents } = operation {
        for parent in parents {
            ways.push(whole(*parent));
            ways.push(Part {
                action: *parent,
                resource: *service,
            });
        }
    }
    ways
}
