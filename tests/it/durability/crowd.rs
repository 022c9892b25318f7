//! A store with as many live grants as a busy gateway has.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use portcullis::base::Clock;
use portcullis::grants::{Grants, Limits};
use portcullis::model::{
    Budget, Circumstances, Grant, GrantId, GrantRequest, InputValue, Proof, RequestId, Right, Task,
    TaskId, TaskState, Transition,
};
use portcullis::store::{Change, ClockMark, GrantMark, GrantStore as _, SqliteStore, TaskMark};
use portcullis::telemetry::Metrics;

/// Grants of one task.
const PER_TASK: usize = 4;

/// How long everything lives.
const LIFE: Duration = Duration::from_hours(1);

/// Fills the store at `path` with `count` live grants.
pub(super) async fn fill(path: &Path, clock: &Clock, count: usize) {
    let store = SqliteStore::open(path).unwrap();
    let now = ClockMark {
        boot: clock.boot_id(),
        now: clock.now(),
        wall: clock.wall(),
    };
    let mut batch = vec![Change::MarkClock(now.clone())];
    for _ in 0..count / PER_TASK {
        let task = task(&now);
        let id = task.id.clone();
        let mark = TaskMark {
            opened: now.now,
            lapses: now.now + LIFE,
            oldest: now.now + LIFE,
            history: Vec::new(),
        };
        batch.extend([Change::OpenTask(task), Change::MarkTask(id.clone(), mark)]);
        for _ in 0..PER_TASK {
            let grant = grant(&id, &now);
            let mark = GrantMark {
                starts: now.now,
                deadline: now.now + LIFE,
                calls_left: Some(20),
                bytes_left: None,
            };
            let id = grant.request.grant.clone();
            batch.extend([Change::AddGrant(grant), Change::MarkGrant(id, mark)]);
        }
        if batch.len() > 10_000 {
            store.commit(std::mem::take(&mut batch)).await.unwrap();
        }
    }
    store.commit(batch).await.unwrap();
    store.close().await;
}

/// Opens the store and brings back what is in it; tells how many grants live, and how long it took.
pub(super) async fn start(path: &Path, clock: &Clock) -> (usize, Duration) {
    let before = clock.now();
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let metrics = Arc::new(Metrics::new(std::iter::empty(), std::iter::empty()));
    let (limits, runtime) = (Limits::default(), Handle::current());
    let grants = Grants::new(clock.clone(), store, limits, metrics, runtime);
    let restored = grants.restore().await.unwrap();
    (restored.grants, clock.now() - before)
}

fn task(now: &ClockMark) -> Task {
    Task {
        id: TaskId::random(),
        agent: "billing-bot".parse().unwrap(),
        kind: Some("refund".to_owned()),
        description: None,
        parent: None,
        depth: 0,
        opened_by: "billing-bot".to_owned(),
        opened_at: now.wall,
        lease: LIFE,
        max_age: LIFE,
        state: TaskState::Open,
    }
}

fn grant(task: &TaskId, now: &ClockMark) -> Grant {
    let operations = ["hold", "read", "refund", "release"];
    let request = GrantRequest {
        id: RequestId::random(),
        grant: GrantId::random(),
        agent: "billing-bot".parse().unwrap(),
        task: task.clone(),
        right: Right {
            entitlement: "refunds".parse().unwrap(),
            operations: operations
                .map(|name| format!("orders.{name}").parse().unwrap())
                .into(),
            budget: Budget {
                calls: Some(20),
                ..Budget::default()
            },
            proof: Proof::Bearer,
            approval: None,
        }
        .into(),
        input: [("order_id".into(), InputValue::String("1001".into()))].into(),
        reason: Some("the customer was sent the wrong item".into()),
        duration: LIFE,
        requested_at: now.wall,
        parent: None,
        asked: Circumstances {
            methods: vec!["private_key_jwt".into()],
            ..Circumstances::UNKNOWN
        }
        .into(),
    };
    let mut grant = Grant::requested(Arc::new(request));
    let expires_at = now.wall + LIFE;
    let step = Transition::Activate { expires_at };
    grant.apply(step, now.wall).unwrap();
    grant
}
