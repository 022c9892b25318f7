//! A grant in force, as the request path sees it: atomics only.

mod exchange;
mod stored;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use once_cell::race::OnceBox;

pub use self::exchange::Exchange;
use super::calls::Calls;
use super::clockwork::Place;
use super::left::Left;
use super::unstored::{Names, Note as _, Noted};
use super::{EndCell, EndSignal};
use crate::base::BootInstant;
use crate::model::{
    Agreed, Budget, ClosedGrant, EndReason, Grant, GrantId, GrantRequest, GrantState, Transition,
    TransitionError,
};
use crate::pdp::{Kept, TurnedRule};
use crate::store::GrantMark;

/// A grant in force. What never changes is plain data; what does is atomic.
///
/// Most grants rest, and there may be a million of them. So what many have alike is shared, and what only some
/// need is behind a pointer and made for those: each field here is there once for every grant.
#[derive(Debug)]
pub struct LiveGrant {
    request: Arc<GrantRequest>,
    /// Whether people have agreed to it.
    approved: bool,
    /// Whether all of them have shown a second factor.
    approved_mfa: bool,
    rules: Kept,
    starts: BootInstant,
    /// Nanoseconds on the boot clock.
    deadline: AtomicU64,
    place: Place,
    end: EndCell,
    suspended: AtomicBool,
    /// What it was carved from: out of force, that takes it along.
    above: Option<Arc<Self>>,
    /// Its calls, where they are limited.
    calls: Option<Box<Calls>>,
    bytes: Left,
    /// Where it says that it has changed; nowhere where it is only supposed.
    changes: Option<Arc<Names<GrantId>>>,
    noted: Noted,
    /// Made when it is first needed.
    seldom: OnceBox<Seldom>,
    running: AtomicU32,
    /// Exchanges that run under it and under what was carved from it, where their number is limited; of a part
    /// those of the whole count.
    slots: AtomicU32,
    finished: AtomicU64,
    cut: AtomicU32,
    /// The stored form. Read and stepped only by the service, never on the request path.
    state: Mutex<GrantState>,
}

/// What most grants never need.
#[derive(Debug, Default)]
struct Seldom {
    /// Marks are written one after the other; held across the write.
    turn: tokio::sync::Mutex<()>,
    /// The rule that last suspended it.
    suspender: ArcSwapOption<TurnedRule>,
}

/// Why an exchange can't run under a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// As many exchanges run as may run at once.
    Busy,
    /// It is over.
    Ended(EndReason),
    /// Its budget is used up.
    Exhausted,
    /// It is not in force now.
    Suspended,
}

impl LiveGrant {
    /// A grant whose state is active, ending at `deadline`.
    #[must_use]
    pub fn new(grant: Grant, starts: BootInstant, deadline: BootInstant) -> Self {
        let budget = grant.request.right.budget;
        let mark = GrantMark {
            starts,
            deadline,
            calls_left: budget.calls,
            bytes_left: budget.bytes,
        };
        let mut live = Self::restored(grant, &mark);
        live.calls = budget.calls.map(|calls| Box::new(Calls::new(calls)));
        live
    }

    /// A grant that was in force, as its mark tells.
    #[must_use]
    pub fn restored(grant: Grant, mark: &GrantMark) -> Self {
        let GrantMark {
            starts,
            deadline,
            calls_left,
            bytes_left,
        } = *mark;
        let budget = grant.request.right.budget.calls;
        let calls = |left| Box::new(Calls::restored(left, budget.unwrap_or(left)));
        Self {
            approved: grant.term().is_some_and(|term| !term.approvals.is_empty()),
            approved_mfa: grant
                .term()
                .is_some_and(|term| term.approvals.iter().all(|approval| approval.mfa)),
            rules: Kept::default(),
            starts,
            deadline: AtomicU64::new(deadline.as_nanos()),
            place: Place::default(),
            end: EndCell::new(),
            suspended: AtomicBool::new(matches!(grant.state, GrantState::Suspended(_))),
            above: None,
            calls: calls_left.map(calls),
            bytes: Left::new(bytes_left),
            changes: None,
            noted: Noted::default(),
            seldom: OnceBox::new(),
            running: AtomicU32::new(0),
            slots: AtomicU32::new(0),
            finished: AtomicU64::new(0),
            cut: AtomicU32::new(0),
            request: grant.request,
            state: Mutex::new(grant.state),
        }
    }

    /// The same, having been carved from `above`: the two together run no more at once than one may, and
    /// where the whole is out of force, so is the part.
    #[must_use]
    pub(super) fn sharing(mut self, above: &Arc<Self>) -> Self {
        self.above = Some(Arc::clone(above));
        self
    }

    /// The same, telling `changes` what the store is to hear of with the clocks.
    #[must_use]
    pub(super) fn telling(mut self, changes: &Arc<Names<GrantId>>) -> Self {
        self.changes = Some(Arc::clone(changes));
        self
    }

    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &Arc<GrantRequest> {
        &self.request
    }

    /// How people have agreed.
    #[must_use]
    pub fn approved_by(&self) -> Agreed<'_> {
        let rule = self.request.right.approval.as_ref();
        let rule = rule.filter(|_| self.approved);
        rule.map_or_else(Agreed::default, |rule| Agreed {
            groups: std::slice::from_ref(&rule.group),
            mfa: self.approved_mfa,
        })
    }

    /// The rules that its calls are asked about by.
    #[must_use]
    pub const fn rules(&self) -> &Kept {
        &self.rules
    }

    /// How many exchanges run under it.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    /// When it came into force.
    #[must_use]
    pub const fn starts(&self) -> BootInstant {
        self.starts
    }

    /// When it is over at the latest.
    #[must_use]
    pub fn deadline(&self) -> BootInstant {
        BootInstant::from_nanos(self.deadline.load(Ordering::SeqCst))
    }

    /// Its place among what is due.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Why it is over, if it is by `now`.
    #[must_use]
    pub fn ended(&self, now: BootInstant) -> Option<EndReason> {
        let expired = (now >= self.deadline()).then_some(EndReason::Expired);
        self.end.get().or(expired)
    }

    /// Whether it is suspended itself.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::SeqCst)
    }

    /// Whether it is out of force at this moment: suspended, or carved from what is.
    #[must_use]
    pub fn is_out_of_force(&self) -> bool {
        self.is_suspended() || self.is_held_back()
    }

    /// Whether what it was carved from is out of force.
    pub(super) fn is_held_back(&self) -> bool {
        self.above
            .as_ref()
            .is_some_and(|above| above.is_out_of_force())
    }

    /// Notes which rule suspends it.
    pub fn note_suspender(&self, rule: TurnedRule) {
        let seldom = self.seldom.get_or_init(Box::default);
        seldom.suspender.store(Some(Arc::new(rule)));
    }

    /// The rule that suspends it, or what it was carved from, where that is the same agent's. None while it is in
    /// force, or where it is not known: after a restart, until the rules have been asked once more.
    #[must_use]
    pub fn suspender(&self) -> Option<Arc<TurnedRule>> {
        let mut part = self;
        while !part.is_suspended() {
            part = part.above.as_ref()?;
        }
        let own = part.request.agent == self.request.agent;
        let seldom = part.seldom.get()?;
        seldom.suspender.load_full().filter(|_| own)
    }

    /// Waits for its end.
    #[must_use]
    pub fn end_signal(self: &Arc<Self>) -> EndSignal {
        EndSignal::of_grant(self)
    }

    /// Whether and why it was ended.
    pub(super) const fn end_cell(&self) -> &EndCell {
        &self.end
    }

    /// Where the exchanges are counted whose number is limited.
    fn slots(&self) -> &AtomicU32 {
        let mut whole = self;
        while let Some(above) = &whole.above {
            whole = above;
        }
        &whole.slots
    }

    /// Calls left, where they are limited.
    #[must_use]
    pub fn calls_left(&self) -> Option<u64> {
        self.calls.as_ref().map(|calls| calls.left())
    }

    /// Bytes left, where they are limited.
    #[must_use]
    pub fn bytes_left(&self) -> Option<u64> {
        self.bytes.get()
    }

    /// The stored form of this moment.
    #[must_use]
    pub fn record(&self) -> Grant {
        Grant {
            request: Arc::clone(&self.request),
            state: self.state().clone(),
        }
    }

    /// Lets one exchange run: takes its call from the budget, or says why it can't run.
    ///
    /// # Errors
    ///
    /// See [`Closed`]; nothing is taken from the budget then.
    pub fn enter(self: &Arc<Self>, now: BootInstant) -> Result<Exchange, Closed> {
        let mut exchange = Exchange::begin(self);
        if let Some(reason) = self.ended(now) {
            return Err(Closed::Ended(reason));
        }
        if self.is_out_of_force() {
            return Err(Closed::Suspended);
        }
        if let Some(most) = self.request.right.budget.concurrent {
            exchange.take_slot(most)?;
        }
        if self.bytes.is_used_up() {
            return Err(Closed::Exhausted);
        }
        exchange.take_call()?;
        Ok(exchange)
    }

    /// Why [`LiveGrant::enter`] would let no exchange run, if it would not. Takes nothing.
    #[must_use]
    pub fn refuses(&self, now: BootInstant) -> Option<Closed> {
        if let Some(reason) = self.ended(now) {
            return Some(Closed::Ended(reason));
        }
        if self.is_out_of_force() {
            return Some(Closed::Suspended);
        }
        let most = self.request.right.budget.concurrent;
        if most.is_some_and(|most| self.slots().load(Ordering::SeqCst) >= most) {
            return Some(Closed::Busy);
        }
        let used_up = self.bytes.is_used_up() || self.calls_left() == Some(0);
        used_up.then_some(Closed::Exhausted)
    }

    /// Ends it in memory and returns the record to store, or nothing where it had ended before.
    pub(super) fn end(&self, reason: EndReason, now: BootInstant, at: Timestamp) -> Option<Grant> {
        if !self.end.set(reason, now) {
            return None;
        }
        self.step(Transition::End(reason), at).ok()
    }

    /// Takes a step of its life in the stored form.
    pub(super) fn step(&self, step: Transition, at: Timestamp) -> Result<Grant, TransitionError> {
        let mut grant = self.record();
        grant.apply(step, at)?;
        let suspended = matches!(grant.state, GrantState::Suspended(_));
        self.suspended.store(suspended, Ordering::SeqCst);
        self.state().clone_from(&grant.state);
        Ok(grant)
    }

    /// Takes what a part is to have from the budget: all of it, or nothing.
    pub(super) fn carve(&self, part: &Budget) -> bool {
        let (calls, bytes) = self.share(part);
        if self.take_calls(calls).is_err() {
            return false;
        }
        if self.bytes.take(bytes).is_err() {
            self.give_calls(calls);
            return false;
        }
        true
    }

    /// Gives back what was carved for a part that has not come to be.
    pub(super) fn give_back(&self, part: &Budget) {
        let (calls, bytes) = self.share(part);
        self.give_calls(calls);
        self.bytes.give(bytes);
        self.note();
    }

    /// Takes calls, where they are limited, and tells what is left of them.
    fn take_calls(&self, calls: u64) -> Result<Option<u64>, Closed> {
        let own = self.calls.as_ref();
        own.map(|own| own.take(calls)).transpose()
    }

    fn give_calls(&self, calls: u64) {
        if let Some(own) = &self.calls {
            own.give(calls);
        }
    }

    /// What a part takes of what is limited here.
    fn share(&self, part: &Budget) -> (u64, u64) {
        let budget = &self.request.right.budget;
        let calls = budget.calls.and(part.calls).unwrap_or(0);
        (calls, budget.bytes.and(part.bytes).unwrap_or(0))
    }

    /// Moves its end, as `state` tells; only under the service's lock.
    pub(super) fn move_end(&self, end: BootInstant, state: &GrantState) {
        self.deadline.store(end.as_nanos(), Ordering::SeqCst);
        self.state().clone_from(state);
    }

    /// How long before its end its agent is warned: a tenth of its life.
    #[must_use]
    pub fn warning(&self) -> Duration {
        (self.deadline() - self.starts) / 10
    }

    /// Resolves when no exchange runs under it any more, to the account of its end.
    pub(super) async fn closed(&self) -> ClosedGrant {
        loop {
            let idle = self.end.waiters().notified();
            // Either the last exchange sees who waits, or this sees that it is over.
            fence(Ordering::SeqCst);
            if self.running.load(Ordering::SeqCst) == 0 {
                return ClosedGrant {
                    id: self.request.grant.clone(),
                    streams_cut: u64::from(self.cut.load(Ordering::SeqCst)),
                    calls_finished: self.finished.load(Ordering::SeqCst),
                    took: Duration::ZERO,
                };
            }
            idle.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, GrantState> {
        // The state is replaced whole, so a poisoned lock still holds a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
