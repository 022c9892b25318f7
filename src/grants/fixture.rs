//! A gateway's grants for tests: a store that outlives them and can fail, and clocks that are moved.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::{Asking, Grants, Limits, LiveGrant, LiveTask, OpenTask, Restored};
use crate::base::{Clock, ManualClock};
use crate::model::{
    Circumstances, Entitlement, Grant, GrantId, GrantRequest, Inputs, Proof, RequestId, Task,
};
use crate::store::{Change, Flaky, GrantStore as _};
use crate::telemetry::Metrics;

/// A disk with two processes' worth of time before it.
pub(super) struct World {
    pub(super) store: Arc<Flaky>,
    pub(super) clock: Clock,
    pub(super) hand: ManualClock,
    pub(super) entitlement: Entitlement,
    pub(super) limits: Limits,
}

impl World {
    pub(super) fn new() -> Self {
        let (clock, hand) = Clock::manual("2026-11-24T08:00:00Z".parse().unwrap());
        Self {
            store: Arc::default(),
            clock,
            hand,
            entitlement: Entitlement {
                id: "refunds".parse().unwrap(),
                operations: ["orders.refund".parse().unwrap()].into(),
                max_ttl: Duration::from_mins(15),
                max_calls: None,
                max_bytes: None,
                max_concurrent: None,
                approval: None,
                proof: Proof::Bearer,
                reason_required: false,
            },
            limits: Limits::default(),
        }
    }

    /// A process starts; that the one before is gone is for the test to know.
    pub(super) async fn start(&self) -> (Grants, Restored) {
        let grants = self.unrestored();
        let restored = grants.restore().await.unwrap();
        (grants, restored)
    }

    pub(super) fn unrestored(&self) -> Grants {
        let metrics = Arc::new(Metrics::new(std::iter::empty(), std::iter::empty()));
        let store = Arc::clone(&self.store);
        let limits = self.limits;
        Grants::new(
            self.clock.clone(),
            store,
            limits,
            metrics,
            Handle::current(),
        )
    }

    pub(super) async fn open(
        &self,
        grants: &Grants,
        id: &str,
        parent: Option<&str>,
    ) -> Arc<LiveTask> {
        grants.open_task(self.opening(id, parent)).await.unwrap()
    }

    pub(super) fn opening(&self, id: &str, parent: Option<&str>) -> OpenTask {
        OpenTask {
            id: Some(id.parse().unwrap()),
            agent: "bot".parse().unwrap(),
            kind: None,
            description: None,
            parent: parent.map(|parent| parent.parse().unwrap()),
            opened_by: "bot".to_owned(),
            lease: Some(Duration::from_mins(30)),
        }
    }

    pub(super) fn request(&self, duration: Duration) -> GrantRequest {
        GrantRequest {
            id: RequestId::random(),
            grant: GrantId::random(),
            agent: "bot".parse().unwrap(),
            task: "t".parse().unwrap(),
            right: self.entitlement.right().into(),
            input: Default::default(),
            reason: None,
            duration,
            requested_at: self.clock.wall(),
            parent: None,
            asked: Circumstances::UNKNOWN.into(),
        }
    }

    pub(super) async fn activate(&self, grants: &Grants, task: &Arc<LiveTask>) -> Arc<LiveGrant> {
        grants.activate(self.asking(task)).await.unwrap()
    }

    pub(super) fn asking<'a>(&'a self, task: &'a Arc<LiveTask>) -> Asking<'a> {
        Asking {
            entitlement: &self.entitlement,
            task,
            reason: None,
            duration: None,
            input: Inputs::new(),
            asked: Circumstances::UNKNOWN,
        }
    }

    /// Writes behind the back of whoever runs.
    pub(super) async fn commit(&self, batch: Vec<Change>) {
        self.store.commit(batch).await.unwrap();
    }

    pub(super) async fn stored_task(&self, id: &str) -> Task {
        let stored = self.store.task(&id.parse().unwrap()).await.unwrap();
        stored.unwrap().task
    }

    pub(super) async fn stored_grant(&self, live: &LiveGrant) -> Grant {
        let stored = self.store.grant(&live.request().grant).await.unwrap();
        stored.unwrap()
    }

    pub(super) fn wall(&self, seconds: i64) -> Timestamp {
        let by = jiff::SignedDuration::from_secs(seconds);
        self.clock.wall().checked_add(by).unwrap()
    }
}
