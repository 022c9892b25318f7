//! Who may reach what: every agent and every operation, under two sets of policies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::world::{self, Working, World};
use crate::access::SupposedSignals;
use crate::config::{Endpoint, EnrolledAgent, Snapshot};
use crate::model::{Entitlement, GroupName, RiskFacts, TaskId, UsualFacts};
use crate::pdp::Rule;

/// How an agent comes to an operation, the easiest way first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Without a grant.
    Baseline,
    /// With a grant that it has for the asking.
    AtOnce(String),
    /// With a grant that people have to agree to.
    Approval(String, GroupName),
    /// With a grant that these rules refuse as things stand.
    Conditions(String, Vec<Arc<str>>),
    /// Not at all.
    Never,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval(entitlement, group) => write!(f, "{entitlement}, asking {group}"),
            Self::AtOnce(entitlement) => f.write_str(entitlement),
            Self::Baseline => f.write_str("baseline"),
            Self::Conditions(entitlement, rules) => {
                write!(f, "{entitlement}, unless {}", rules.join(", "))
            }
            Self::Never => f.write_str("never"),
        }
    }
}

/// An agent and an operation whose ways differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The agent.
    pub agent: String,
    /// The operation.
    pub operation: String,
    /// Its way before.
    pub before: Reach,
    /// Its way after.
    pub after: Reach,
}

impl Differs {
    /// Whether the way has become easier.
    #[must_use]
    pub fn is_gain(&self) -> bool {
        self.after.rank() < self.before.rank()
    }

    /// Whether the way has become harder.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.after.rank() > self.before.rank()
    }
}

impl Reach {
    /// What it comes to where these rules forbid all calls, or, where there are none, no rule permits one.
    fn shut(self, by: &[&Rule]) -> Self {
        let rules = || by.iter().map(|rule| Arc::clone(&rule.id)).collect();
        match self {
            Self::Approval(id, _) | Self::AtOnce(id) if !by.is_empty() => {
                Self::Conditions(id, rules())
            }
            Self::Conditions(..) if !by.is_empty() => self,
            Self::Approval(..)
            | Self::AtOnce(_)
            | Self::Baseline
            | Self::Conditions(..)
            | Self::Never => Self::Never,
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Baseline => 0,
            Self::AtOnce(_) => 1,
            Self::Approval(..) => 2,
            Self::Conditions(..) => 3,
            Self::Never => 4,
        }
    }
}

/// What differs between two sets of policies, by agent and operation. The rules are asked about an agent
/// in a task that it has just opened, at noon, on this machine, with two factors and nothing against it. Of calls
/// it counts whether any rule permits them and none forbids them always, whatever they say.
#[must_use]
pub fn compare(before: &Snapshot, after: &Snapshot) -> Vec<Differs> {
    let (old, new) = (matrix(before), matrix(after));
    let cells: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let never = Reach::Never;
    let differs = cells.into_iter().filter_map(|cell| {
        let before = old.get(cell).unwrap_or(&never);
        let after = new.get(cell).unwrap_or(&never);
        (before != after).then(|| Differs {
            agent: cell.0.clone(),
            operation: cell.1.clone(),
            before: before.clone(),
            after: after.clone(),
        })
    });
    differs.collect()
}

fn matrix(snapshot: &Snapshot) -> BTreeMap<(String, String), Reach> {
    let mut matrix = BTreeMap::new();
    for agent in snapshot.agents() {
        let mut ways = BTreeMap::new();
        for entitlement in snapshot.entitlements() {
            ways.insert(&entitlement.id, way(snapshot, agent, entitlement));
        }
        for endpoint in snapshot.operations() {
            let cell = (
                agent.agent.id.to_string(),
                endpoint.operation.id.to_string(),
            );
            let covering = endpoint.covering.iter().filter_map(|id| ways.get(id));
            let reach = reach(snapshot, agent, endpoint, covering);
            matrix.insert(cell, reach);
        }
    }
    matrix
}

/// How an agent comes to an operation, given its ways to what covers that.
fn reach<'w>(
    snapshot: &Snapshot,
    agent: &EnrolledAgent,
    endpoint: &Endpoint,
    covering: impl Iterator<Item = &'w Reach>,
) -> Reach {
    let easiest = if endpoint.operation.baseline {
        Reach::Baseline
    } else {
        // Of ways that are alike the narrowest, which is what an agent is told to ask for.
        let easiest = covering.min_by_key(|way| way.rank());
        easiest.cloned().unwrap_or(Reach::Never)
    };
    let policies = snapshot.policies();
    match policies.shuts(&agent.agent.id, &endpoint.operation.id) {
        Some(rules) => easiest.shut(&rules),
        None => easiest,
    }
}

fn way(snapshot: &Snapshot, agent: &Arc<EnrolledAgent>, entitlement: &Entitlement) -> Reach {
    let working = Working {
        id: TaskId::random(),
        kind: None,
        age: Duration::ZERO,
        depth: 0,
        opened_by: agent.agent.id.to_string(),
    };
    let world = World {
        agent: Arc::clone(agent),
        task: Some(world::task(agent, working, Vec::new(), Vec::new())),
        methods: ["private_key_jwt", "tls_client_auth"]
            .map(str::to_owned)
            .into(),
        proof: entitlement.proof,
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        // A Monday noon.
        wall: Timestamp::from_second(1_767_614_400).unwrap_or_default(),
        signals: SupposedSignals {
            known: Some(true),
            country: None,
            risk: Some(RiskFacts {
                score: 0,
                age_seconds: 0,
                known: true,
            }),
            usual: Some(UsualFacts {
                network: true,
                hour: true,
                operation: true,
            }),
            factors: Some(2),
            by_cedar: false,
        },
    };
    let told = world.ask(snapshot, |asker| asker.explain_request(entitlement, None));
    let id = entitlement.id.to_string();
    match (told.code, told.approval) {
        (None, None) => Reach::AtOnce(id),
        (None, Some(group)) => Reach::Approval(id, group),
        (Some(_), _) if told.rules.is_empty() => Reach::Never,
        (Some(_), _) => Reach::Conditions(id, told.rules),
    }
}
