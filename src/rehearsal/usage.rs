//! What tasks really used, and the smallest entitlement that would have been enough.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Record, RecordKind, Verdict};
use crate::config::Snapshot;

/// What the tasks of one kind, of one agent, used under one entitlement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The operations, and how often.
    pub operations: BTreeMap<String, u64>,
    /// In how many tasks.
    pub tasks: usize,
    /// The most calls of one grant.
    pub most_calls: u64,
    /// The most bytes of one grant, both directions counted.
    pub most_bytes: u64,
    /// Operations that the entitlement has and that nothing used.
    pub unused: Vec<String>,
    /// Whether the entitlement is one of the policies.
    pub known: bool,
}

/// Gathers what is used, record by record.
#[derive(Debug, Default)]
pub struct Usages {
    used: BTreeMap<(String, String), Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    operations: BTreeMap<String, u64>,
    tasks: BTreeSet<String>,
    calls: BTreeMap<String, u64>,
    bytes: BTreeMap<String, u64>,
}

impl Usages {
    /// Takes note of a record; only calls that passed under a grant count.
    pub fn put(&mut self, record: &Record) {
        let (RecordKind::Call, Verdict::Allow) = (record.kind, record.verdict) else {
            return;
        };
        let (Some(entitlement), Some(operation), Some(grant), Some(task)) = (
            &record.entitlement,
            &record.operation,
            &record.grant,
            &record.task,
        ) else {
            return;
        };
        let asked = record.asked.as_ref().and_then(|asked| asked.task.as_ref());
        let kind = asked.map_or_else(String::new, |task| task.kind.to_string());
        let used = self
            .used
            .entry((kind, entitlement.to_string()))
            .or_default();
        *used.operations.entry(operation.to_string()).or_default() += 1;
        used.tasks.insert(task.to_string());
        *used.calls.entry(grant.to_string()).or_default() += 1;
        let bytes = record.bytes_in.saturating_add(record.bytes_out);
        let sum = used.bytes.entry(grant.to_string()).or_default();
        *sum = sum.saturating_add(bytes);
    }

    /// By kind of task and entitlement, compared with what `snapshot` gives.
    #[must_use]
    pub fn compare(self, snapshot: &Snapshot) -> BTreeMap<(String, String), Usage> {
        let used = self.used.into_iter().map(|(key, used)| {
            let entitlement = snapshot.entitlement(&key.1);
            let has = entitlement.into_iter().flat_map(|one| &one.operations);
            let unused = has.filter(|id| !used.operations.contains_key(id.as_str()));
            let usage = Usage {
                unused: unused.map(ToString::to_string).collect(),
                known: entitlement.is_some(),
                tasks: used.tasks.len(),
                most_calls: used.calls.values().copied().max().unwrap_or(0),
                most_bytes: used.bytes.values().copied().max().unwrap_or(0),
                operations: used.operations,
            };
            (key, usage)
        });
        used.collect()
    }
}
