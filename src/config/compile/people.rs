//! People and their groups.

use std::collections::{BTreeSet, HashMap};

use super::names::{Names, name, names, suggestion};
use crate::config::diagnostics::Diagnostics;
use crate::config::raw::RawPerson;
use crate::config::text::At;
use crate::model::{GroupName, Owner, Person, PersonId};

/// The built-in person: whoever holds the key that is written at the first start.
const OPERATOR: &str = "operator";
/// The group of those who operate the gateway; the built-in person is in it.
const OPERATORS: &str = "operators";

/// Everyone who is known.
#[derive(Debug)]
pub(super) struct People {
    people: Vec<Person>,
    ids: BTreeSet<PersonId>,
    groups: HashMap<GroupName, Vec<PersonId>>,
}

/// Compiles the `[[person]]` entries and adds the built-in operator.
pub(super) fn compile(raw: &[RawPerson], problems: &mut Diagnostics) -> People {
    let mut known = Names::new("person");
    let mut people = Vec::with_capacity(raw.len() + 1);
    for person in raw {
        let claimed = known.claim(&person.id, problems);
        let id: Option<PersonId> = name(&person.id, problems);
        let groups = names(&person.groups, problems);
        if person.id.value == OPERATOR {
            let message = format!("`{OPERATOR}` is the name of the gateway's built-in operator");
            problems.error(&person.id.place, message);
        } else if let (Some(id), true) = (id, claimed) {
            people.push(Person { id, groups });
        }
    }
    if let (Ok(id), Ok(group)) = (OPERATOR.parse(), OPERATORS.parse()) {
        let groups = BTreeSet::from([group]);
        people.push(Person { id, groups });
    }
    let mut groups: HashMap<GroupName, Vec<PersonId>> = HashMap::new();
    for person in &people {
        for group in &person.groups {
            groups
                .entry(group.clone())
                .or_default()
                .push(person.id.clone());
        }
    }
    People {
        ids: people.iter().map(|person| person.id.clone()).collect(),
        people,
        groups,
    }
}

impl People {
    /// Whether there is a person of this name.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// The person or the group that answers for an agent.
    pub(super) fn owner(&self, owner: &At<String>, problems: &mut Diagnostics) -> Option<Owner> {
        let person = self.ids.get(owner.value.as_str());
        let group = self.groups.get_key_value(owner.value.as_str());
        match (person, group) {
            (Some(person), None) => Some(Owner::Person(person.clone())),
            (None, Some((group, _))) => Some(Owner::Group(group.clone())),
            (Some(_), Some(_)) => {
                let message = format!("`{}` is both a person and a group", owner.value);
                problems
                    .error(&owner.place, message)
                    .hint("give one of the two another name");
                None
            }
            (None, None) => {
                let ids = self.ids.iter().map(PersonId::as_str);
                let hint = suggestion(problems, &owner.value, ids.chain(self.group_names()));
                let message = format!("there is no person and no group `{}`", owner.value);
                problems.error(&owner.place, message).maybe_hint(hint);
                None
            }
        }
    }

    /// A group that has members, and how many.
    pub(super) fn group(
        &self,
        group: &At<String>,
        problems: &mut Diagnostics,
    ) -> Option<(GroupName, u64)> {
        let found = self.groups.get_key_value(group.value.as_str());
        if found.is_none() {
            let message = format!("no person is in the group `{}`", group.value);
            let hint =
                suggestion(problems, &group.value, self.group_names()).unwrap_or_else(|| {
                    format!(
                        "add it to the groups of a [[person]]: groups = [\"{}\"]",
                        group.value
                    )
                });
            problems.error(&group.place, message).hint(hint);
        }
        found.map(|(group, members)| (group.clone(), members.len() as u64))
    }

    /// The people of a group.
    pub(super) fn members(&self, group: &GroupName) -> impl Iterator<Item = &PersonId> {
        self.groups.get(group).into_iter().flatten()
    }

    /// All of them.
    pub(super) fn into_people(self) -> Vec<Person> {
        self.people
    }

    fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(GroupName::as_str)
    }
}
