//! What changes without a step: clocks, budgets, leases and histories, on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::failure::Failure;
use super::super::row::parse;
use crate::base::{BootId, BootInstant};
use crate::store::{ClockMark, CountedCalls, GrantMark, TaskMark};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ClockBody {
    boot: String,
    now: u64,
    wall: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct GrantMarkBody {
    starts: u64,
    deadline: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calls_left: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_left: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct TaskMarkBody {
    opened: u64,
    lapses: u64,
    oldest: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<CountedBody>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CountedBody {
    operation: String,
    calls: i64,
    succeeded: i64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sum: BTreeMap<String, i64>,
    last: u64,
}

impl From<&ClockMark> for ClockBody {
    fn from(mark: &ClockMark) -> Self {
        let ClockMark { boot, now, wall } = mark;
        Self {
            boot: boot.as_str().to_owned(),
            now: now.as_nanos(),
            wall: wall.to_string(),
        }
    }
}

impl ClockBody {
    pub(in super::super) fn into_model(self) -> Result<ClockMark, Failure> {
        Ok(ClockMark {
            boot: BootId::from(self.boot.as_str()),
            now: BootInstant::from_nanos(self.now),
            wall: parse(&self.wall, "time")?,
        })
    }
}

impl From<&GrantMark> for GrantMarkBody {
    fn from(mark: &GrantMark) -> Self {
        let GrantMark {
            starts,
            deadline,
            calls_left,
            bytes_left,
        } = *mark;
        Self {
            starts: starts.as_nanos(),
            deadline: deadline.as_nanos(),
            calls_left,
            bytes_left,
        }
    }
}

impl GrantMarkBody {
    pub(in super::super) const fn into_model(self) -> GrantMark {
        GrantMark {
            starts: BootInstant::from_nanos(self.starts),
            deadline: BootInstant::from_nanos(self.deadline),
            calls_left: self.calls_left,
            bytes_left: self.bytes_left,
        }
    }
}

impl From<&TaskMark> for TaskMarkBody {
    fn from(mark: &TaskMark) -> Self {
        let TaskMark {
            opened,
            lapses,
            oldest,
            history,
        } = mark;
        Self {
            opened: opened.as_nanos(),
            lapses: lapses.as_nanos(),
            oldest: oldest.as_nanos(),
            history: history.iter().map(Into::into).collect(),
        }
    }
}

impl TaskMarkBody {
    pub(in super::super) fn into_model(self) -> Result<TaskMark, Failure> {
        let history = self.history.into_iter().map(CountedBody::into_model);
        Ok(TaskMark {
            opened: BootInstant::from_nanos(self.opened),
            lapses: BootInstant::from_nanos(self.lapses),
            oldest: BootInstant::from_nanos(self.oldest),
            history: history.collect::<Result<_, Failure>>()?,
        })
    }
}

impl From<&CountedCalls> for CountedBody {
    fn from(counted: &CountedCalls) -> Self {
        let CountedCalls {
            operation,
            calls,
            succeeded,
            sum,
            last,
        } = counted;
        let sum = sum.iter().map(|(name, sum)| (name.to_string(), *sum));
        Self {
            operation: operation.to_string(),
            calls: *calls,
            succeeded: *succeeded,
            sum: sum.collect(),
            last: last.as_nanos(),
        }
    }
}

impl CountedBody {
    fn into_model(self) -> Result<CountedCalls, Failure> {
        let sum = self.sum.into_iter();
        Ok(CountedCalls {
            operation: parse(&self.operation, "operation id")?,
            calls: self.calls,
            succeeded: self.succeeded,
            sum: sum.map(|(name, sum)| (Arc::from(name), sum)).collect(),
            last: BootInstant::from_nanos(self.last),
        })
    }
}
