//! The Cedar schema, generated from the catalogue, and the names in it that would collide.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::model::{Operation, Risk, ServiceName};

use super::Catalogue;
use super::fact::Fact;
use super::history::{Groups, numeric};
use super::problem::Problem;

/// The action of asking for an entitlement.
pub(super) const REQUEST: &str = "request";
/// The group of all operations.
pub(super) const CALL: &str = "call";
/// The group of the operations that need no grant.
pub(super) const BASELINE: &str = "baseline";
/// What the groups of operations of one risk start with.
const RISK: &str = "risk:";

const RISKS: [Risk; 3] = [Risk::Low, Risk::Medium, Risk::High];

/// Entities and the types of facts that are the same everywhere.
const FIXED: &str = r#"entity AgentGroup;
entity Agent in [AgentGroup];
entity Entitlement;
entity Service;
type Auth = {"methods": Set<String>, "factors": Long, "proof": String};
type Grant = {"id": String, "entitlement": String, "age_seconds": Long, "calls_left"?: Long, "bytes_left"?: Long};
type Http = {"method": String, "host": String, "path": String, "content_length"?: Long};
type Local = {"hour": Long, "minute": Long, "weekday": Long, "date": String};
type Risk = {"score": Long, "age_seconds": Long, "known": Bool};
type Source = {"ip": ipaddr, "known": Bool, "country"?: String};
type Task = {"id": String, "kind": String, "age_seconds": Long, "depth": Long, "opened_by": String};
type Usual = {"network": Bool, "hour": Bool, "operation": Bool};
"#;

/// The actions that a schema lets apply. All schemas of one catalogue know the same names, so a rule
/// whose scope stays inside a district means the same in the district's schema as in the whole; but
/// strict validation looks at each action that applies, so there it costs a fraction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum District {
    /// Asking for entitlements.
    Requests,
    /// The operations of one service.
    Service(ServiceName),
    /// Everything.
    Whole,
}

impl District {
    fn holds(&self, operation: &Operation) -> bool {
        match self {
            Self::Requests => false,
            Self::Service(service) => operation.service == *service,
            Self::Whole => true,
        }
    }
}

/// What the schema weighs, compiled, roughly: each action that applies shows the history of every operation and
/// every group.
pub(super) fn weight(catalogue: &Catalogue<'_>, district: &District) -> usize {
    let operations = catalogue.operations.iter();
    let applying = operations.filter(|one| district.holds(one)).count();
    (applying + 1) * (catalogue.operations.len() + groups(catalogue).len())
}

/// The schema's text.
pub(super) fn schema(catalogue: &Catalogue<'_>, district: &District) -> String {
    let mut text = FIXED.to_owned();
    text.push_str(&history(catalogue));
    for group in groups(catalogue) {
        line(&mut text, format_args!("action {};", quoted(&group)));
    }
    let applies = matches!(district, District::Requests | District::Whole);
    let requests = applies.then(|| applies_to("Entitlement", &context(None)));
    let requests = requests.unwrap_or_default();
    line(
        &mut text,
        format_args!("action {}{requests};", quoted(REQUEST)),
    );
    for operation in catalogue.operations {
        let applies = district.holds(operation);
        let applies = applies.then(|| applies_to("Service", &context(Some(operation))));
        let (name, parents) = (quoted(operation.id.as_str()), parents(operation));
        let parents = parents.iter().map(|one| quoted(one)).collect::<Vec<_>>();
        let (parents, applies) = (parents.join(", "), applies.unwrap_or_default());
        line(
            &mut text,
            format_args!("action {name} in [{parents}]{applies};"),
        );
    }
    text
}

/// The action groups that an operation is a member of.
pub(super) fn parents(operation: &Operation) -> Vec<String> {
    let mut parents = vec![
        CALL.to_owned(),
        operation.service.to_string(),
        format!("{RISK}{}", operation.risk.as_str()),
    ];
    parents.extend(operation.groups.iter().map(ToString::to_string));
    if operation.baseline {
        parents.push(BASELINE.to_owned());
    }
    parents
}

/// Every action group, used or not, in order.
pub(super) fn groups(catalogue: &Catalogue<'_>) -> Vec<String> {
    let mut groups = vec![CALL.to_owned(), BASELINE.to_owned()];
    groups.extend(RISKS.map(|risk| format!("{RISK}{}", risk.as_str())));
    groups.extend(catalogue.services.iter().map(|one| one.name.to_string()));
    groups.extend(catalogue.operations.iter().flat_map(parents));
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// One attribute per operation and per group: what this task has called of it.
fn history(catalogue: &Catalogue<'_>) -> String {
    let operations = catalogue.operations.iter();
    let operations = operations.map(|one| counters(one.id.as_str(), numeric(one)));
    let groups = Groups::of(catalogue);
    let groups = groups.iter();
    let groups = groups.map(|(name, group)| counters(name, group.numeric()));
    let attributes: Vec<_> = operations.chain(groups).collect();
    format!("type History = {{{}}};\n", attributes.join(","))
}

fn counters<'a>(name: &str, numeric: impl Iterator<Item = &'a Arc<str>>) -> String {
    let sums: Vec<_> = numeric
        .map(|input| format!("{}: Long", quoted(input)))
        .collect();
    format!(
        "\n  {}: {{\"calls\": Long, \"succeeded\": Long, \"last_age_seconds\"?: Long, \"sum\": {{{}}}}}",
        quoted(name),
        sums.join(", ")
    )
}

fn applies_to(resource: &str, context: &str) -> String {
    format!(" appliesTo {{principal: [Agent], resource: [{resource}], context: {{{context}}}}}")
}

/// The attributes of `context` for a call of an operation, or for a request.
fn context(operation: Option<&Operation>) -> String {
    let mut attributes = Vec::new();
    for fact in Fact::ALL {
        if operation.is_none() && fact.of_calls_only() {
            continue;
        }
        let cedar_type = match fact.cedar_type() {
            Some(name) => name.to_owned(),
            None => inputs(operation),
        };
        let mark = if fact.optional() { "?" } else { "" };
        attributes.push(format!("{}{mark}: {cedar_type}", quoted(fact.name())));
    }
    attributes.join(", ")
}

fn inputs(operation: Option<&Operation>) -> String {
    let inputs = operation.into_iter().flat_map(|one| &one.inputs);
    let inputs: Vec<_> = inputs
        .map(|(name, input)| format!("{}: {}", quoted(name), input.kind.as_str()))
        .collect();
    format!("{{{}}}", inputs.join(", "))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.escape_debug())
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a `String` can't fail.
    let _ = writeln!(text, "{arguments}");
}

/// Names of different things that would be one Cedar action, and operations of no known service.
pub(super) fn problems_of_names(catalogue: &Catalogue<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    taken.extend([
        (
            BASELINE,
            "the built-in group of operations that need no grant",
        ),
        (CALL, "the built-in group of all operations"),
        (REQUEST, "the built-in action of asking for an entitlement"),
    ]);
    let services = catalogue.services.iter();
    let services = services.map(|one| ("a service", one.name.as_str()));
    let mut groups: Vec<_> = catalogue
        .operations
        .iter()
        .flat_map(|one| &one.groups)
        .collect();
    groups.sort_unstable();
    groups.dedup();
    let groups = groups
        .into_iter()
        .map(|one| ("a group of operations", one.as_str()));
    let operations = catalogue.operations.iter();
    let operations = operations.map(|one| ("an operation", one.id.as_str()));
    for (kind, name) in services.chain(groups).chain(operations) {
        let holder = if name.starts_with(RISK) {
            Some("a built-in group by risk")
        } else {
            taken.insert(name, kind)
        };
        if let Some(holder) = holder {
            problems.push(Problem::of_names(
                format!("{kind} can't be called `{name}`: that is the name of {holder}"),
                Some(
                    "rules tell operations, their groups and services apart by name alone"
                        .to_owned(),
                ),
            ));
        }
    }
    problems
}
