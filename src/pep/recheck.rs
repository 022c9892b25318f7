//! Running exchanges and a new configuration: each is asked about again, and what is no longer allowed
//! is cut.

use std::collections::HashSet;
use std::future::pending;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::yield_now;

use super::canonical::Canonical;
use super::enforce::still_permits;
use super::gate::Gate;
use super::running::Running;
use super::worker::Worker;
use crate::access::{Asker, Identity};
use crate::config::Snapshot;
use crate::grants::LiveGrant;
use crate::model::{Inputs, OperationId};

/// So many exchanges are asked about before others get their turn.
const BATCH: usize = 32;

/// What a permitted exchange was permitted as: enough to ask again.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) identity: Identity,
    pub(super) source: IpAddr,
    pub(super) operation: OperationId,
    pub(super) grant: Option<Arc<LiveGrant>>,
    pub(super) canonical: Rc<Canonical>,
    pub(super) inputs: Inputs,
}

impl Worker {
    /// Asks about every running exchange whenever a new generation goes live, and lets go of the
    /// upstreams that it no longer has.
    pub(super) async fn recheck(self: Rc<Self>, mut published: watch::Receiver<()>) {
        while published.changed().await.is_ok() {
            let snapshot = self.gate.snapshot.current();
            self.forget_targets(&snapshot);
            for (number, running) in self.exchanges.all().into_iter().enumerate() {
                // Gone meanwhile, most of them.
                if let Some(running) = running.upgrade() {
                    recheck(&self.gate, &snapshot, &running);
                }
                if number % BATCH == BATCH - 1 {
                    yield_now().await;
                }
            }
        }
        // Nobody publishes any more: the gateway stops.
        pending::<()>().await;
    }

    fn forget_targets(&self, snapshot: &Snapshot) {
        let targets = snapshot.services().map(|service| service.target.key());
        let live: HashSet<_> = targets.collect();
        self.pool.retain(|target| live.contains(target.key()));
    }
}

fn recheck(gate: &Gate, snapshot: &Snapshot, running: &Running) {
    let allowed = running.with_standing(|standing| {
        let agent = snapshot.agent(standing.identity.agent.agent.id.as_str())?;
        let endpoint = snapshot.operation(standing.operation.as_str())?;
        let identity = Identity {
            agent: Arc::clone(agent),
            ..standing.identity.clone()
        };
        let times = (gate.clock.now(), gate.clock.wall());
        let asker = Asker::new(snapshot, &identity, standing.source, times);
        still_permits(&asker, endpoint, standing).then_some(())
    });
    if allowed == Some(None) {
        running.withdraw();
    }
}
