//! Why a new generation of policies has to wait for an operator.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::comparing::replayed;
use crate::base::{Clock, ErrorChain};
use crate::config::{
    Hold, Reloader, Settings, Severity, Snapshot, Sources, compile_for_tests, read_tables,
};
use crate::grants::Grants;
use crate::pdp::Memory;
use crate::pep::Gate;
use crate::rehearsal::{Differs, compare, run_tables};

use super::upkeep::is_known;

/// How many of many are named.
const NAMED: usize = 3;

/// Holds new policies for what `hold` of the settings names.
pub(super) fn hold_policies(
    reloader: &Reloader,
    (grants, gate): (&Grants, &Arc<Gate>),
    settings: &Settings,
    (sources, clock): (&Sources, &Clock),
) {
    if settings.hold.is_empty() {
        return;
    }
    let (grants, gate) = (grants.clone(), Arc::clone(gate));
    let (hold, above) = (settings.hold.clone(), settings.hold_above);
    let (audit, window) = (settings.audit.clone(), settings.replay_window);
    let (sources, clock) = (sources.clone(), clock.clone());
    reloader.hold_for(move |live, candidate| {
        let reasons = hold.iter().filter_map(|what| match what {
            Hold::Access => access(live, candidate),
            Hold::Exchanges => cut(candidate, &gate, above),
            Hold::Grants => ended(candidate, &grants, above),
            Hold::Replay => otherwise((live, candidate), &audit, clock.wall() - window, above),
            Hold::Tests => tests(candidate, &sources),
        });
        reasons.collect()
    });
}

fn access(live: &Snapshot, candidate: &Snapshot) -> Option<String> {
    let differs = compare(live, candidate);
    let gains: Vec<_> = differs.iter().filter(|one| one.is_gain()).collect();
    let named = gains.iter().take(NAMED).map(|one| {
        let Differs {
            agent,
            operation,
            before,
            after,
        } = one;
        format!("`{agent}` to `{operation}` ({before} > {after})")
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let count = gains.len();
    let become_easier = counted(count as u64, ["way becomes", "ways become"]);
    (count > 0).then(|| format!("access: {become_easier} easier, such as {named}"))
}

fn cut(candidate: &Arc<Snapshot>, gate: &Gate, above: u64) -> Option<String> {
    let cuts = gate.would_cut(candidate);
    if !cuts.complete {
        return Some("exchanges: not every worker has told what it would cut".to_owned());
    }
    let count = cuts.count as u64;
    let exchanges = counted(count, ["running exchange", "running exchanges"]);
    (count > above).then(|| format!("exchanges: {exchanges} would be cut"))
}

fn otherwise(
    between: (&Snapshot, &Snapshot),
    audit: &Path,
    since: Timestamp,
    above: u64,
) -> Option<String> {
    let replayed = match replayed(audit, between, Some(since)) {
        Ok(replayed) => replayed,
        Err(error) => return Some(format!("replay: {}", ErrorChain(&error))),
    };
    let count: u64 = replayed.changes.iter().map(|one| one.count).sum();
    let named = replayed.changes.iter().take(NAMED).map(|one| {
        let (agent, what) = (&one.agent, &one.what);
        format!("`{agent}` at `{what}` ({} > {})", one.before, one.after)
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let total = replayed.decisions;
    (count > above).then(|| {
        let decisions = counted(total, ["decision", "decisions"]);
        format!("replay: {count} of {decisions} would come otherwise, such as {named}")
    })
}

fn ended(candidate: &Snapshot, grants: &Grants, above: u64) -> Option<String> {
    let count = grants
        .would_end(|request| is_known(candidate, request))
        .len();
    let grants = counted(count as u64, ["live grant", "live grants"]);
    (count as u64 > above).then(|| format!("grants: {grants} would end"))
}

fn tests(candidate: &Snapshot, sources: &Sources) -> Option<String> {
    let (tables, problems) = read_tables(&sources.directories);
    let mut errors = problems
        .iter()
        .filter(|one| one.severity() == Severity::Error);
    if let Some(first) = errors.next() {
        return Some(format!("tests: the decision tables can't be read: {first}"));
    }
    if tables.cases.is_empty() {
        return None;
    }
    // With the agents that only the tables know.
    let compiled = compile_for_tests(sources, &tables, &mut Memory::default());
    let Ok(snapshot) = compiled else {
        return Some("tests: the policies do not compile with the agents of the tables".to_owned());
    };
    if snapshot.generation() != candidate.generation() {
        return Some("tests: the files have changed meanwhile".to_owned());
    }
    let report = run_tables(&snapshot, &tables.cases);
    let failed: Vec<_> = report.outcomes.iter().filter(|one| !one.passed).collect();
    let named = failed.iter().take(NAMED).map(|one| {
        format!(
            "`{}` at {}: {} instead of {}",
            one.name, one.place, one.got, one.expected
        )
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let count = failed.len();
    let come = counted(count as u64, ["case comes", "cases come"]);
    (count > 0).then(|| format!("tests: {come} otherwise, such as {named}"))
}

/// So many of a thing, by its word for one and for more.
fn counted(count: u64, [one, more]: [&str; 2]) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
