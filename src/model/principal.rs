//! Agents and the people behind them.

use std::collections::BTreeSet;

use super::{AgentId, GroupName, PersonId};

/// An enrolled agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its name.
    pub id: AgentId,
    /// The agent groups it is a member of.
    pub groups: BTreeSet<GroupName>,
    /// The person or the people's group that answers for it.
    pub owner: Option<Owner>,
    /// The agents whose tasks it may open, as an orchestrator does.
    pub may_open_for: BTreeSet<AgentId>,
    /// Its name in a trusted issuer's tokens, where that differs from `id`.
    pub subject: Option<String>,
}

impl Agent {
    /// What a trusted issuer calls it: its `subject`, or its id where it has none.
    #[must_use]
    pub fn subject_name(&self) -> &str {
        match &self.subject {
            Some(subject) => subject,
            None => self.id.as_str(),
        }
    }
}

/// Who answers for an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Everyone in a people's group.
    Group(GroupName),
    /// One person.
    Person(PersonId),
}

/// A person who owns agents, approves requests or operates the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name, usually an address.
    pub id: PersonId,
    /// The people's groups that the person is in.
    pub groups: BTreeSet<GroupName>,
}
