//! Entitlements: what may be asked for, and within which limits.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::names::{Names, name, suggestion};
use super::operations;
use super::people::People;
use super::values::{duration, size, word};
use crate::config::diagnostics::Diagnostics;
use crate::config::raw::{Raw, RawApproval, RawEntitlement};
use crate::config::text::At;
use crate::model::{ApprovalRule, Entitlement, OperationId, Proof};
use crate::pdp::Policies;

const PROOFS: [(&str, Proof); 3] = [
    ("bearer", Proof::Bearer),
    ("dpop", Proof::Dpop),
    ("mtls", Proof::Mtls),
];

/// How long a request waits for people, where nothing else is said.
const EXPIRES: Duration = Duration::from_mins(30);

/// Compiles the `[[entitlement]]` entries.
pub(super) fn compile(
    raw: &Raw,
    operations: &[operations::Draft],
    people: &People,
    problems: &mut Diagnostics,
) -> Vec<Entitlement> {
    let targets = Targets::new(raw, operations);
    let mut known = Names::new("entitlement");
    let mut entitlements = Vec::with_capacity(raw.entitlements.len());
    for entry in &raw.entitlements {
        let claimed = known.claim(&entry.id, problems);
        let id = name(&entry.id, problems);
        let operations = targets.resolve(entry, problems);
        let concurrent = entry.max_concurrent.as_ref();
        let approval = entry.approval.as_ref();
        let entitlement = Entitlement {
            id: match id {
                Some(id) if claimed => id,
                _ => continue,
            },
            operations: operations.into(),
            max_ttl: duration(entry.max_ttl.as_ref(), problems).unwrap_or(Duration::ZERO),
            max_calls: entry.max_calls.as_ref().map(|calls| calls.value),
            max_bytes: size(entry.max_bytes.as_ref(), problems),
            max_concurrent: concurrent.and_then(|number| small(number, problems)),
            approval: approval
                .and_then(|approval| rule(approval, people, problems))
                .map(Into::into),
            proof: word(entry.proof.as_ref(), "a proof", &PROOFS, problems).unwrap_or_default(),
            reason_required: entry.reason_required,
        };
        entitlements.push(entitlement);
    }
    entitlements
}

/// What entitlements can name.
struct Targets<'r> {
    /// Every operation that is written down, whether or not its entry holds.
    all: Names<'r>,
    /// Those that could be understood, and whether they are baseline operations.
    drafted: HashMap<&'r str, (&'r OperationId, bool)>,
    /// The operations of `service:group`.
    groups: HashMap<String, Vec<&'r OperationId>>,
}

impl<'r> Targets<'r> {
    fn new(raw: &'r Raw, drafts: &'r [operations::Draft]) -> Self {
        let operations = || drafts.iter().map(|draft| &draft.operation);
        let mut groups: HashMap<String, Vec<&OperationId>> = HashMap::new();
        // From the raw entries, so that a broken operation does not make its group unknown.
        for entry in &raw.operations {
            if let Some(service) = &entry.service {
                for group in &entry.groups {
                    let name = format!("{}:{}", service.value, group.value);
                    groups.entry(name).or_default();
                }
            }
        }
        for operation in operations() {
            for group in &operation.groups {
                let name = format!("{}:{group}", operation.service);
                groups.entry(name).or_default().push(&operation.id);
            }
        }
        Self {
            all: Names::of("operation", raw.operations.iter().map(|one| &one.id)),
            drafted: operations()
                .map(|one| (one.id.as_str(), (&one.id, one.baseline)))
                .collect(),
            groups,
        }
    }

    fn resolve(&self, entry: &RawEntitlement, problems: &mut Diagnostics) -> BTreeSet<OperationId> {
        let mut operations = BTreeSet::new();
        for text in &entry.operations {
            if self.all.resolve(text, problems) {
                let drafted = self.drafted.get(text.value.as_str());
                operations.extend(drafted.map(|(id, _)| (*id).clone()));
            }
        }
        for text in &entry.groups {
            if let Some(members) = self.groups.get(&text.value) {
                operations.extend(members.iter().copied().cloned());
            } else {
                let names = self.groups.keys().map(String::as_str);
                let hint = suggestion(problems, &text.value, names)
                    .unwrap_or_else(|| "write it as service:group, such as orders:write".into());
                let message = format!("no operation is in the group `{}`", text.value);
                problems.error(&text.place, message).hint(hint);
            }
        }
        let id = &entry.id;
        if entry.operations.is_empty() && entry.groups.is_empty() {
            problems
                .error(
                    &id.place,
                    format!("the entitlement `{}` covers nothing", id.value),
                )
                .hint("name `operations` or `groups`");
        } else if !operations.is_empty() && operations.iter().all(|one| self.is_baseline(one)) {
            let message = format!("`{}` covers only what agents may call without it", id.value);
            problems.warning(&id.place, message);
        }
        operations
    }

    fn is_baseline(&self, operation: &OperationId) -> bool {
        self.drafted
            .get(operation.as_str())
            .is_some_and(|(_, baseline)| *baseline)
    }
}

/// Doubts about entitlements that no agent can ever ask for.
pub(super) fn warn_of_unreachable(raw: &Raw, policies: &Policies, problems: &mut Diagnostics) {
    let out_of_reach = policies.out_of_reach();
    for entry in &raw.entitlements {
        let id = &entry.id;
        if out_of_reach.contains(id.value.as_str()) {
            let message = format!("no rule lets any agent ask for `{}`", id.value);
            problems
                .warning(&id.place, message)
                .hint("permit `Action::\"request\"` on it, for the agents or groups that may ask");
        } else if let Some(rule) = policies.closes(&id.value) {
            let (by, file, line) = (&rule.id, &rule.file, rule.line);
            let message = format!(
                "nobody can ask for `{}`: the rule `{by}` forbids it to all",
                id.value
            );
            problems
                .warning(&id.place, message)
                .hint(format!("it stands at {file}:{line}"));
        }
    }
}

fn rule(raw: &RawApproval, people: &People, problems: &mut Diagnostics) -> Option<ApprovalRule> {
    let quorum = match &raw.quorum {
        Some(quorum) => small(quorum, problems),
        None => Some(1),
    };
    let expires = match &raw.expires {
        Some(text) => duration(Some(text), problems),
        None => Some(EXPIRES),
    };
    let (group, members) = people.group(raw.group.as_ref()?, problems)?;
    if let Some(quorum) = &raw.quorum
        && quorum.value > members
    {
        let message = format!(
            "{} people can't agree: `{group}` has {members}",
            quorum.value
        );
        problems.error(&quorum.place, message);
    }
    Some(ApprovalRule {
        group,
        quorum: quorum?,
        mfa: raw.mfa,
        expires: expires?,
    })
}

fn small(number: &At<u64>, problems: &mut Diagnostics) -> Option<u32> {
    let value = u32::try_from(number.value).ok();
    if value.is_none() {
        problems.error(&number.place, format!("`{}` is too large", number.value));
    }
    value
}
