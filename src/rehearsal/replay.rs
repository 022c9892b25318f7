//! Recorded decisions, put to other policies.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};

use super::replayed::{ALLOW, Judged, Replayed, Tally};
use super::world::{self, Called, Holding, Working, World};
use crate::access::{Again, Asker, Explanation, SupposedCall, SupposedSignals};
use crate::audit::{Asked, AskedGrant, AskedStep, Record, RecordKind, Verdict};
use crate::config::{EnrolledAgent, Snapshot};
use crate::grants::LiveGrant;
use crate::model::{Agreed, DenyReason, Entitlement, Inputs, Proof, TaskId};
use crate::pep::Facts;

const PENDING: &str = "pending";
/// A person has agreed, and others have to as well.
const AGREED: &str = "agreed";
/// A person has said no.
const DECLINED: &str = "declined";
/// The end of a grant can't be moved any further.
const NO_LONGER: &str = "no_longer";
/// The rules said yes, and it could not be kept: a limit, an end, the store.
const NOT_KEPT: &str = "not_kept";

/// What was asked was too large for a line of the log.
const TOO_LARGE: &str = "question_too_large";
/// The policies declare inputs that the record does not hold.
const NO_INPUTS: &str = "inputs_not_kept";
/// A record of a version that kept less.
const OLDER: &str = "not_recorded";

/// Puts records to a snapshot, one after the other.
#[derive(Debug)]
pub struct Replay<'s> {
    snapshot: &'s Snapshot,
    /// What is live, where it is asked as well.
    live: Option<Box<Self>>,
    /// Whether Cedar's own authorizer judges what the rules say.
    by_cedar: bool,
    facts: Facts,
    tally: Tally,
}

/// What would be decided now of what was decided before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// `allow`, `pending` or a code, as recorded.
    pub before: &'static str,
    /// The same, as it would be.
    pub after: &'static str,
    /// The rules that would decide.
    pub rules: Vec<Arc<str>>,
    /// Whether the rules would say yes, whatever becomes of it then; none where none is asked, or more than
    /// rules decides.
    pub ruled: Option<bool>,
}

impl Judgement {
    /// Whether something would pass that did not.
    #[must_use]
    pub fn is_gain(&self) -> bool {
        self.after == ALLOW && self.before != ALLOW
    }

    /// Whether something would no longer pass that did.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.before == ALLOW && self.after != ALLOW
    }
}

impl<'s> Replay<'s> {
    /// Nothing has been put yet.
    #[must_use]
    pub fn new(snapshot: &'s Snapshot) -> Self {
        Self {
            snapshot,
            live: None,
            by_cedar: false,
            facts: Facts::supposed(),
            tally: Tally::default(),
        }
    }

    /// The same, where Cedar's own authorizer judges what the rules say, whatever is compiled.
    #[must_use]
    pub fn by_cedar(snapshot: &'s Snapshot) -> Self {
        Self {
            by_cedar: true,
            ..Self::new(snapshot)
        }
    }

    /// The same, where a change is what `live` decides otherwise than `candidate`, whatever was recorded.
    #[must_use]
    pub fn beside(live: &'s Snapshot, candidate: &'s Snapshot) -> Self {
        Self {
            live: Some(Box::new(Self::new(live))),
            ..Self::new(candidate)
        }
    }

    /// Puts one record; what is no decision is passed over. `place` is where it stands.
    pub fn put(&mut self, record: &Record, place: &str) {
        let Some(recorded) = before(record) else {
            return;
        };
        let by_live = self.live.as_ref().map(|live| live.judged(record, recorded));
        let judged = self.judged(record, recorded);
        self.tally.count((record, recorded), by_live, judged, place);
    }

    fn judged(&self, record: &Record, before: &'static str) -> Judged {
        match record.kind {
            RecordKind::Call => self.call(record, before),
            _ => self.request(record, before),
        }
    }

    /// What one record comes to, by itself; none where it is no decision, or does not hold what was asked.
    #[must_use]
    pub fn judge(&self, record: &Record) -> Option<Judgement> {
        let before = before(record)?;
        match self.judged(record, before) {
            Judged::Now(after, rules, yes) => Some(Judgement {
                before,
                after,
                rules,
                ruled: yes,
            }),
            Judged::Unknown(_) => None,
            Judged::Untouched => Some(Judgement {
                before,
                after: before,
                rules: record.rules.clone(),
                ruled: None,
            }),
        }
    }

    /// What became of all.
    #[must_use]
    pub fn finish(self) -> Replayed {
        self.tally.finish()
    }

    fn call(&self, record: &Record, before: &'static str) -> Judged {
        let (Some(method), Some(host), Some(path)) = (&record.method, &record.host, &record.path)
        else {
            return Judged::Untouched;
        };
        let Ok(verb) = Method::from_bytes(method.as_bytes()) else {
            return Judged::Untouched;
        };
        let Some(name) = &record.agent else {
            return Judged::Untouched;
        };
        let Some(agent) = self.snapshot.agent(name.as_str()) else {
            return refused(DenyReason::TokenInvalid);
        };
        let matched = self.snapshot.route(host, &verb, path);
        let asked = record.asked.as_deref();
        let Some(matched) = matched else {
            return refused(DenyReason::OperationUnknown);
        };
        let rightless = [
            DenyReason::GrantRequired,
            DenyReason::NotEntitled,
            DenyReason::OperationUnknown,
        ];
        let rightless = rightless.iter().any(|reason| reason.as_str() == before);
        if asked.is_none() && !rightless {
            // Refused by code that asks no rule, or too large to be kept.
            return if before == ALLOW {
                Judged::Unknown(TOO_LARGE)
            } else {
                Judged::Untouched
            };
        }
        let inputs = asked.map(|asked| asked.input.clone()).unwrap_or_default();
        let declared = &matched.endpoint.operation.inputs;
        let baseline = matched.endpoint.operation.baseline;
        // What a call without a right had for inputs was not read.
        let readable = declared.keys().all(|name| inputs.get(name).is_some());
        if !readable && (!rightless || baseline) {
            return Judged::Unknown(NO_INPUTS);
        }
        let world = self.world(record, agent);
        let call = SupposedCall {
            method: verb,
            url: path.clone(),
            headers: heads(host, asked),
            body: None,
            disbelieved: None,
            inputs: Some(inputs),
        };
        let told = world.ask(self.snapshot, |asker| self.facts.rehearse(asker, call));
        let ruled = asked.filter(|_| !rightless).map(|asked| asked.ruled);
        now(told, before, ruled == Some(None))
    }

    fn request(&self, record: &Record, before: &'static str) -> Judged {
        let (Some(name), Some(entitlement), Some(asked)) =
            (&record.agent, &record.entitlement, &record.asked)
        else {
            return if before == ALLOW {
                Judged::Unknown(OLDER)
            } else {
                Judged::Untouched
            };
        };
        let Some(agent) = self.snapshot.agent(name.as_str()) else {
            return refused(DenyReason::TokenInvalid);
        };
        let Some(entitlement) = self.snapshot.entitlement(entitlement.as_str()) else {
            return refused(DenyReason::ConditionDenied);
        };
        let world = self.world(record, agent);
        if let Some(step) = &asked.step {
            return world.ask(self.snapshot, |asker| {
                self.step(asker, (record, before), entitlement, (asked, step))
            });
        }
        if record.person.is_some() {
            return Judged::Unknown(OLDER);
        }
        let told = world.ask(self.snapshot, |asker| {
            asker.explain_request(entitlement, None)
        });
        match told.code {
            None if told.approval.is_some() && before != NOT_KEPT => {
                Judged::Now(PENDING, told.rules, Some(true))
            }
            _ => now(told, before, asked.ruled.is_none() && before == NOT_KEPT),
        }
    }

    /// What is more than a call or a request: people's decisions, and what becomes of a grant in force.
    fn step(
        &self,
        asker: &Asker<'_>,
        (record, before): (&Record, &'static str),
        entitlement: &Entitlement,
        (asked, step): (&Asked, &AskedStep),
    ) -> Judged {
        let approved_by = Agreed {
            groups: &asked.approved_by,
            mfa: asked.approved_mfa,
        };
        let (again, done) = match step {
            AskedStep::Agreement(agreement) => {
                let (Some(request), Some(person)) = (&record.request, &record.person) else {
                    return Judged::Unknown(OLDER);
                };
                let again = asker.agree_again(entitlement, (request, person), agreement);
                let looked = !agreement.last || asked.ruled.is_none();
                (again, agreement.taken && looked)
            }
            AskedStep::Renewal(renewal) => {
                let again = asker.renew_again(entitlement, approved_by, renewal);
                (again, asked.ruled.is_none() && !renewal.no_longer)
            }
            AskedStep::Part(part) => {
                let again = asker.receive_again(entitlement, approved_by, *part);
                (again, asked.ruled.is_none())
            }
        };
        let failed = !matches!(before, ALLOW | AGREED | DECLINED);
        // All that policies decide was decided for it then, and it failed by what they do not decide.
        let kept = |after| if failed && done { before } else { after };
        // More than rules decide.
        let now = |after, rules| Judged::Now(after, rules, None);
        match again {
            Again::Agreed => now(kept(AGREED), Vec::new()),
            Again::Declined => now(kept(DECLINED), Vec::new()),
            Again::NoLonger(told) => now(NO_LONGER, told.rules),
            Again::Told(told) => match told.code {
                None => now(kept(ALLOW), told.rules),
                Some(code) => now(code.as_str(), told.rules),
            },
            Again::Unseen(missing) => Judged::Unknown(missing),
        }
    }

    /// The world as it was, as far as the record tells.
    fn world(&self, record: &Record, agent: &Arc<EnrolledAgent>) -> World {
        let asked = record.asked.as_deref();
        let asked_from = asked.and_then(|asked| asked.source);
        let source = asked_from.or(record.source);
        let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let task = record.task.as_ref().map(|id| {
            let past = asked.and_then(|asked| asked.task.as_ref());
            let working = Working {
                id: id.clone(),
                kind: past.map(|task| task.kind.to_string()),
                age: past.map_or(Duration::ZERO, |task| seconds(task.age_seconds)),
                depth: past.map_or(0, |task| u32::try_from(task.depth).unwrap_or(0)),
                opened_by: past.map_or_else(
                    || agent.agent.id.to_string(),
                    |task| task.opened_by.to_string(),
                ),
            };
            let grant = asked.and_then(|asked| asked.grant.as_ref());
            let grant = grant.and_then(|grant| self.grant(record, agent, id, grant));
            let called = asked.map(called).unwrap_or_default();
            world::task(agent, working, grant.into_iter().collect(), called)
        });
        World {
            agent: Arc::clone(agent),
            task,
            methods: asked.map_or_else(Vec::new, |asked| {
                asked.methods.iter().map(ToString::to_string).collect()
            }),
            proof: asked.map_or(Proof::Bearer, |asked| asked.proof),
            source,
            wall: asked.map_or(record.at, |asked| asked.at),
            signals: SupposedSignals {
                known: asked.map(|asked| asked.known),
                country: asked.and_then(|asked| asked.country.clone()),
                risk: asked.map(|asked| asked.risk),
                usual: asked.map(|asked| asked.usual),
                factors: asked.map(|asked| asked.factors),
                by_cedar: self.by_cedar,
            },
        }
    }

    fn grant(
        &self,
        record: &Record,
        agent: &Arc<EnrolledAgent>,
        task: &TaskId,
        grant: &AskedGrant,
    ) -> Option<Arc<LiveGrant>> {
        let entitlement = self.snapshot.entitlement(grant.entitlement.as_str())?;
        let count = |left: Option<i64>| left.map(|left| u64::try_from(left).unwrap_or(0));
        let holding = Holding {
            id: grant.id.clone(),
            operations: record.operation.iter().cloned().collect::<BTreeSet<_>>(),
            age: seconds(grant.age_seconds),
            calls_left: count(grant.calls_left),
            bytes_left: count(grant.bytes_left),
            approved_by: grant.approved_by.first().cloned(),
            approved_mfa: grant.approved_mfa,
            // It agreed, or the rules would not have been asked; so did the proof.
            input: Inputs::new(),
            proof: Proof::Bearer,
            suspended: false,
        };
        Some(world::grant(agent, task, entitlement, holding))
    }
}

/// What was decided, where something was.
fn before(record: &Record) -> Option<&'static str> {
    let asked = record.asked.as_deref();
    let step = asked.and_then(|asked| asked.step.as_deref());
    match (record.kind, record.verdict) {
        // One of several people has agreed.
        (RecordKind::Request, Verdict::Allow) if record.grant.is_none() => step.map(|_| AGREED),
        (RecordKind::Call | RecordKind::Grant | RecordKind::Request, Verdict::Allow) => Some(ALLOW),
        (RecordKind::Call | RecordKind::Request, Verdict::Deny(reason)) => Some(reason.as_str()),
        (RecordKind::Grant | RecordKind::Request, Verdict::Neither) => match (asked?, step) {
            (_, Some(AskedStep::Agreement(_))) => Some(DECLINED),
            (_, Some(AskedStep::Renewal(renewal))) if renewal.no_longer => Some(NO_LONGER),
            // What waits for people has a name.
            (_, None) if record.request.is_some() => Some(PENDING),
            _ => Some(NOT_KEPT),
        },
        _ => None,
    }
}

fn refused(reason: DenyReason) -> Judged {
    Judged::Now(reason.as_str(), Vec::new(), Some(false))
}

/// What a record comes to. Where the rules had said yes and something else came in between (an upstream,
/// an end, a full budget), that would have come all the same if they say yes again.
fn now(told: Explanation, before: &'static str, ruled_yes: bool) -> Judged {
    let yes = matches!(told.code, None | Some(DenyReason::BudgetExhausted));
    if ruled_yes && yes && before != ALLOW {
        return Judged::Now(before, told.rules, Some(yes));
    }
    let after = told.code.map_or(ALLOW, DenyReason::as_str);
    Judged::Now(after, told.rules, Some(yes))
}

fn heads(host: &str, asked: Option<&Asked>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
    let length = asked.and_then(|asked| asked.content_length);
    if let Some(length) = length.and_then(|length| u64::try_from(length).ok()) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    headers
}

fn called(asked: &Asked) -> Vec<Called> {
    let called = asked.history.iter().map(|(operation, of)| Called {
        operation: operation.clone(),
        calls: of.calls,
        succeeded: of.succeeded,
        sum: of.sum.clone(),
        last: seconds(of.last_age_seconds.unwrap_or(0)),
    });
    called.collect()
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}
