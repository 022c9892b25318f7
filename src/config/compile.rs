//! From files to a [`Snapshot`]: everything is checked here, once, and every problem is reported.

mod actions;
mod address;
mod agents;
mod approvals;
mod entitlements;
mod inputs;
mod names;
mod operations;
mod people;
mod reach;
mod risk;
mod services;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::credentials::Allowed;
use super::diagnostics::Diagnostics;
use super::files::{self, Files, PolicyFile};
use super::raw::{Raw, RawAgent};
use super::snapshot::{Parts, ProtectedService, Snapshot};
use super::tables::Tables;
use super::text::{Place, Text};
use crate::base::ErrorChain;
use crate::model::{Agent, GroupName, Operation, Service, UpstreamAddress};
use crate::pdp::{self, Catalogue, Memory, Policies, Problem};
use crate::upstream::{Injected, Target};

/// What a snapshot is compiled from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The directories whose files are one set: the policies, then overlays. The first must hold
    /// files, the others must exist.
    pub directories: Vec<PathBuf>,
    /// The credentials that services may name.
    pub credentials: Allowed,
    /// An upstream that another takes the place of, wherever services name it.
    pub stand_in: Option<StandIn>,
}

/// An upstream in the place of another: how a development gateway puts its example service behind
/// policies that name a fixed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The address that services name.
    pub named: UpstreamAddress,
    /// The address that is used.
    pub used: UpstreamAddress,
}

/// A rule that wants people's agreement: its file, where its head stands in it, and the group.
type Wanted = (Arc<str>, Range<usize>, GroupName);

/// Compiles the files of this moment. `memory` makes the next time faster, and only that.
///
/// # Errors
///
/// Every problem of every file, at once, where one of them is an error.
pub fn compile(
    sources: &Sources,
    memory: &mut Memory,
) -> Result<(Snapshot, Diagnostics), Diagnostics> {
    let (files, problems) = files::gather(&sources.directories);
    compile_files(files, problems, sources, memory)
}

/// Compiles the files of this moment together with the agents that only `tables` know.
///
/// # Errors
///
/// As [`compile`].
pub fn compile_for_tests(
    sources: &Sources,
    tables: &Tables,
    memory: &mut Memory,
) -> Result<Snapshot, Diagnostics> {
    let (files, problems) = files::gather(&sources.directories);
    let compiled = compile_with(files, &tables.agents, problems, sources, memory);
    compiled.map(|(snapshot, _)| snapshot)
}

/// Compiles files that were read already, with the `problems` of reading them.
pub(super) fn compile_files(
    files: Files,
    problems: Diagnostics,
    sources: &Sources,
    memory: &mut Memory,
) -> Result<(Snapshot, Diagnostics), Diagnostics> {
    compile_with(files, &[], problems, sources, memory)
}

fn compile_with(
    files: Files,
    more: &[RawAgent],
    mut problems: Diagnostics,
    sources: &Sources,
    memory: &mut Memory,
) -> Result<(Snapshot, Diagnostics), Diagnostics> {
    let (mut raw, syntax) = read(&files.toml, &mut problems);
    raw.agents.extend(more.iter().cloned());
    let mut found = Diagnostics::default();
    let people = people::compile(&raw.people, &mut found);
    let risk = risk::compile(&raw.risk, &mut found);
    let agents = agents::compile(&raw.agents, &people, &mut found);
    let services = services::compile(&raw.services, &sources.credentials, &mut found);
    actions::check(&raw, &mut found);
    let operations = operations::compile(&raw, &services, &mut found);
    let entitlements = entitlements::compile(&raw, &operations, &people, &mut found);
    if syntax.is_empty() && !found.has_errors() {
        operations::warn_of_unreachable(&operations, &entitlements, &mut found);
    }

    // References are checked against all names, so what is drafted here may be incomplete; then a
    // problem has been reported and nothing of it is ever used beyond the check of the conditions.
    let drafted_agents: Vec<Agent> = agents.iter().map(|one| one.agent.clone()).collect();
    let drafted_services: Vec<Service> = services.iter().map(|one| one.service.clone()).collect();
    let drafted_operations: Vec<Operation> =
        operations.iter().map(|one| one.operation.clone()).collect();
    let catalogue = Catalogue {
        agents: &drafted_agents,
        services: &drafted_services,
        operations: &drafted_operations,
        entitlements: &entitlements,
    };
    let (policies, wanted) = conditions(&catalogue, &files.cedar, memory, &mut found);
    if syntax.is_empty() {
        let texts = by_name(&files.cedar);
        approvals::warn_of_empty_groups(&wanted, &people, &texts, &mut found);
    }
    if let Some(policies) = policies.as_ref().filter(|one| !one.rules().is_empty()) {
        entitlements::warn_of_unreachable(&raw, policies, &mut found);
        let texts = by_name(&files.cedar);
        approvals::warn_of_unasked_groups(policies, (&entitlements, &people), &texts, &mut found);
        let asking = (&drafted_agents[..], &people);
        approvals::warn_of_owners_alone(&raw, &entitlements, asking, policies, &mut found);
    }
    let services = open(services, sources.stand_in.as_ref(), &mut found);
    // Where the syntax is broken, entries may lack what their file has: only their names are of use.
    found.retain(|one| !syntax.contains(one.file()));
    problems.append(found);
    let (Some(policies), false) = (policies, problems.has_errors()) else {
        return Err(problems.in_order());
    };
    let routed = operations.into_iter();
    let parts = Parts {
        generation: files.generation,
        policies,
        agents,
        services,
        operations: routed
            .filter_map(|one| Some((one.operation, one.route?)))
            .collect(),
        entitlements,
        people: people.into_people(),
        risk,
    };
    problems.verdict(Snapshot::new(parts))
}

/// Reads the TOML files; also returns the names of those whose syntax is broken.
fn read(files: &[PolicyFile], problems: &mut Diagnostics) -> (Raw, HashSet<Arc<str>>) {
    let mut raw = Raw::default();
    let mut broken = HashSet::new();
    for file in files {
        if !raw.add(file, problems) {
            broken.insert(Arc::clone(file.text.name()));
        }
    }
    (raw, broken)
}

/// Compiles the Cedar files, and puts what the decision point says about them into place; also returns the
/// approvals that rules want, as far as they can be made out.
fn conditions(
    catalogue: &Catalogue<'_>,
    files: &[PolicyFile],
    memory: &mut Memory,
    problems: &mut Diagnostics,
) -> (Option<Policies>, Vec<Wanted>) {
    let source = |file: &PolicyFile| pdp::Source {
        file: Arc::clone(file.text.name()),
        text: Arc::clone(file.text.text()),
    };
    let sources: Vec<pdp::Source> = files.iter().map(source).collect();
    let texts = by_name(files);
    let (policies, found, wanted) = match Policies::compile(catalogue, &sources, memory) {
        Ok((policies, warnings)) => {
            let wanted = policies.approvals();
            let wanted =
                wanted.map(|(rule, head, group)| (Arc::clone(&rule.file), head, group.clone()));
            let wanted = wanted.collect();
            (Some(policies), warnings, wanted)
        }
        Err(refused) => (None, refused.problems, refused.approvals),
    };
    // What is wrong with the names of files other than these was found there, with its place.
    let named = problems.has_errors();
    for problem in found {
        if problem.file.is_empty() && named {
            continue;
        }
        add(problem, &texts, problems);
    }
    // INVARIANT: no policies without a reason; the caller would refuse the files in silence.
    if policies.is_none() && !problems.has_errors() {
        problems.about_file("", "the conditions can't be compiled");
    }
    (policies, wanted)
}

fn by_name(files: &[PolicyFile]) -> HashMap<&str, &Arc<Text>> {
    let texts = files.iter().map(|file| &file.text);
    texts.map(|text| (text.name().as_ref(), text)).collect()
}

fn add(problem: Problem, texts: &HashMap<&str, &Arc<Text>>, problems: &mut Diagnostics) {
    let place = texts
        .get(problem.file.as_ref())
        .zip(problem.span)
        .map(|(text, span)| Place::new(text, span));
    let pushed = match (place, problem.severity) {
        (Some(place), pdp::Severity::Error) => problems.error(&place, problem.message),
        (Some(place), pdp::Severity::Warning) => problems.warning(&place, problem.message),
        (None, pdp::Severity::Error) => problems.about_file(&problem.file, problem.message),
        (None, pdp::Severity::Warning) => problems.warn_file(&problem.file, problem.message),
    };
    pushed.maybe_hint(problem.hint);
}

/// A doubt only: it may come later, and the program that checks may be none that is given it.
fn warn_of_missing(credential: &Injected, place: &Place, problems: &mut Diagnostics) {
    if let Err(error) = &*credential.current() {
        problems
            .warning(place, ErrorChain(error).to_string())
            .hint("calls of this service are refused until it can be read; it is looked for again and again");
    }
}

/// Prepares the way to each service, which reads and checks its TLS files.
fn open(
    drafts: Vec<services::Draft>,
    stand_in: Option<&StandIn>,
    problems: &mut Diagnostics,
) -> Vec<ProtectedService> {
    let mut services = Vec::with_capacity(drafts.len());
    for mut draft in drafts {
        if !draft.complete {
            continue;
        }
        if let Some(StandIn { named, used }) = stand_in {
            let upstreams = draft.service.upstreams.iter_mut();
            for upstream in upstreams.filter(|upstream| *upstream == named) {
                upstream.clone_from(used);
            }
        }
        let credential = draft.service.inject.as_ref().map(Injected::open);
        if let (Some(credential), Some(place)) = (&credential, &draft.inject) {
            warn_of_missing(credential, place, problems);
        }
        match Target::open(&draft.service) {
            Ok(target) => services.push(ProtectedService {
                credential,
                service: draft.service,
                target: Arc::new(target),
            }),
            Err(error) => {
                let message = ErrorChain(&error).to_string();
                problems.error(draft.tls.as_ref().unwrap_or(&draft.place), message);
            }
        }
    }
    services
}
