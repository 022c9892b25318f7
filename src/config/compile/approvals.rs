//! Whether anybody can agree to what needs agreement.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Wanted;
use super::people::People;
use crate::config::diagnostics::Diagnostics;
use crate::config::raw::Raw;
use crate::config::text::{Place, Text};
use crate::model::{Agent, Entitlement, GroupName, Owner, PersonId};
use crate::pdp::Policies;

/// Doubts about rules that want the agreement of a group nobody is in.
pub(super) fn warn_of_empty_groups(
    wanted: &[Wanted],
    people: &People,
    texts: &HashMap<&str, &Arc<Text>>,
    problems: &mut Diagnostics,
) {
    for (file, head, group) in wanted {
        if people.members(group).next().is_some() {
            continue;
        }
        if let Some(text) = texts.get(&**file) {
            let message = format!("nobody can agree to this: no person is in the group `{group}`");
            problems
                .warning(&Place::new(text, head.clone()), message)
                .hint(format!(
                    "add it to the groups of a [[person]]: groups = [\"{group}\"]"
                ));
        }
    }
}

/// Doubts about rules that want an agreement to calls which no entitlement has people asked for.
pub(super) fn warn_of_unasked_groups(
    policies: &Policies,
    (entitlements, people): (&[Entitlement], &People),
    texts: &HashMap<&str, &Arc<Text>>,
    problems: &mut Diagnostics,
) {
    for (rule, head, group, operation) in policies.agreements_of_no_grant(entitlements) {
        // Of these it is said already that nobody can agree.
        if people.members(group).next().is_none() {
            continue;
        }
        if let Some(text) = texts.get(&*rule.file) {
            let message = format!(
                "no grant can meet this for `{operation}`: no entitlement that covers it asks `{group}`"
            );
            problems
                .warning(&Place::new(text, head), message)
                .hint(format!(
                    "make one that does: approval = {{ group = \"{group}\" }}"
                ));
        }
    }
}

/// Doubts about entitlements that no agent can get, because those who approve are those who own it:
/// nobody approves what an agent of theirs asked for.
pub(super) fn warn_of_owners_alone(
    raw: &Raw,
    entitlements: &[Entitlement],
    (agents, people): (&[Agent], &People),
    policies: &Policies,
    problems: &mut Diagnostics,
) {
    let places: HashMap<&str, &Place> = raw
        .entitlements
        .iter()
        .map(|one| (one.id.value.as_str(), &one.id.place))
        .collect();
    let mut short: HashMap<(&GroupName, u32), HashSet<&Owner>> = HashMap::new();
    for entitlement in entitlements {
        let Some(approval) = &entitlement.approval else {
            continue;
        };
        let key = (&approval.group, approval.quorum);
        let short = short
            .entry(key)
            .or_insert_with(|| owners_without_approvers(key, agents, people));
        if short.is_empty() {
            continue;
        }
        let lacks = |agent: &Agent| agent.owner.as_ref().is_some_and(|one| short.contains(one));
        let may_ask = |agent: &&Agent| policies.may_ask(&agent.id, &entitlement.id);
        let some_get_it = agents
            .iter()
            .filter(|one| !lacks(one))
            .any(|one| may_ask(&one));
        let asking = agents.iter().filter(|one| lacks(one)).find(may_ask);
        let place = places.get(entitlement.id.as_str());
        if let (false, Some(agent), Some(place)) = (some_get_it, asking, place) {
            let (id, group, quorum) = (&entitlement.id, &approval.group, approval.quorum);
            let message = format!(
                "nobody can approve `{id}`: {quorum} of `{group}` have to agree, and too few of them don't own \
                 the agent that asks, such as `{}`",
                agent.id
            );
            problems.warning(place, message).hint(
                "nobody approves what an agent of theirs asks for: add somebody to the group",
            );
        }
    }
}

/// The owners of agents whose requests too few people can agree to.
fn owners_without_approvers<'a>(
    (group, quorum): (&GroupName, u32),
    agents: &'a [Agent],
    people: &People,
) -> HashSet<&'a Owner> {
    let approvers: HashSet<&PersonId> = people.members(group).collect();
    let owners: HashSet<&Owner> = agents.iter().filter_map(|one| one.owner.as_ref()).collect();
    let quorum = usize::try_from(quorum).unwrap_or(usize::MAX);
    let lacks = |owner: &&Owner| {
        let owning = match owner {
            Owner::Group(group) => people
                .members(group)
                .filter(|one| approvers.contains(one))
                .count(),
            Owner::Person(person) => usize::from(approvers.contains(person)),
        };
        approvers.len() - owning < quorum
    };
    owners.into_iter().filter(lacks).collect()
}
