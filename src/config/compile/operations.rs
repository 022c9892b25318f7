//! Operations: their routes, groups and inputs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use http::Method;

use super::actions;
use super::inputs::{InputError, input};
use super::names::{Names, name, names, suggestion};
use super::reach::Reach;
use super::services;
use super::values::word;
use crate::config::diagnostics::Diagnostics;
use crate::config::pattern::{RouteError, RouteMethod, RoutePattern};
use crate::config::raw::{Raw, RawOperation};
use crate::config::text::{At, Place};
use crate::model::{
    Entitlement, Input, InputSource, Operation, OperationId, Protocol, Risk, Service,
};

const RISKS: [(&str, Risk); 3] = [
    ("low", Risk::Low),
    ("medium", Risk::Medium),
    ("high", Risk::High),
];

const PROTOCOLS: [(&str, Protocol); 4] = [
    ("http", Protocol::Http),
    ("sse", Protocol::Sse),
    ("websocket", Protocol::Websocket),
    ("grpc", Protocol::Grpc),
];

/// An operation as far as its entry could be understood.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) operation: Operation,
    pub(super) route: Option<RoutePattern>,
    place: Place,
}

/// Compiles the `[[operation]]` entries.
pub(super) fn compile(
    raw: &Raw,
    services: &[services::Draft],
    problems: &mut Diagnostics,
) -> Vec<Draft> {
    let all_services = Names::of("service", raw.services.iter().map(|service| &service.name));
    let reach = Reach::new(services);
    let mut known = Names::new("operation");
    let mut shapes = HashMap::new();
    let mut drafts = Vec::with_capacity(raw.operations.len());
    for entry in &raw.operations {
        let claimed = known.claim(&entry.id, problems);
        let id: Option<OperationId> = name(&entry.id, problems);
        let service = entry
            .service
            .as_ref()
            .filter(|service| all_services.resolve(service, problems));
        let route = entry.route.as_ref().and_then(|text| route(text, problems));
        let protocol = protocol(entry, route.as_ref(), problems);
        if let (Some(route), Some(service), Some(text)) = (&route, service, &entry.route) {
            reach.check(&text.with(route), &service.value, problems);
            let shape = (service.value.as_str(), route.shape());
            claim_shape(shape, text, &mut shapes, problems);
        }
        let risk = word(entry.risk.as_ref(), "a risk", &RISKS, problems);
        if let (Some(word), Some(Risk::High), true) = (&entry.risk, risk, entry.baseline) {
            let message = "an operation of high risk that needs no grant";
            let hint = "`baseline = true` is for what is harmless: a token is enough for it";
            problems.warning(&word.place, message).hint(hint);
        }
        let groups = groups(&entry.groups, problems);
        let drafted = service.and_then(|service| reach.service(&service.value));
        let inputs = inputs(entry, (route.as_ref(), protocol), drafted, problems);
        if let (Some(id), Some(service), true) = (id, drafted, claimed) {
            drafts.push(Draft {
                operation: Operation {
                    id,
                    service: service.name.clone(),
                    groups,
                    // Whoever forgets to say how much harm an operation can do gets the strict rules.
                    risk: risk.unwrap_or(Risk::High),
                    baseline: entry.baseline,
                    protocol,
                    inputs,
                },
                route,
                place: entry.id.place.clone(),
            });
        }
    }
    drafts
}

/// Doubts about operations that no agent can ever call.
pub(super) fn warn_of_unreachable(
    operations: &[Draft],
    entitlements: &[Entitlement],
    problems: &mut Diagnostics,
) {
    let covered: BTreeSet<&OperationId> = entitlements
        .iter()
        .flat_map(|one| &one.operations)
        .collect();
    for draft in operations {
        let operation = &draft.operation;
        if !operation.baseline && !covered.contains(&operation.id) {
            let message = format!(
                "no agent can call `{}`: no entitlement covers it",
                operation.id
            );
            problems.warning(&draft.place, message);
        }
    }
}

fn route(text: &At<String>, problems: &mut Diagnostics) -> Option<RoutePattern> {
    match RoutePattern::parse(&text.value) {
        Ok(route) => Some(route),
        Err(error) => {
            let hint = match &error {
                RouteError::Method { meant, .. } => {
                    meant.map(|meant| format!("did you mean `{meant}`?"))
                }
                _ => None,
            };
            problems
                .error(&text.place, error.to_string())
                .maybe_hint(hint);
            None
        }
    }
}

fn claim_shape<'r>(
    shape: (&'r str, String),
    text: &'r At<String>,
    shapes: &mut HashMap<(&'r str, String), &'r Place>,
    problems: &mut Diagnostics,
) {
    if let Some(first) = shapes.get(&shape) {
        let message = format!(
            "`{}` matches the same requests as another route",
            text.value
        );
        problems
            .error(&text.place, message)
            .hint(format!("the other is at {first}"));
    } else {
        shapes.insert(shape, &text.place);
    }
}

fn protocol(
    entry: &RawOperation,
    route: Option<&RoutePattern>,
    problems: &mut Diagnostics,
) -> Protocol {
    let found = word(entry.protocol.as_ref(), "a protocol", &PROTOCOLS, problems);
    let protocol = found.unwrap_or(Protocol::Http);
    let (what, needed) = match protocol {
        Protocol::Grpc => ("gRPC", Method::POST),
        Protocol::Websocket => ("a WebSocket", Method::GET),
        Protocol::Http | Protocol::Sse => return protocol,
    };
    if let (Some(RouteMethod::One(method)), Some(text)) =
        (route.map(RoutePattern::method), &entry.route)
        && *method != needed
    {
        let message = format!("{what} is asked for with {needed}, not {method}");
        problems.error(&text.place, message);
    }
    protocol
}

fn groups(texts: &[At<String>], problems: &mut Diagnostics) -> BTreeSet<crate::model::GroupName> {
    // Names of the gateway's own groups have a colon; that they are taken is reported elsewhere.
    let colon = |text: &&At<String>| text.value.contains(':') && !actions::is_built_in(&text.value);
    for text in texts.iter().filter(colon) {
        let message = format!("the group `{}` has a colon", text.value);
        problems
            .error(&text.place, message)
            .hint("entitlements name a group as `service:group`, operations without the service");
    }
    names(texts, problems)
}

fn inputs(
    entry: &RawOperation,
    (route, protocol): (Option<&RoutePattern>, Protocol),
    service: Option<&Service>,
    problems: &mut Diagnostics,
) -> BTreeMap<Arc<str>, Input> {
    let mut inputs = BTreeMap::new();
    for (name, spec) in &entry.input {
        match input(&name.value, &spec.value) {
            Ok((name, input)) => {
                check_source(&input.source, spec, route, protocol, problems);
                check_injected(&input.source, spec, service, problems);
                inputs.insert(name, input);
            }
            Err(error @ InputError::Name(_)) => {
                problems.error(&name.place, error.to_string());
            }
            Err(error) => {
                let hint = match &error {
                    InputError::Type { meant, .. } => {
                        meant.map(|meant| format!("did you mean `{meant}`?"))
                    }
                    _ => None,
                };
                problems
                    .error(&spec.place, error.to_string())
                    .maybe_hint(hint);
            }
        }
    }
    check_bodies(entry, &inputs, problems);
    inputs
}

fn check_source(
    source: &InputSource,
    spec: &At<String>,
    route: Option<&RoutePattern>,
    protocol: Protocol,
    problems: &mut Diagnostics,
) {
    let Some(route) = route else { return };
    let plain = !matches!(protocol, Protocol::Grpc | Protocol::Websocket);
    match source {
        InputSource::Path(name) => {
            let parameters: Vec<&str> = route.parameters().map(AsRef::as_ref).collect();
            if !parameters.contains(&name.as_ref()) {
                let hint = suggestion(problems, name, parameters);
                let message = format!("the route `{route}` has no parameter `{name}`");
                problems.error(&spec.place, message).maybe_hint(hint);
            }
        }
        InputSource::Body(_) | InputSource::Form(_) => {
            let bodiless = match route.method() {
                RouteMethod::One(method) => matches!(*method, Method::GET | Method::HEAD),
                RouteMethod::Any => false,
            };
            if bodiless || !plain {
                let what = match source {
                    InputSource::Form(_) => "form",
                    _ => "JSON body",
                };
                let message = format!("such a request has no {what} to read an input from");
                problems.error(&spec.place, message);
            }
        }
        InputSource::Argument(_) | InputSource::Graphql(_) => {
            let other = match route.method() {
                RouteMethod::One(method) => !matches!(*method, Method::GET | Method::POST),
                RouteMethod::Any => false,
            };
            if other || !plain {
                let message = "GraphQL is asked for with GET or POST, over plain HTTP or SSE";
                problems.error(&spec.place, message);
            }
        }
        InputSource::Header(_) | InputSource::Query(_) => {}
    }
}

/// A header in which the service's own credential travels is the gateway's to write.
fn check_injected(
    source: &InputSource,
    spec: &At<String>,
    service: Option<&Service>,
    problems: &mut Diagnostics,
) {
    let injected = service.and_then(|service| service.inject.as_ref());
    if let (InputSource::Header(name), Some(injected)) = (source, injected)
        && injected.header == *name.as_ref()
    {
        let message = format!("the header `{name}` can't be an input: the gateway writes it");
        problems
            .error(&spec.place, message)
            .hint("it carries the credential that `inject` of the service names");
    }
}

/// A body has one form.
fn check_bodies(
    entry: &RawOperation,
    inputs: &BTreeMap<Arc<str>, Input>,
    problems: &mut Diagnostics,
) {
    let mut sources = inputs.values().map(|input| &input.source);
    let json = sources.clone().any(|source| {
        matches!(
            source,
            InputSource::Argument(_) | InputSource::Body(_) | InputSource::Graphql(_)
        )
    });
    let form = sources.any(|source| matches!(source, InputSource::Form(_)));
    if json && form {
        let message = format!(
            "the inputs of `{}` want a body that is both a form and JSON",
            entry.id.value
        );
        problems.error(&entry.id.place, message);
    }
}
