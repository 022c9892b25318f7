//! Everything that the files say, compiled: one immutable value that a request reads from start to
//! finish.

use std::collections::{self, BTreeSet};
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use http::Method;

use super::pattern::RoutePattern;
use super::routes::{Matched, Routes};
use crate::base::Digest;
use crate::model::{
    Agent, AgentId, Entitlement, EntitlementId, Generation, GroupName, Operation, OperationId,
    Owner, Person, PersonId, Service, ServiceName,
};
use crate::pdp::{Kept, Policies};
use crate::signals::{CallCounts, RiskRules};
use crate::tokens::VerifyingKey;
use crate::upstream::{Injected, Target};

/// A table that every request looks into.
type HashMap<K, V> = collections::HashMap<K, V, RandomState>;

/// An agent and how it proves who it is.
#[derive(Clone)]
pub struct EnrolledAgent {
    /// The agent.
    pub agent: Agent,
    /// The public keys of its client assertions.
    pub keys: Vec<VerifyingKey>,
    /// The name in its client certificate.
    pub spiffe_id: Option<Arc<str>>,
    /// The rules that its calls without a grant are asked about by.
    pub rules: Kept,
    /// Where its calls are counted.
    pub calls: CallCounts,
}

/// A service and the way to it.
pub struct ProtectedService {
    /// The service, with the source of the credential that is added for it.
    pub service: Service,
    /// Where its calls go.
    pub target: Arc<Target>,
    /// The credential that is added for it, as it was last read.
    pub credential: Option<Injected>,
}

/// An operation, ready to be called.
#[derive(Debug)]
pub struct Endpoint {
    /// The operation.
    pub operation: Operation,
    /// Its service.
    pub service: Arc<ProtectedService>,
    /// Which requests it answers to.
    pub route: RoutePattern,
    /// The entitlements that cover it, the narrowest first: fewest operations, then by id.
    pub covering: Vec<EntitlementId>,
}

/// One generation of everything that can change while the gateway runs.
pub struct Snapshot {
    generation: Generation,
    policies: Policies,
    agents: HashMap<AgentId, Arc<EnrolledAgent>>,
    subjects: HashMap<Arc<str>, Arc<EnrolledAgent>>,
    spiffe_ids: HashMap<Arc<str>, Arc<EnrolledAgent>>,
    /// By the digest of a public key; nobody where two agents have it.
    certified_keys: HashMap<Digest, Option<Arc<EnrolledAgent>>>,
    services: HashMap<ServiceName, Arc<ProtectedService>>,
    operations: HashMap<OperationId, Arc<Endpoint>>,
    entitlements: HashMap<EntitlementId, Arc<Entitlement>>,
    people: HashMap<PersonId, Arc<Person>>,
    members: HashMap<GroupName, BTreeSet<PersonId>>,
    risk: Option<RiskRules>,
    routes: Routes,
}

/// What a snapshot is put together from; names are unique and references hold.
pub(super) struct Parts {
    pub(super) generation: Generation,
    pub(super) policies: Policies,
    pub(super) agents: Vec<EnrolledAgent>,
    pub(super) services: Vec<ProtectedService>,
    pub(super) operations: Vec<(Operation, RoutePattern)>,
    pub(super) entitlements: Vec<Entitlement>,
    pub(super) people: Vec<Person>,
    pub(super) risk: Option<RiskRules>,
}

impl Snapshot {
    pub(super) fn new(parts: Parts) -> Self {
        let services: HashMap<_, _> = by(parts.services, |one| one.service.name.clone());
        let mut covering = covering(&parts.entitlements);
        let endpoints = parts
            .operations
            .into_iter()
            .filter_map(|(operation, route)| {
                Some(Endpoint {
                    service: Arc::clone(services.get(&operation.service)?),
                    covering: covering.remove(&operation.id).unwrap_or_default(),
                    operation,
                    route,
                })
            });
        let operations = by(endpoints, |one| one.operation.id.clone());
        let agents = by(parts.agents, |one| one.agent.id.clone());
        let index = |key: fn(&EnrolledAgent) -> Option<Arc<str>>| {
            let entry = |one: &Arc<EnrolledAgent>| Some((key(one)?, Arc::clone(one)));
            agents.values().filter_map(entry).collect()
        };
        let mut members: HashMap<GroupName, BTreeSet<PersonId>> = HashMap::default();
        for person in &parts.people {
            for group in &person.groups {
                let group = members.entry(group.clone()).or_default();
                group.insert(person.id.clone());
            }
        }
        Self {
            generation: parts.generation,
            policies: parts.policies,
            subjects: index(|one| Some(subject(&one.agent).into())),
            spiffe_ids: index(|one| one.spiffe_id.clone()),
            certified_keys: certified_keys(&agents),
            agents,
            routes: Routes::new(services.values(), operations.values()),
            services,
            operations,
            entitlements: by(parts.entitlements, |one| one.id.clone()),
            people: by(parts.people, |one| one.id.clone()),
            members,
            risk: parts.risk,
        }
    }

    /// The content hash of the files that it was made from.
    #[must_use]
    pub const fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The compiled conditions.
    #[must_use]
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// An agent by its id.
    #[must_use]
    pub fn agent(&self, id: &str) -> Option<&Arc<EnrolledAgent>> {
        self.agents.get(id)
    }

    /// The agent that a trusted issuer's tokens call `subject`: an agent that has no `subject` of its
    /// own goes by its id.
    #[must_use]
    pub fn agent_by_subject(&self, subject: &str) -> Option<&Arc<EnrolledAgent>> {
        self.subjects.get(subject)
    }

    /// The agent whose client certificate names `id`.
    #[must_use]
    pub fn agent_by_spiffe_id(&self, id: &str) -> Option<&Arc<EnrolledAgent>> {
        self.spiffe_ids.get(id)
    }

    /// The one agent that is known by the key that a client certificate is for. `key` is the SHA-256 of
    /// the public key in DER.
    #[must_use]
    pub fn agent_by_certified_key(&self, key: &Digest) -> Option<&Arc<EnrolledAgent>> {
        self.certified_keys.get(key)?.as_ref()
    }

    /// Every agent, in no order.
    pub fn agents(&self) -> impl Iterator<Item = &Arc<EnrolledAgent>> {
        self.agents.values()
    }

    /// A service by its name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<ProtectedService>> {
        self.services.get(name)
    }

    /// Every service, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ProtectedService>> {
        self.services.values()
    }

    /// An operation by its id.
    #[must_use]
    pub fn operation(&self, id: &str) -> Option<&Arc<Endpoint>> {
        self.operations.get(id)
    }

    /// Every operation, in no order.
    pub fn operations(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.operations.values()
    }

    /// An entitlement by its id.
    #[must_use]
    pub fn entitlement(&self, id: &str) -> Option<&Arc<Entitlement>> {
        self.entitlements.get(id)
    }

    /// Every entitlement, in no order.
    pub fn entitlements(&self) -> impl Iterator<Item = &Arc<Entitlement>> {
        self.entitlements.values()
    }

    /// A person by id.
    #[must_use]
    pub fn person(&self, id: &str) -> Option<&Arc<Person>> {
        self.people.get(id)
    }

    /// Every person, in no order.
    pub fn people(&self) -> impl Iterator<Item = &Arc<Person>> {
        self.people.values()
    }

    /// The people of a group.
    pub fn members(&self, group: &str) -> impl Iterator<Item = &PersonId> {
        self.members.get(group).into_iter().flatten()
    }

    /// How the risk of agents is computed, where it is.
    #[must_use]
    pub const fn risk(&self) -> Option<RiskRules> {
        self.risk
    }

    /// Whether `person` answers for `agent`, alone or as one of a group.
    #[must_use]
    pub fn owns(&self, person: &str, agent: &Agent) -> bool {
        match &agent.owner {
            Some(Owner::Group(group)) => self
                .members
                .get(group)
                .is_some_and(|members| members.contains(person)),
            Some(Owner::Person(owner)) => owner.as_str() == person,
            None => false,
        }
    }

    /// The operation that answers a request: `host` in lower case without a port, `path` canonical.
    #[must_use]
    pub fn route<'s, 'p>(
        &'s self,
        host: &str,
        method: &Method,
        path: &'p str,
    ) -> Option<Matched<'s, 'p>> {
        self.routes.route(host, method, path)
    }

    /// The service that a request is for, whether or not one of its operations answers.
    #[must_use]
    pub fn service_for(&self, host: &str, path: &str) -> Option<&Arc<ProtectedService>> {
        self.routes.service(host, path)
    }
}

/// What a trusted issuer's tokens call an agent.
pub(super) fn subject(agent: &Agent) -> &str {
    agent.subject_name()
}

fn certified_keys(
    agents: &HashMap<AgentId, Arc<EnrolledAgent>>,
) -> HashMap<Digest, Option<Arc<EnrolledAgent>>> {
    let mut known: HashMap<Digest, Option<Arc<EnrolledAgent>>> = HashMap::default();
    for agent in agents.values() {
        let keys: BTreeSet<_> = agent.keys.iter().map(VerifyingKey::certified_as).collect();
        for key in keys {
            let first = known.entry(key);
            first
                .and_modify(|other| *other = None)
                .or_insert_with(|| Some(Arc::clone(agent)));
        }
    }
    known
}

fn by<K: std::hash::Hash + Eq, V>(
    values: impl IntoIterator<Item = V>,
    key: impl Fn(&V) -> K,
) -> HashMap<K, Arc<V>> {
    let entry = |value| (key(&value), Arc::new(value));
    values.into_iter().map(entry).collect()
}

fn covering(entitlements: &[Entitlement]) -> HashMap<OperationId, Vec<EntitlementId>> {
    let mut narrowest: Vec<&Entitlement> = entitlements.iter().collect();
    narrowest.sort_by_key(|one| (one.operations.len(), &one.id));
    let mut covering: HashMap<OperationId, Vec<EntitlementId>> = HashMap::default();
    for entitlement in narrowest {
        for operation in &entitlement.operations {
            let list = covering.entry(operation.clone()).or_default();
            list.push(entitlement.id.clone());
        }
    }
    covering
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EnrolledAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolledAgent")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ProtectedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectedService")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
