//! Grants at rest: a rule that says what becomes of grants when it turns against them (`@on_change`) is
//! asked again when what it reads changes, though nobody calls. What runs under them is asked by the
//! enforcement point.

use std::collections::BTreeSet;
use std::fmt;
use std::future::pending;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::yield_now;
use tracing::error;

use super::asker::{Asker, risk_of, whole};
use crate::audit::{Audit, Record, RecordKind};
use crate::base::{Clock, ErrorChain, Live, Seconds};
use crate::config::Snapshot;
use crate::grants::{Grants, GrantsError, LiveGrant};
use crate::model::{AgentId, Ask, EndReason, GrantFacts, History, HttpFacts, Inputs, OperationId};
use crate::pdp::{OnChange, Pace};

/// So many grants are asked about before others get their turn.
const BATCH: usize = 64;

/// Watches over the grants at rest.
pub struct Vigil {
    snapshot: Arc<Live<Snapshot>>,
    grants: Grants,
    audit: Audit,
    clock: Clock,
}

/// What has changed.
#[derive(Debug)]
enum Change {
    /// The configuration.
    Generation,
    /// The risk of some agents; of any where it is not known whose.
    Risk(Option<BTreeSet<AgentId>>),
    /// The time.
    Time(Pace),
}

impl Vigil {
    /// Watches over `grants`.
    #[must_use]
    pub const fn new(
        snapshot: Arc<Live<Snapshot>>,
        grants: Grants,
        audit: Audit,
        clock: Clock,
    ) -> Self {
        Self {
            snapshot,
            grants,
            audit,
            clock,
        }
    }

    /// Suspends, resumes and ends grants as the rules say, at the start and whenever something changes
    /// that they read. `published` tells of new generations.
    pub async fn run(self, mut published: watch::Receiver<()>) {
        let mut risks = self.grants.signals().changes();
        let mut seconds = Seconds::new(self.clock.clone());
        let mut change = Change::Generation;
        loop {
            self.ask(&change).await;
            change = tokio::select! {
                new = published.changed() => match new {
                    Ok(()) => Change::Generation,
                    Err(_) => break,
                },
                agent = risks.recv() => match agent {
                    Ok(agent) => Change::Risk(all_of(agent, &mut risks)),
                    Err(RecvError::Lagged(_)) => Change::Risk(None),
                    Err(RecvError::Closed) => break,
                },
                minute = seconds.next() => {
                    Change::Time(if minute { Pace::Minute } else { Pace::Second })
                }
            };
        }
        // The gateway stops.
        pending::<()>().await;
    }

    async fn ask(&self, change: &Change) {
        let snapshot = self.snapshot.current();
        let Some(depends) = snapshot.policies().turning() else {
            // No rule keeps a grant suspended any more.
            if matches!(change, Change::Generation) {
                let suspended = self.grants.live_grants(LiveGrant::is_suspended);
                self.judge_all(&snapshot, &suspended).await;
            }
            return;
        };
        let grants = match change {
            Change::Generation => self.grants.live_grants(|_| true),
            Change::Risk(_) if !depends.risk => return,
            Change::Risk(None) => self.grants.live_grants(|_| true),
            Change::Risk(Some(agents)) => self
                .grants
                .live_grants(|grant| agents.contains(&grant.request().agent)),
            Change::Time(pace) if depends.pace.is_some_and(|read| read >= *pace) => {
                self.grants.live_grants(|_| true)
            }
            Change::Time(_) => return,
        };
        self.judge_all(&snapshot, &grants).await;
    }

    async fn judge_all(&self, snapshot: &Snapshot, grants: &[Arc<LiveGrant>]) {
        for (number, grant) in grants.iter().enumerate() {
            self.judge(snapshot, grant).await;
            if number % BATCH == BATCH - 1 {
                yield_now().await;
            }
        }
    }

    async fn judge(&self, snapshot: &Snapshot, grant: &Arc<LiveGrant>) {
        let turned = self.turned(snapshot, grant);
        let suspended = grant.is_suspended();
        let done = match &turned {
            Some((OnChange::End, _)) => {
                let id = &grant.request().grant;
                let ended = self.grants.end_grant(id, EndReason::ConditionChanged);
                ended.await.map(|_| Some("ended"))
            }
            Some((OnChange::Suspend, _)) if !suspended => {
                let done = self.grants.suspend(grant).await;
                done.map(|done| done.map(|_| "suspended"))
            }
            None if suspended => {
                let done = self.grants.resume(grant).await;
                done.map(|done| done.map(|_| "resumed"))
            }
            Some((OnChange::Suspend, _)) | None => return,
        };
        let rule = turned.map(|(_, rule)| rule);
        self.record(grant, rule, done);
    }

    /// The rule that has turned against a grant, and what it says of that.
    fn turned(&self, snapshot: &Snapshot, grant: &LiveGrant) -> Option<(OnChange, Arc<str>)> {
        let request = grant.request();
        let agent = snapshot.agent(request.agent.as_str())?;
        let task = self.grants.task(&request.task);
        let methods: Vec<&str> = request.asked.methods.iter().map(AsRef::as_ref).collect();
        let asker = Asker {
            snapshot,
            agent,
            task: task.as_ref(),
            methods: &methods,
            holder: request.asked.holder,
            source: request.asked.source,
            risk: risk_of(snapshot, self.grants.signals(), agent, task.as_ref()),
            habits: Some(self.grants.signals()),
            now: self.clock.now(),
            wall: self.clock.wall(),
            supposed: None,
        };
        let turned = request.operations.iter().filter_map(|operation| {
            let zone = snapshot.operation(operation.as_str())?;
            turned(&asker, operation, &zone.service.service.time_zone, grant)
        });
        turned.max_by_key(|(what, _)| *what == OnChange::End)
    }

    fn record(
        &self,
        grant: &LiveGrant,
        rule: Option<Arc<str>>,
        done: Result<Option<&'static str>, GrantsError>,
    ) {
        let request = grant.request();
        let what = match done {
            Ok(Some(what)) => what,
            // It was over, or so, already.
            Ok(None) | Err(GrantsError::GrantUnknown(_)) => return,
            Err(failure) => {
                let error = ErrorChain(&failure);
                error!(grant = %request.grant, %error, "what a condition asks of a grant is not stored");
                return;
            }
        };
        let mut record = Record::new(RecordKind::Grant, self.clock.wall());
        record.agent = Some(request.agent.clone());
        record.task = Some(request.task.clone());
        record.grant = Some(request.grant.clone());
        record.entitlement = Some(request.entitlement.clone());
        record.rules = rule.into_iter().collect();
        record.detail = Some(format!("{what} by a condition"));
        match self.audit.reserve() {
            Ok(place) => place.write(record),
            Err(why) => error!(%why, "what a condition did to a grant can't be recorded"),
        }
    }
}

fn turned(
    asker: &Asker<'_>,
    operation: &OperationId,
    time_zone: &TimeZone,
    grant: &LiveGrant,
) -> Option<(OnChange, Arc<str>)> {
    let (input, history) = (Inputs::new(), History::new());
    let call = Ask::Call {
        operation,
        grant: Some(GrantFacts {
            id: &grant.request().grant,
            entitlement: &grant.request().entitlement,
            age_seconds: whole(asker.now.saturating_since(grant.starts()).as_secs()),
            calls_left: grant.calls_left().map(whole),
            bytes_left: grant.bytes_left().map(whole),
            approved_by: grant.approved_by(),
        }),
        // No rule that says what becomes of grants reads any of these.
        http: HttpFacts {
            method: "",
            host: "",
            path: "",
            content_length: None,
        },
        input: &input,
        history: &history,
    };
    let question = asker.question(call, time_zone);
    asker.snapshot.policies().turned(&question)
}

/// The agents of all changes that have come by now.
fn all_of(first: AgentId, risks: &mut broadcast::Receiver<AgentId>) -> Option<BTreeSet<AgentId>> {
    let mut agents = BTreeSet::from([first]);
    loop {
        match risks.try_recv() {
            Ok(agent) => {
                agents.insert(agent);
            }
            Err(broadcast::error::TryRecvError::Lagged(_)) => return None,
            Err(_) => return Some(agents),
        }
    }
}

impl fmt::Debug for Vigil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vigil").finish_non_exhaustive()
    }
}
