//! A world that is only supposed: an agent with a task, grants and a past.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::access::{Asker, SupposedSignals};
use crate::base::{BootInstant, Digest};
use crate::config::{EnrolledAgent, Snapshot};
use crate::grants::{LiveGrant, LiveTask};
use crate::model::{
    Approval, ApprovalRule, Budget, Circumstances, Entitlement, Grant, GrantId, GrantRequest,
    GrantState, GroupName, Holder, Inputs, OperationId, PersonId, Proof, RequestId, Right,
    RiskFacts, Shared, Task, TaskId, TaskState, Term,
};
use crate::store::{CountedCalls, GrantMark, TaskMark};

/// Where the boot clock stands: late enough that everything has a past.
const NOW: BootInstant = BootInstant::from_nanos(1 << 62);

/// Longer than any case looks ahead.
const LONG: Duration = Duration::from_hours(24 * 365);

/// Who is supposed to have agreed.
const SOMEBODY: &str = "somebody";

/// A supposed world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) agent: Arc<EnrolledAgent>,
    pub(super) task: Option<Arc<LiveTask>>,
    pub(super) methods: Vec<String>,
    pub(super) proof: Proof,
    pub(super) source: IpAddr,
    pub(super) wall: Timestamp,
    pub(super) signals: SupposedSignals,
}

/// A supposed task.
#[derive(Debug)]
pub(super) struct Working {
    pub(super) id: TaskId,
    pub(super) kind: Option<String>,
    pub(super) age: Duration,
    pub(super) depth: u32,
    pub(super) opened_by: String,
}

/// A supposed grant.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) id: GrantId,
    pub(super) operations: std::collections::BTreeSet<OperationId>,
    pub(super) age: Duration,
    pub(super) calls_left: Option<u64>,
    pub(super) bytes_left: Option<u64>,
    /// The group in whose name people have agreed.
    pub(super) approved_by: Option<GroupName>,
    /// Whether they have shown a second factor.
    pub(super) approved_mfa: bool,
    pub(super) input: Inputs,
    pub(super) proof: Proof,
    pub(super) suspended: bool,
}

/// What a supposed task has called of an operation.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) operation: OperationId,
    pub(super) calls: i64,
    pub(super) succeeded: i64,
    pub(super) sum: BTreeMap<Arc<str>, i64>,
    /// For how long the last is over.
    pub(super) last: Duration,
}

impl World {
    /// Who asks, in this world.
    pub(super) fn ask<T>(&self, snapshot: &Snapshot, put: impl FnOnce(&Asker<'_>) -> T) -> T {
        let methods: Vec<&str> = self.methods.iter().map(String::as_str).collect();
        let key = Digest::of(b"a key that is only supposed");
        let holder = match self.proof {
            Proof::Bearer => None,
            Proof::Dpop => Some(Holder::DpopKey(key)),
            Proof::Mtls => Some(Holder::Certificate(key)),
        };
        put(&Asker {
            snapshot,
            agent: &self.agent,
            task: self.task.as_ref(),
            methods: &methods,
            acr: &[],
            holder,
            source: self.source,
            risk: RiskFacts::UNKNOWN,
            habits: None,
            now: NOW,
            wall: self.wall,
            supposed: Some(&self.signals),
        })
    }
}

/// A task of `agent` with these grants and this past.
pub(super) fn task(
    agent: &EnrolledAgent,
    working: Working,
    grants: Vec<Arc<LiveGrant>>,
    called: Vec<Called>,
) -> Arc<LiveTask> {
    let opened = back(working.age);
    let mark = TaskMark {
        opened,
        lapses: NOW + LONG,
        oldest: NOW + LONG,
        history: called
            .into_iter()
            .map(|one| CountedCalls {
                operation: one.operation,
                calls: one.calls,
                succeeded: one.succeeded,
                sum: one.sum,
                last: back(one.last),
            })
            .collect(),
    };
    let task = Task {
        id: working.id,
        agent: agent.agent.id.clone(),
        kind: working.kind,
        description: None,
        parent: None,
        depth: working.depth,
        opened_by: working.opened_by,
        opened_at: Timestamp::UNIX_EPOCH,
        lease: LONG,
        max_age: LONG,
        state: TaskState::Open,
    };
    Arc::new(LiveTask::supposed(task, mark, grants))
}

/// A grant of `entitlement` in force.
pub(super) fn grant(
    agent: &EnrolledAgent,
    task: &TaskId,
    entitlement: &Entitlement,
    holding: Holding,
) -> Arc<LiveGrant> {
    let (group, mfa) = (holding.approved_by, holding.approved_mfa);
    let approvals = group.iter().filter_map(|_| {
        let person: PersonId = SOMEBODY.parse().ok()?;
        Some(Approval {
            person,
            at: Timestamp::UNIX_EPOCH,
            mfa,
            at_most: None,
        })
    });
    let term = Term {
        starts_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::MAX,
        approvals: approvals.collect(),
    };
    let request = GrantRequest {
        id: RequestId::random(),
        grant: holding.id,
        agent: agent.agent.id.clone(),
        task: task.clone(),
        right: Right {
            entitlement: entitlement.id.clone(),
            operations: holding.operations.into(),
            budget: Budget {
                calls: holding.calls_left,
                bytes: holding.bytes_left,
                concurrent: entitlement.max_concurrent,
            },
            proof: holding.proof,
            approval: group.map(|group| {
                let rule = ApprovalRule {
                    group,
                    quorum: 1,
                    mfa,
                    expires: LONG,
                };
                rule.into()
            }),
        }
        .into(),
        input: Shared::of(holding.input),
        reason: None,
        duration: entitlement.max_ttl,
        requested_at: Timestamp::UNIX_EPOCH,
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    };
    let state = if holding.suspended {
        GrantState::Suspended(term)
    } else {
        GrantState::Active(term)
    };
    let mark = GrantMark {
        starts: back(holding.age),
        deadline: NOW + LONG,
        calls_left: holding.calls_left,
        bytes_left: holding.bytes_left,
    };
    let grant = Grant {
        request: Arc::new(request),
        state,
    };
    Arc::new(LiveGrant::restored(grant, &mark))
}

fn back(age: Duration) -> BootInstant {
    let nanos = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    BootInstant::from_nanos(NOW.as_nanos().saturating_sub(nanos))
}
