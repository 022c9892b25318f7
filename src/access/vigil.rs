//! Grants at rest: a rule that says what becomes of grants when it turns against them (`@on_change`) is
//! asked again when what it reads changes, though nobody calls. What runs under them is asked by the
//! enforcement point.

mod sweep;

use std::collections::BTreeSet;
use std::fmt;
use std::future::pending;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::FixedState;
use jiff::Timestamp;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::task::yield_now;
use tracing::error;

use self::sweep::Sweep;
use super::asker::{Asker, risk_of, whole};
use super::roster::Roster;
use crate::audit::{Audit, Record, RecordKind, Unavailable};
use crate::base::{BootInstant, Clock, ErrorChain, Live, Seconds};
use crate::config::Snapshot;
use crate::grants::{Grants, GrantsError, LiveGrant, LiveTask, Move, Switch};
use crate::model::{
    Ask, EndReason, GrantFacts, GrantId, History, HttpFacts, Inputs, OperationId, Question,
};
use crate::pdp::{OnChange, Seen, Turned, TurnedRule, Watched};
use crate::signals::{Changed, Signals};
use crate::telemetry::Metrics;

/// So many grants are asked about before others get their turn.
const BATCH: usize = 64;

/// So many steps of grants are stored together at most.
const STORED_TOGETHER: usize = 1024;

/// Watches over the grants at rest.
pub struct Vigil {
    snapshot: Arc<Live<Snapshot>>,
    grants: Grants,
    audit: Audit,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// What has changed.
#[derive(Debug)]
enum Change {
    /// Which grants there are.
    Moves(Vec<Move>),
    /// What is measured: these signals; any where it is not known which.
    Signals(Option<BTreeSet<Changed>>),
    /// Nothing: there is more of a sweep to do.
    Sweep,
    /// The time.
    Time,
}

/// The grants whose rules may turn against them.
type Book = Roster<Arc<LiveGrant>>;

/// The grants that are still to be compared with the rules of a new generation.
type Swept = Sweep<Arc<LiveGrant>>;

/// A rule that has turned, and what it says becomes of grants.
type Rule = TurnedRule;

/// What the rules ask of grants, to be done together.
#[derive(Debug, Default)]
struct Steps {
    ends: Vec<(Arc<LiveGrant>, Rule)>,
    switches: Vec<(Arc<LiveGrant>, Switch, Option<Rule>)>,
}

impl Vigil {
    /// Watches over `grants`.
    #[must_use]
    pub const fn new(
        snapshot: Arc<Live<Snapshot>>,
        grants: Grants,
        audit: Audit,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        Self {
            snapshot,
            grants,
            audit,
            metrics,
            clock,
        }
    }

    /// Suspends, resumes and ends grants as the rules say, at the start and whenever something changes
    /// that they read. `published` tells of new generations.
    pub async fn run(self, mut published: watch::Receiver<()>) {
        let mut signals = self.grants.signals().changes();
        let mut moves = self.grants.moves();
        let mut seconds = Seconds::new(self.clock.clone());
        let mut watched = Book::default();
        // Whether some that have ended may be entered still.
        let mut missed = false;
        // Those that there are at the start.
        let mut sweep = Sweep::of_parts(Grants::PARTS);
        loop {
            let change = tokio::select! {
                new = published.changed() => match new {
                    Ok(()) => {
                        let turning = self.snapshot.current().policies().has_turning();
                        // Where no rule says what becomes of grants, and none did, there is nothing to compare.
                        if turning || !watched.is_empty() || sweep.goes_on() {
                            sweep.begin();
                        }
                        Change::Sweep
                    }
                    Err(_) => break,
                },
                first = moves.recv() => match all_of(first, &mut moves) {
                    Some(Ok(moves)) => Change::Moves(moves),
                    Some(Err(Missed)) => {
                        sweep.begin();
                        missed = true;
                        Change::Sweep
                    }
                    None => break,
                },
                first = signals.recv() => match all_of(first, &mut signals) {
                    Some(Ok(changed)) => Change::Signals(Some(changed.into_iter().collect())),
                    Some(Err(Missed)) => Change::Signals(None),
                    None => break,
                },
                _ = seconds.next() => Change::Time,
                () = yield_now(), if sweep.goes_on() => Change::Sweep,
            };
            self.take(&mut watched, &mut sweep, change).await;
            if missed && !sweep.goes_on() {
                missed = false;
                let now = self.clock.now();
                watched.drop_over(|grant| grant.ended(now).is_some());
            }
        }
        // The gateway stops.
        pending::<()>().await;
    }

    async fn take(&self, watched: &mut Book, sweep: &mut Swept, change: Change) {
        let snapshot = self.snapshot.current();
        let asked = match change {
            Change::Sweep => self.compare(watched, sweep, &snapshot).await,
            Change::Moves(moves) => {
                let mut came = Vec::new();
                for one in moves {
                    match one {
                        Move::Came(grant) => {
                            let found = look(&snapshot, &grant);
                            if let Some(found) = found {
                                enter(watched, &grant, found);
                                came.push(grant);
                            }
                        }
                        Move::Went(grant) => watched.leave(&grant),
                    }
                }
                came
            }
            Change::Signals(None) => watched.reading_signals(),
            Change::Signals(Some(changed)) => {
                let found = changed.iter().flat_map(|changed| match changed {
                    Changed::Countries => watched.reading_country(),
                    Changed::Habits(agent) => watched.reading_habits(agent),
                    Changed::Risk(agent) => watched.reading_risk(agent),
                });
                found.collect()
            }
            Change::Time => watched.due(self.clock.now(), self.clock.wall()),
        };
        self.judge_all(watched, &snapshot, asked).await;
    }

    /// Compares the next few grants of a sweep with the rules that they were last asked about by, and gives
    /// those to ask again: the others' answers stand.
    async fn compare(
        &self,
        watched: &mut Book,
        sweep: &mut Swept,
        snapshot: &Snapshot,
    ) -> Vec<Arc<LiveGrant>> {
        let mut asked = Vec::new();
        let few = sweep.take(|part| self.grants.live_part(part));
        for (number, grant) in few.into_iter().enumerate() {
            if number % BATCH == BATCH - 1 {
                yield_now().await;
            }
            // One that ends from here on is taken out when that is told.
            if grant.ended(self.clock.now()).is_some() {
                continue;
            }
            let id = &grant.request().grant;
            match look(snapshot, &grant) {
                Some(found) if watched.signature(id) == Some(found.signature) => {}
                Some(found) => {
                    enter(watched, &grant, found);
                    asked.push(grant);
                }
                None => {
                    watched.leave(id);
                    // Where no rule keeps it suspended any more, it comes back.
                    if grant.is_suspended() {
                        asked.push(grant);
                    }
                }
            }
        }
        asked
    }

    async fn judge_all(
        &self,
        watched: &mut Book,
        snapshot: &Snapshot,
        grants: Vec<Arc<LiveGrant>>,
    ) {
        let mut steps = Steps::default();
        for (number, grant) in grants.into_iter().enumerate() {
            self.metrics.grants_asked_again.inc();
            let (now, wall) = (self.clock.now(), self.clock.wall());
            let Turned { rule, until } = self.turned(snapshot, &grant, (now, wall));
            let aged = until.aged.map(|aged| now + aged);
            watched.stands_until(&grant.request().grant, until.wall, aged);
            steps.add(grant, rule);
            if steps.len() >= STORED_TOGETHER {
                self.make(std::mem::take(&mut steps)).await;
            }
            if number % BATCH == BATCH - 1 {
                yield_now().await;
            }
        }
        self.make(steps).await;
    }

    /// Makes steps, those of one kind together.
    async fn make(&self, steps: Steps) {
        let Steps { ends, switches } = steps;
        if !ends.is_empty() {
            let grants = ends.iter().map(|(grant, _)| Arc::clone(grant)).collect();
            let done = self.grants.end_grants(grants, EndReason::ConditionChanged);
            let rules = ends.into_iter().map(|(grant, rule)| (grant, Some(rule)));
            self.record("ended", rules, done.await).await;
        }
        for (switch, word) in [(Switch::Suspend, "suspended"), (Switch::Resume, "resumed")] {
            let of_kind = switches.iter().filter(|(_, which, _)| *which == switch);
            let of_kind = of_kind.map(|(grant, _, rule)| (Arc::clone(grant), rule.clone()));
            let of_kind: Vec<_> = of_kind.collect();
            if of_kind.is_empty() {
                continue;
            }
            let grants = of_kind.iter().map(|(grant, _)| Arc::clone(grant)).collect();
            let done = self.grants.switch(grants, switch).await;
            self.record(word, of_kind, done).await;
        }
    }

    /// The rule that has turned against a grant, what it says of that, and how long that stands.
    fn turned(
        &self,
        snapshot: &Snapshot,
        grant: &LiveGrant,
        (now, wall): (BootInstant, Timestamp),
    ) -> Turned<Rule> {
        let mut all = Turned::default();
        let task = self.grants.task(&grant.request().task);
        at_rest(
            snapshot,
            self.grants.signals(),
            (grant, task.as_ref()),
            (now, wall),
            |question| {
                let turned = snapshot.policies().turned(question);
                let sofar = std::mem::take(&mut all);
                all = sofar.and(turned, |rule| rule.on_change == OnChange::End);
            },
        );
        all
    }

    /// Records what was done of what the rules asked.
    async fn record(
        &self,
        what: &str,
        asked: impl IntoIterator<Item = (Arc<LiveGrant>, Option<Rule>)>,
        done: Result<BTreeSet<GrantId>, GrantsError>,
    ) {
        let done = match done {
            Ok(done) => done,
            Err(failure) => {
                let error = ErrorChain(&failure);
                error!(%error, "grants that were {what} by a condition are not stored as such");
                return;
            }
        };
        for (grant, rule) in asked {
            let request = grant.request();
            // It was over, or so, already.
            if !done.contains(&request.grant) {
                continue;
            }
            let mut record = Record::new(RecordKind::Grant, self.clock.wall());
            record.agent = Some(request.agent.clone());
            record.task = Some(request.task.clone());
            record.grant = Some(request.grant.clone());
            record.entitlement = Some(request.right.entitlement.clone());
            record.rules = rule.map(|rule| rule.id).into_iter().collect();
            record.detail = Some(format!("{what} by a condition"));
            let mut place = self.audit.reserve();
            if matches!(place, Err(Unavailable::Full)) && self.audit.flush().await.is_ok() {
                place = self.audit.reserve();
            }
            match place {
                Ok(place) => place.write(record),
                Err(why) => error!(%why, "what a condition did to a grant can't be recorded"),
            }
        }
    }
}

impl Steps {
    /// Adds what is to become of a grant, of which this is what has turned.
    fn add(&mut self, grant: Arc<LiveGrant>, rule: Option<Rule>) {
        let Some(rule) = rule else {
            if grant.is_suspended() {
                self.switches.push((grant, Switch::Resume, None));
            }
            return;
        };
        match rule.on_change {
            OnChange::End => self.ends.push((grant, rule)),
            OnChange::Suspend => {
                // Also of one that is suspended already: after a restart, or by another rule.
                grant.note_suspender(rule.clone());
                if !grant.is_suspended() {
                    self.switches.push((grant, Switch::Suspend, Some(rule)));
                }
            }
        }
    }

    fn len(&self) -> usize {
        self.ends.len() + self.switches.len()
    }
}

/// What there is to watch of the rules that may turn against a grant; none where there is no such rule.
fn look(snapshot: &Snapshot, grant: &LiveGrant) -> Option<Watched> {
    let request = grant.request();
    let of = |operation: &OperationId| {
        let found = snapshot.policies().watched(&request.agent, operation)?;
        let endpoint = snapshot.operation(operation.as_str())?;
        // The same rules ask something else where the service's clocks show another time.
        let zone = endpoint.service.service.time_zone.iana_name();
        let signature = FixedState::with_seed(found.signature).hash_one(zone);
        Some(Watched { signature, ..found })
    };
    let found = request.right.operations.iter().filter_map(of);
    found.reduce(Watched::and)
}

fn enter(watched: &mut Book, grant: &Arc<LiveGrant>, found: Watched) {
    let request = grant.request();
    watched.enter(&request.grant, &request.agent, found, Arc::clone(grant));
}

/// What the rules read that a suspended grant is asked about, of all its operations; and what of it would have to be
/// otherwise for the rule that suspended it to let it go.
pub fn suspension_reads(asker: &Asker<'_>, grant: &LiveGrant) -> (Seen, Vec<String>) {
    let (mut all, mut needs) = (Seen::new(), BTreeSet::new());
    let Some(signals) = asker.habits else {
        return (all, Vec::new());
    };
    let suspender = grant.suspender();
    let rules: Vec<_> = suspender.iter().map(|rule| Arc::clone(&rule.id)).collect();
    let times = (asker.now, asker.wall);
    at_rest(
        asker.snapshot,
        signals,
        (grant, asker.task),
        times,
        |question| {
            let policies = asker.snapshot.policies();
            all.extend(policies.turning_reads(question));
            needs.extend(policies.needs_at_rest(question, &rules));
        },
    );
    (all, needs.into_iter().collect())
}

/// Puts the question about a grant at rest, once for each of its operations.
fn at_rest(
    snapshot: &Snapshot,
    signals: &Signals,
    (grant, task): (&LiveGrant, Option<&Arc<LiveTask>>),
    (now, wall): (BootInstant, Timestamp),
    mut put: impl FnMut(&Question<'_>),
) {
    let request = grant.request();
    let Some(agent) = snapshot.agent(request.agent.as_str()) else {
        return;
    };
    let methods: Vec<&str> = request.asked.methods.iter().map(AsRef::as_ref).collect();
    let asker = Asker {
        snapshot,
        agent,
        task,
        methods: &methods,
        acr: &[],
        holder: request.asked.holder,
        source: request.asked.source,
        risk: risk_of(snapshot, signals, agent, task),
        habits: Some(signals),
        now,
        wall,
        supposed: None,
    };
    let (input, history) = (Inputs::new(), History::new());
    for operation in &request.right.operations {
        let Some(endpoint) = snapshot.operation(operation.as_str()) else {
            continue;
        };
        let call = Ask::Call {
            operation,
            grant: Some(GrantFacts {
                id: &request.grant,
                entitlement: &request.right.entitlement,
                age_seconds: whole(now.saturating_since(grant.starts()).as_secs()),
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
        put(&asker.question(call, &endpoint.service.service.time_zone));
    }
}

/// Some of what was told has been missed.
struct Missed;

/// All that has been told by now; none where nobody tells any more.
fn all_of<T: Clone>(
    first: Result<T, RecvError>,
    told: &mut broadcast::Receiver<T>,
) -> Option<Result<Vec<T>, Missed>> {
    let mut all = match first {
        Ok(first) => vec![first],
        Err(RecvError::Lagged(_)) => return Some(Err(Missed)),
        Err(RecvError::Closed) => return None,
    };
    loop {
        match told.try_recv() {
            Ok(one) => all.push(one),
            Err(TryRecvError::Lagged(_)) => return Some(Err(Missed)),
            Err(TryRecvError::Closed | TryRecvError::Empty) => return Some(Ok(all)),
        }
    }
}

impl fmt::Debug for Vigil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vigil").finish_non_exhaustive()
    }
}
