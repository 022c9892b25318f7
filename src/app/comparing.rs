//! What a candidate would change: for what agents may ask for, for live grants, for decisions of late.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::access::Compares;
use crate::audit::Backwards;
use crate::base::Live;
use crate::config::{Diagnostics, Snapshot, Sources, compile};
use crate::grants::Grants;
use crate::pdp::Memory;
use crate::rehearsal::{Differs, Replay, compare};

use super::upkeep::is_known;

/// How many records are put to the candidate, the newest.
const RECORDS: usize = 10_000;

/// How many of the grants that would end are named.
const NAMED: usize = 500;

/// Compares what lies on the disk with what is live.
pub(super) struct Comparing {
    pub(super) live: Arc<Live<Snapshot>>,
    pub(super) grants: Grants,
    pub(super) sources: Sources,
    pub(super) audit: PathBuf,
}

impl Comparing {
    /// `<directory>.candidate` where there is one, in the place of the policies; else the files that
    /// would be read by a reload.
    fn candidate(&self) -> Sources {
        let mut sources = self.sources.clone();
        if let Some(first) = sources.directories.first_mut() {
            let mut name = first.clone().into_os_string();
            name.push(".candidate");
            let candidate = PathBuf::from(name);
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
                "entitlement": request.entitlement.as_str(),
                "streams": grant.running(),
            })
        });
        json!({ "count": lost.len(), "streams": streams, "items": items.collect::<Value>() })
    }

    fn replayed(&self, candidate: &Snapshot) -> Value {
        let mut replay = Replay::new(candidate);
        let lines = match Backwards::open(&self.audit, None) {
            Ok(lines) => lines,
            Err(error) => return json!({ "error": error.to_string() }),
        };
        for line in lines.take(RECORDS) {
            let line = match line {
                Ok(line) => line,
                Err(error) => return json!({ "error": error.to_string() }),
            };
            // What is no record is for `audit verify` to name.
            if let Ok(record) = line.record() {
                let place = record.request_id.clone().unwrap_or_default();
                replay.put(&record, &place);
            }
        }
        replay.finish().to_json()
    }
}

impl Compares for Comparing {
    fn compare(&self) -> Result<Value, Diagnostics> {
        let (candidate, _) = compile(&self.candidate(), &mut Memory::default())?;
        let live = self.live.current();
        Ok(json!({
            "live": live.generation().as_str(),
            "candidate": candidate.generation().as_str(),
            "access": Differs::all_to_json(&compare(&live, &candidate)),
            "grants": self.ending(&candidate),
            "replay": self.replayed(&candidate),
        }))
    }
}

impl fmt::Debug for Comparing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparing").finish_non_exhaustive()
    }
}
