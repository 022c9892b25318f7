//! Running exchanges are asked about again when what they were permitted by changes: a new configuration,
//! the agent's risk or habits, the country of its address, the time. What is no longer allowed is cut, and where
//! the answer has not begun its agent is told what the rules want now.
//!
//! The time is looked at once in each second of the wall clock, by one timer of each worker, and only for
//! the exchanges whose rules read it: so "until 17:00" cuts as 17:00 strikes, also where the clocks were
//! put back or forward in between.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::pending;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::yield_now;

use super::canonical::Canonical;
use super::enforce::{refuse_closed_grant, refuse_ended, refuse_withdrawn, still_permits};
use super::gate::Gate;
use super::probe::Probe;
use super::refusal::Refusal;
use super::running::Running;
use super::worker::Worker;
use crate::access::{Asker, Identity};
use crate::base::Seconds;
use crate::config::{Endpoint, Snapshot};
use crate::grants::{Closed, LiveGrant, Reserved};
use crate::model::{AgentId, EndReason, GrantId, Inputs, OperationId};
use crate::pdp::{Depends, Pace, Permit};
use crate::signals::Changed;

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
    /// Its place in the task's history; none without a task.
    pub(super) reserved: Option<Reserved>,
    /// What the last answer depends on.
    pub(super) depends: Cell<Depends>,
}

/// What has changed.
#[derive(Debug)]
enum Change {
    /// The configuration.
    Generation,
    /// What is measured; anything where it is not known what.
    Signal(Option<Changed>),
    /// A grant was suspended; some were where it is not known which.
    Suspension(Option<GrantId>),
    /// The time.
    Time(Pace),
}

impl Change {
    /// Whether it can change the answer that an exchange was permitted by.
    fn concerns(&self, standing: &Standing) -> bool {
        let depends = standing.depends.get();
        let is_of = |agent: &AgentId| standing.identity.agent.agent.id == *agent;
        match self {
            Self::Generation => true,
            Self::Signal(None) => depends.country || depends.habits || depends.risk,
            Self::Signal(Some(Changed::Countries)) => depends.country,
            Self::Signal(Some(Changed::Habits(agent))) => depends.habits && is_of(agent),
            Self::Signal(Some(Changed::Risk(agent))) => depends.risk && is_of(agent),
            Self::Suspension(which) => standing.grant.as_ref().is_some_and(|grant| {
                let id = &grant.request().grant;
                which.as_ref().is_none_or(|which| which == id)
            }),
            Self::Time(pace) => depends.pace.is_some_and(|read| read >= *pace),
        }
    }

    const fn reason(&self) -> EndReason {
        match self {
            Self::Generation => EndReason::PolicyChanged,
            Self::Signal(_) | Self::Suspension(_) | Self::Time(_) => EndReason::ConditionChanged,
        }
    }
}

impl Worker {
    /// Asks about the running exchanges whenever something changes that they were permitted by, and lets
    /// go of the upstreams that a new generation no longer has.
    pub(super) async fn recheck(
        self: Rc<Self>,
        mut published: watch::Receiver<()>,
        mut probes: broadcast::Receiver<Probe>,
    ) {
        let mut signals = self.gate.grants.signals().changes();
        let mut suspensions = self.gate.grants.suspensions();
        let mut seconds = Seconds::new(self.gate.clock.clone());
        loop {
            let change = tokio::select! {
                new = published.changed() => match new {
                    Ok(()) => Change::Generation,
                    // Nobody publishes any more: the gateway stops.
                    Err(_) => break,
                },
                changed = signals.recv() => match changed {
                    Ok(changed) => Change::Signal(Some(changed)),
                    Err(RecvError::Lagged(_)) => Change::Signal(None),
                    Err(RecvError::Closed) => break,
                },
                grant = suspensions.recv() => match grant {
                    Ok(grant) => Change::Suspension(Some(grant)),
                    Err(RecvError::Lagged(_)) => Change::Suspension(None),
                    Err(RecvError::Closed) => break,
                },
                probe = probes.recv() => match probe {
                    Ok(probe) => {
                        self.answer(&probe).await;
                        continue;
                    }
                    // Whoever asked is told that not all have answered.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => break,
                },
                minute = seconds.next() => {
                    Change::Time(if minute { Pace::Minute } else { Pace::Second })
                }
            };
            let snapshot = self.gate.snapshot.current();
            if matches!(change, Change::Generation) {
                self.forget_targets(&snapshot);
                self.attend_targets(&snapshot);
            }
            self.ask_again(&snapshot, &change).await;
        }
        pending::<()>().await;
    }

    async fn ask_again(&self, snapshot: &Snapshot, change: &Change) {
        for (number, running) in self.exchanges.all().into_iter().enumerate() {
            // Gone meanwhile, most of them.
            if let Some(running) = running.upgrade() {
                recheck(&self.gate, snapshot, &running, change);
            }
            if number % BATCH == BATCH - 1 {
                yield_now().await;
            }
        }
    }

    fn forget_targets(&self, snapshot: &Snapshot) {
        let targets = snapshot.services().map(|service| service.target.key());
        let live: HashSet<_> = targets.collect();
        self.pool.retain(|target| live.contains(target.key()));
    }

    /// Begins with the health checks of services that want some.
    pub(super) fn attend_targets(&self, snapshot: &Snapshot) {
        let services = snapshot.services();
        for service in services.filter(|service| service.target.has_checks()) {
            self.pool.attend(&service.target);
        }
    }
}

fn recheck(gate: &Gate, snapshot: &Snapshot, running: &Running, change: &Change) {
    let refusal = running.with_standing(|standing| {
        if !change.concerns(standing) {
            return None;
        }
        let grant = standing.grant.as_ref();
        if let Some(grant) = grant.filter(|grant| grant.is_out_of_force()) {
            return Some(refuse_closed_grant(Closed::Suspended, grant));
        }
        match still_allowed(gate, snapshot, standing, change.reason()) {
            Ok(permit) => {
                standing.depends.set(permit.depends());
                None
            }
            Err(refusal) => Some(refusal),
        }
    });
    if let Some(refusal) = refusal.flatten() {
        running.withdraw(change.reason(), refusal);
    }
}

/// What `snapshot` permits an exchange as now.
///
/// # Errors
///
/// What its agent is told where it does not, `reason` being why it was asked: what a rule demands, and the
/// next step to that, as for a call that begins.
pub(super) fn still_allowed(
    gate: &Gate,
    snapshot: &Snapshot,
    standing: &Standing,
    reason: EndReason,
) -> Result<Permit, Refusal> {
    let permitted = with_asker(gate, snapshot, standing, |asker, endpoint| {
        still_permits(asker, endpoint, standing).map_err(|denial| {
            let refusal = refuse_withdrawn(reason, denial);
            gate.facts.advise(refusal, asker, endpoint)
        })
    });
    permitted.unwrap_or_else(|| Err(refuse_withdrawn(reason, None)))
}

/// The refusal of an exchange that has ended before its answer began, with what leads on from there.
pub(super) fn refuse_over(gate: &Gate, running: &Running, reason: EndReason) -> Refusal {
    let refusal = refuse_ended(reason);
    let snapshot = gate.snapshot.current();
    let advised = running.with_standing(|standing| {
        with_asker(gate, &snapshot, standing, |asker, endpoint| {
            gate.facts.advise(refuse_ended(reason), asker, endpoint)
        })
    });
    advised.flatten().unwrap_or(refusal).closing()
}

/// Puts something to whom an exchange is for, as `snapshot` knows it and its operation, if it does.
fn with_asker<T>(
    gate: &Gate,
    snapshot: &Snapshot,
    standing: &Standing,
    put: impl FnOnce(&Asker<'_>, &Endpoint) -> T,
) -> Option<T> {
    let agent = snapshot.agent(standing.identity.agent.agent.id.as_str())?;
    let endpoint = snapshot.operation(standing.operation.as_str())?;
    let identity = Identity {
        agent: Arc::clone(agent),
        ..standing.identity.clone()
    };
    let times = (gate.clock.now(), gate.clock.wall());
    let signals = gate.grants.signals();
    let asker = Asker::new(snapshot, &identity, standing.source, times, signals);
    Some(put(&asker, endpoint))
}
