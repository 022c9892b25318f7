//! One exchange from its first byte to its last: what it runs under, what it has moved, and its record,
//! which closes itself whatever happens.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use slab::Slab;

use super::cut::{Ends, Slot};
use super::enforce::Permitted;
use super::gate::Gate;
use super::recheck::Standing;
use super::refusal::Refusal;
use super::request_id::RequestId;
use crate::access::Identity;
use crate::audit::{Place, Record, RecordKind, Verdict};
use crate::base::BootInstant;
use crate::grants::{Claim, Closed, Exchange, LiveGrant, LiveTask, Presence};
use crate::model::{DenyReason, EndReason, InputValue, Inputs};
use crate::pdp::Policies;
use crate::signals::{Became, Seen};

/// An exchange that lasts longer has an `open` record too.
const LONG: Duration = Duration::from_secs(1);

/// The exchanges that run on one worker.
#[derive(Debug, Default)]
pub(super) struct Exchanges(RefCell<Slab<Weak<Running>>>);

/// One exchange. Both bodies hold it; the last to go closes it.
pub(super) struct Running {
    gate: Arc<Gate>,
    exchanges: Rc<Exchanges>,
    /// Its place among those.
    number: usize,
    started: BootInstant,
    record: RefCell<Record>,
    place: Cell<Option<Place>>,
    opened: Cell<bool>,
    under: RefCell<Under>,
    /// The slot that the response runs in.
    slot: Rc<Slot>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    answered: Cell<Option<StatusCode>>,
    cut: Cell<Option<EndReason>>,
    /// Whether it went on to the service, as far as can be known.
    sent: Cell<bool>,
    /// Whether the signals know of it.
    shown: Cell<bool>,
    late: Cell<Option<Late>>,
    withdrawn: Cell<Option<Box<Refusal>>>,
}

/// How a request's body was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// It took too long in all.
    Body,
    /// It paused for too long.
    Pause,
}

/// Whom a permitted exchange is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parties<'a> {
    pub(super) agent: &'a [u8],
    pub(super) task: Option<&'a [u8]>,
    pub(super) grant: Option<&'a [u8]>,
}

/// What a permitted exchange runs under.
#[derive(Debug, Default)]
struct Under {
    exchange: Option<Exchange>,
    standing: Option<Standing>,
    /// Where there is no task, whose end would be the agent's: held for as long as it runs.
    _presence: Option<Presence>,
    /// The ends of all these.
    ends: Ends,
}

impl Under {
    fn task(&self) -> Option<&Arc<LiveTask>> {
        self.standing.as_ref()?.identity.task.as_ref()
    }
}

impl Exchanges {
    /// Opens an exchange: takes its place in the audit queue, before anything can happen that would
    /// have to be recorded.
    pub(super) fn open(
        self: &Rc<Self>,
        gate: &Arc<Gate>,
        source: IpAddr,
        request_id: &RequestId,
        slot: &Rc<Slot>,
        (now, wall): (BootInstant, Timestamp),
    ) -> Result<Rc<Running>, Refusal> {
        let place = gate.audit.reserve().map_err(|unavailable| {
            let detail = "decisions can't be recorded at this moment, so none is made";
            Refusal::new(DenyReason::AuditUnavailable, detail)
                .with_internal(unavailable.to_string())
                .with_retry_after(1)
        })?;
        let mut record = Record::new(RecordKind::Call, wall);
        record.request_id = Some(request_id.as_str().to_owned());
        record.source = Some(source);
        let mut all = self.0.borrow_mut();
        let entry = all.vacant_entry();
        let running = Rc::new(Running {
            gate: Arc::clone(gate),
            exchanges: Rc::clone(self),
            number: entry.key(),
            started: now,
            record: RefCell::new(record),
            place: Cell::new(Some(place)),
            opened: Cell::new(false),
            under: RefCell::default(),
            slot: Rc::clone(slot),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            answered: Cell::new(None),
            cut: Cell::new(None),
            sent: Cell::new(false),
            shown: Cell::new(false),
            late: Cell::new(None),
            withdrawn: Cell::new(None),
        });
        gate.metrics.exchanges.inc();
        entry.insert(Rc::downgrade(&running));
        Ok(running)
    }

    /// Every running exchange of this moment.
    pub(super) fn all(&self) -> Vec<Weak<Running>> {
        let all = self.0.borrow();
        all.iter()
            .map(|(_, running)| Weak::clone(running))
            .collect()
    }

    /// Writes an `open` record for each exchange that has become a long one. Where the queue has no
    /// place the next sweep tries again: the exchange's own place is safe.
    pub(super) fn sweep(&self, now: BootInstant) {
        let is_long = |one: &Rc<Running>| now.saturating_since(one.started) >= LONG;
        let all = self.0.borrow();
        let running = all.iter().filter_map(|(_, one)| one.upgrade());
        running.filter(is_long).for_each(|one| one.write_open());
    }
}

impl Running {
    /// Adds to the record.
    pub(super) fn note(&self, add: impl FnOnce(&mut Record)) {
        add(&mut self.record.borrow_mut());
    }

    /// The exchange was permitted, and runs under this from now on.
    pub(super) fn permit(
        &self,
        mut permitted: Permitted,
        standing: impl FnOnce(Option<Arc<LiveGrant>>, Inputs) -> Standing,
    ) {
        let grant = permitted.grant().cloned();
        self.note(|record| {
            record.verdict = Verdict::Allow;
            record.rules = permitted.rules().to_vec();
            record.written = permitted.take_asked();
            let request = grant.as_ref().map(|grant| grant.request());
            record.grant = request.map(|request| request.grant.clone());
            record.entitlement = request.map(|request| request.right.entitlement.clone());
        });
        let (exchange, inputs) = permitted.into_parts();
        let standing = standing(grant, inputs);
        let Identity { agent, task, .. } = &standing.identity;
        let enter = || self.gate.grants.enter_without_task(&agent.agent.id);
        let presence = task.is_none().then(enter);
        let ends = [
            exchange.as_ref().map(Exchange::end_signal),
            task.as_ref().map(|task| task.end_signal()),
            presence.as_ref().map(Presence::end_signal),
        ];
        self.under.replace(Under {
            exchange,
            standing: Some(standing),
            _presence: presence,
            ends: Ends::new(ends.into_iter().flatten()),
        });
    }

    /// Looks at what the exchange was permitted as, if it was.
    pub(super) fn with_standing<T>(&self, look: impl FnOnce(&Standing) -> T) -> Option<T> {
        self.under.borrow().standing.as_ref().map(look)
    }

    /// The exchange is no longer permitted, and would be refused with this. What a rule demands is recorded.
    pub(super) fn withdraw(&self, reason: EndReason, refusal: Refusal) {
        if let Some(wanted) = refusal.demands() {
            let rules = refusal.rules().join(", ");
            self.note(|record| record.detail = Some(format!("{wanted} by {rules}")));
        }
        self.withdrawn.set(Some(Box::new(refusal)));
        self.slot.withdraw(reason);
    }

    /// What an exchange that is no longer permitted is refused with, if nobody has taken it.
    pub(super) fn take_withdrawn(&self) -> Option<Refusal> {
        self.withdrawn.take().map(|refusal| *refusal)
    }

    /// The ends that cut this exchange: its grant's and its task's, or its agent's.
    pub(super) fn ends(&self) -> Ends {
        self.under.borrow().ends.clone()
    }

    /// Has them cut what runs in `slot`.
    pub(super) fn arm(&self, slot: &Slot) {
        slot.arm(&self.under.borrow().ends);
    }

    /// Why it is over, if one of these has come.
    pub(super) fn ended(&self) -> Option<EndReason> {
        self.under.borrow().ends.get()
    }

    /// What the store has to know before the first byte goes up.
    pub(super) fn claim(&self, policies: &Policies) -> Claim {
        let under = self.under.borrow();
        let standing = under.standing.as_ref();
        let read = standing.is_some_and(|one| policies.reads_history_of(&one.operation));
        let counted = under.task().filter(|_| read);
        Claim::new(under.exchange.as_ref(), counted)
    }

    /// Tells whom it is for: the agent, the task and the grant that it was permitted to.
    pub(super) fn introduce<T>(&self, look: impl FnOnce(Parties<'_>) -> T) -> Option<T> {
        let under = self.under.borrow();
        let standing = under.standing.as_ref()?;
        Some(look(Parties {
            agent: standing.identity.agent.agent.id.as_bytes(),
            task: under.task().map(|task| task.task().id.as_bytes()),
            grant: standing
                .grant
                .as_ref()
                .map(|grant| grant.request().grant.as_bytes()),
        }))
    }

    /// How many seconds its grant has left, once the last tenth of its life has begun.
    pub(super) fn expires_in(&self) -> Option<u64> {
        let under = self.under.borrow();
        let grant = under.exchange.as_ref()?.grant();
        let left = grant.deadline() - self.gate.clock.now();
        (left <= grant.warning()).then_some(left.as_secs())
    }

    /// The exchange was refused.
    pub(super) fn refuse(&self, refusal: &Refusal) {
        self.gate.metrics.refuse(refusal.reason().as_str());
        self.answered.set(Some(refusal.status()));
        self.note(|record| {
            record.verdict = Verdict::Deny(refusal.reason());
            record.rules = refusal.rules().to_vec();
            record.detail = refusal.internal().map(str::to_owned);
            if let Some(asked) = refusal.asked() {
                record.written = Some(asked.clone());
            }
        });
        if refusal.reason().tells_of_agent() {
            self.show(Became::Refused, self.gate.clock.wall());
        }
    }

    /// The upstream has answered.
    pub(super) fn answer(&self, status: StatusCode) {
        self.answered.set(Some(status));
    }

    /// The request goes to the upstream from now on: its call counts, unless it is [given back](Self::refund).
    pub(super) fn begin_sending(&self) {
        self.sent.set(true);
    }

    /// Nothing of the request reached the upstream: its call is given back.
    pub(super) fn refund(&self) {
        let under = self.under.take();
        if let (Some(task), Some(standing)) = (under.task(), &under.standing)
            && let Some(reserved) = standing.reserved
        {
            let mut ledger = task.ledger();
            ledger.withdraw(&standing.operation, &standing.inputs, reserved);
        }
        if let Some(exchange) = under.exchange {
            exchange.refund();
        }
    }

    /// Bytes from the client are about to pass: a sign of life, and a part of the budget.
    pub(super) fn pass_in(&self, bytes: usize, now: BootInstant) -> Result<(), Closed> {
        let under = self.under.borrow();
        if let Some(task) = under.task() {
            task.renew(now);
        }
        self.bytes_in.set(self.bytes_in.get() + bytes as u64);
        let exchange = under.exchange.as_ref();
        exchange.map_or(Ok(()), |exchange| exchange.spend(bytes as u64))
    }

    /// Bytes to the client are about to pass.
    pub(super) fn pass_out(&self, bytes: usize) -> Result<(), Closed> {
        self.bytes_out.set(self.bytes_out.get() + bytes as u64);
        let under = self.under.borrow();
        let exchange = under.exchange.as_ref();
        exchange.map_or(Ok(()), |exchange| exchange.spend(bytes as u64))
    }

    /// The exchange was cut before its own end. The first cause counts.
    pub(super) fn cut(&self, reason: EndReason) {
        if self.cut.get().is_some() {
            return;
        }
        self.cut.set(Some(reason));
        self.gate.metrics.cut(reason.as_str());
        if let Some(exchange) = &mut self.under.borrow_mut().exchange {
            exchange.mark_cut();
        }
    }

    /// Why it was cut, if it was.
    pub(super) fn was_cut(&self) -> Option<EndReason> {
        self.cut.get()
    }

    /// The request's body came too slowly.
    pub(super) fn note_late(&self, late: Late) {
        self.late.set(Some(late));
    }

    /// How the request's body was too slow, if it was.
    pub(super) const fn was_late(&self) -> Option<Late> {
        self.late.get()
    }

    fn write_open(&self) {
        if self.opened.get() {
            return;
        }
        if let Ok(place) = self.gate.audit.reserve() {
            let mut record = self.record.borrow().clone();
            record.kind = RecordKind::Open;
            place.write(record);
            self.opened.set(true);
            if self.under.borrow().standing.is_some() {
                self.show(Became::Running, self.gate.clock.wall());
            }
        }
    }

    /// Tells the signals what became of the call, where it is known whose it is. What was permitted and went
    /// well is what habits are made of.
    fn show(&self, became: Became, at: Timestamp) {
        let record = self.record.borrow();
        let (Some(agent), Some(source)) = (&record.agent, record.source) else {
            return;
        };
        let under = self.under.borrow();
        let inputs = under.standing.iter().flat_map(|standing| &standing.inputs);
        let numbers = inputs.filter_map(|(name, value)| match value {
            InputValue::Long(number) => Some((Arc::clone(name), *number)),
            InputValue::Bool(_) | InputValue::String(_) => None,
        });
        let seen = Seen {
            agent: agent.clone(),
            task: record.task.clone(),
            source,
            operation: record.operation.clone(),
            numbers: numbers.collect(),
            at,
            became,
            again: self.shown.replace(true),
        };
        let snapshot;
        let counts = match &under.standing {
            Some(standing) => Some(&standing.identity.agent.calls),
            None => {
                snapshot = self.gate.snapshot.peek();
                snapshot.agent(agent.as_str()).map(|one| &one.calls)
            }
        };
        if !self.gate.grants.signals().observe_at(seen, counts) {
            self.gate.metrics.unlearnt.inc();
        }
    }

    fn settle_history(&self, succeeded: bool) {
        let under = self.under.borrow();
        let (Some(task), Some(standing)) = (under.task(), &under.standing) else {
            return;
        };
        let mut ledger = task.ledger();
        if succeeded {
            ledger.succeed(&standing.operation);
        } else {
            ledger.fail(&standing.operation, &standing.inputs);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.sent.get() {
            self.refund();
        }
        let succeeded = self.cut.get().is_none()
            && self.answered.get().is_some_and(|status| {
                status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS
            });
        self.settle_history(succeeded);
        self.exchanges.0.borrow_mut().try_remove(self.number);
        let duration = self.gate.clock.now() - self.started;
        self.gate.metrics.finish(duration);
        self.gate.metrics.exchanges.dec();
        let now = self.gate.clock.wall();
        if succeeded {
            self.show(Became::Succeeded, now);
        } else if !self.shown.get() && self.under.borrow().standing.is_some() {
            self.show(Became::Failed, now);
        }
        let record = self.record.get_mut();
        record.at = now;
        record.status = self.answered.get().map(|status| status.as_u16());
        record.bytes_in = self.bytes_in.get();
        record.bytes_out = self.bytes_out.get();
        record.duration = Some(duration);
        record.end = self.cut.get();
        if let Some(place) = self.place.take() {
            place.write(record);
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
