//! What a candidate would change: for what agents may ask for, for live grants, for decisions of late.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::Compares;
use crate::audit::{Backwards, ReadError, Record};
use crate::base::Live;
use crate::config::{Diagnostics, Snapshot, Sources, beside, compile};
use crate::grants::Grants;
use crate::pdp::Memory;
use crate::pep::{Cuts, Gate};
use crate::rehearsal::{Differs, Replay, Replayed, compare};

use super::upkeep::is_known;

/// How many records are put to the candidate, the newest.
const RECORDS: usize = 10_000;

/// How many of the grants that would end are named.
const NAMED: usize = 500;

/// Compares what lies on the disk with what is live.
pub(super) struct Comparing {
    pub(super) live: Arc<Live<Snapshot>>,
    pub(super) grants: Grants,
    pub(super) gate: Arc<Gate>,
    pub(super) sources: Sources,
    pub(super) audit: PathBuf,
}

impl Comparing {
    /// `<directory>.candidate` where there is one, in the place of the policies; else the files that
    /// would be read by a reload.
    fn candidate(&self) -> Sources {
        let mut sources = self.sources.clone();
        if let Some(first) = sources.directories.first_mut() {
            let candidate = beside(first);
            if candidate.is_dir() {
                *first = candidate;
            }
        }
        sources
    }

    fn ending(&self, candidate: &Snapshot) -> Value {
        let lost = self
            .grants
            .would_end(|request| is_known(candidate, request));
        let streams: u64 = lost.iter().map(|grant| u64::from(grant.running())).sum();
        let items = lost.iter().take(NAMED).map(|grant| {
            let request = grant.request();
            json!({
                "id": request.grant.as_str(),
                "agent": request.agent.as_str(),
                "task": request.task.as_str(),
                "entitlement": request.right.entitlement.as_str(),
                "streams": grant.running(),
            })
        });
        json!({ "count": lost.len(), "streams": streams, "items": items.collect::<Value>() })
    }
}

/// Puts the newest decisions of a log, those since a moment, to `live` and to `candidate`: what was recorded
/// may be older than what is live.
pub(super) fn replayed(
    audit: &Path,
    (live, candidate): (&Snapshot, &Snapshot),
    since: Option<Timestamp>,
) -> Result<Replayed, ReadError> {
    let mut replay = Replay::beside(live, candidate);
    for line in Backwards::open(audit, None)?.take(RECORDS) {
        // What is no record is for `audit verify` to name.
        let Ok(record) = line?.record() else {
            continue;
        };
        if since.is_some_and(|since| record.at < since) {
            break;
        }
        replay.put(&record, &place(&record));
    }
    Ok(replay.finish())
}

/// What a decision is found by in the log: calls by their own id, others by that of what was decided.
fn place(record: &Record) -> String {
    let request = record.request.as_ref().map(ToString::to_string);
    let grant = record.grant.as_ref().map(ToString::to_string);
    let task = record.task.as_ref().map(ToString::to_string);
    let own = record.request_id.clone();
    let found = own.or(request).or(grant).or(task);
    found.unwrap_or_else(|| record.at.to_string())
}

fn cut(cuts: &Cuts) -> Value {
    let items = cuts.named.iter().map(|one| {
        json!({
            "request_id": one.request_id,
            "agent": one.agent.as_str(),
            "task": one.task.as_ref().map(|id| id.as_str()),
            "grant": one.grant.as_ref().map(|id| id.as_str()),
            "operation": one.operation.as_str(),
        })
    });
    json!({ "count": cuts.count, "complete": cuts.complete, "items": items.collect::<Value>() })
}

impl Compares for Comparing {
    fn compare(&self) -> Result<Value, Diagnostics> {
        let (candidate, _) = compile(&self.candidate(), &mut Memory::default())?;
        let candidate = Arc::new(candidate);
        let live = self.live.current();
        Ok(json!({
            "live": live.generation().as_str(),
            "candidate": candidate.generation().as_str(),
            "access": Differs::all_to_json(&compare(&live, &candidate)),
            "grants": self.ending(&candidate),
            "exchanges": cut(&self.gate.would_cut(&candidate)),
            "replay": match replayed(&self.audit, (&live, &candidate), None) {
                Ok(replayed) => replayed.to_json(),
                Err(error) => json!({ "error": error.to_string() }),
            },
        }))
    }
}

impl fmt::Debug for Comparing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparing").finish_non_exhaustive()
    }
}
