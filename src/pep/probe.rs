//! What a candidate would do to the exchanges that run now: every worker is asked, and nothing is cut.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::task::yield_now;

use super::gate::Gate;
use super::recheck::still_allowed;
use super::worker::Worker;
use crate::config::Snapshot;
use crate::model::{AgentId, EndReason, GrantId, OperationId, TaskId};

/// So many exchanges are asked about before others get their turn.
const BATCH: usize = 32;

/// How long the answers of all workers are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many exchanges each worker names.
const NAMED: usize = 500;

/// An exchange that a candidate would cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WouldCut {
    /// Its request's id.
    pub request_id: String,
    /// Who asked.
    pub agent: AgentId,
    /// In which task.
    pub task: Option<TaskId>,
    /// Under which grant.
    pub grant: Option<GrantId>,
    /// For what.
    pub operation: OperationId,
}

/// What a candidate would do to running exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// How many it would cut.
    pub count: usize,
    /// Some of them.
    pub named: Vec<WouldCut>,
    /// Whether every worker has answered in time.
    pub complete: bool,
}

/// A question to every worker.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    candidate: Arc<Snapshot>,
    answers: SyncSender<(usize, Vec<WouldCut>)>,
}

impl Gate {
    /// Asks what `candidate` would cut of what runs. It waits for the workers, and so must not be called on
    /// one of their threads.
    #[must_use]
    pub fn would_cut(&self, candidate: &Arc<Snapshot>) -> Cuts {
        // Room for the answer of each, so that none ever waits.
        let (answers, answered) = sync_channel(self.workers().max(1));
        let probe = Probe {
            candidate: Arc::clone(candidate),
            answers,
        };
        let mut cuts = Cuts {
            complete: true,
            ..Cuts::default()
        };
        let deadline = self.clock.now() + PATIENCE;
        for _ in 0..self.ask_workers(probe) {
            let left = deadline.saturating_since(self.clock.now());
            let Ok((count, named)) = answered.recv_timeout(left) else {
                cuts.complete = false;
                break;
            };
            cuts.count += count;
            cuts.named.extend(named);
        }
        cuts.named.truncate(NAMED);
        cuts
    }
}

impl Worker {
    /// Answers for the exchanges of this worker.
    pub(super) async fn answer(&self, probe: &Probe) {
        let (mut count, mut named) = (0, Vec::new());
        for (number, running) in self.exchanges.all().into_iter().enumerate() {
            if let Some(running) = running.upgrade() {
                let cut = running.with_standing(|standing| {
                    let grant = standing.grant.as_ref();
                    let reason = EndReason::PolicyChanged;
                    if still_allowed(&self.gate, &probe.candidate, standing, reason).is_ok() {
                        return None;
                    }
                    Some(WouldCut {
                        request_id: String::new(),
                        agent: standing.identity.agent.agent.id.clone(),
                        task: grant.map(|grant| grant.request().task.clone()),
                        grant: grant.map(|grant| grant.request().grant.clone()),
                        operation: standing.operation.clone(),
                    })
                });
                if let Some(mut cut) = cut.flatten() {
                    count += 1;
                    if named.len() < NAMED {
                        running.note(|record| {
                            cut.request_id = record.request_id.clone().unwrap_or_default();
                        });
                        named.push(cut);
                    }
                }
            }
            if number % BATCH == BATCH - 1 {
                yield_now().await;
            }
        }
        // Whoever asked may have lost patience.
        let _ = probe.answers.try_send((count, named));
    }
}
