//! A grant in force, as the request path sees it: atomics only.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::ahead::{Ahead, first_stored};
use super::clockwork::Place;
use super::unstored::{Names, Note, Noted};
use super::{EndCell, EndSignal};
use crate::base::BootInstant;
use crate::model::{
    Budget, ClosedGrant, EndReason, Grant, GrantId, GrantRequest, GrantState, GroupName,
    Transition, TransitionError,
};
use crate::pdp::Kept;
use crate::store::GrantMark;

/// Stands for a budget without a limit.
const UNLIMITED: u64 = u64::MAX;

/// A grant in force. What never changes is plain data; what does is atomic.
#[derive(Debug)]
pub struct LiveGrant {
    request: Arc<GrantRequest>,
    /// Whether people have agreed to it.
    approved: bool,
    rules: Kept,
    starts: BootInstant,
    /// Nanoseconds on the boot clock.
    deadline: AtomicU64,
    place: Place,
    end: EndCell,
    suspended: AtomicBool,
    /// What it was carved from: out of force, that takes it along.
    above: Option<Arc<Self>>,
    calls_left: AtomicU64,
    bytes_left: AtomicU64,
    stored: Stored,
    running: AtomicU32,
    /// Exchanges that run under it and under what was carved from it, where their number is limited; of a part
    /// those of the whole count.
    slots: AtomicU32,
    finished: AtomicU64,
    cut: AtomicU32,
    /// The stored form. Read and stepped only by the service, never on the request path.
    state: Mutex<GrantState>,
}

/// What the store knows of a grant's use.
#[derive(Debug)]
struct Stored {
    /// The calls left that a restart would find. A call is made only once this is at most what it left
    /// over, so that no crash gives a call back.
    calls_left: AtomicU64,
    /// How far that lies ahead of use.
    ahead: Ahead,
    /// Where it says that it has changed; nowhere where it is only supposed.
    changes: Option<Arc<Names<GrantId>>>,
    noted: Noted,
    /// Marks are written one after the other; held across the write. Made by the first.
    turn: OnceLock<Box<tokio::sync::Mutex<()>>>,
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
        let budget = grant.request.budget;
        let mark = GrantMark {
            starts,
            deadline,
            calls_left: budget.calls,
            bytes_left: budget.bytes,
        };
        let mut live = Self::restored(grant, &mark);
        let calls = budget.calls.map_or(UNLIMITED, first_stored);
        live.stored.calls_left = AtomicU64::new(calls);
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
        let calls_left = calls_left.unwrap_or(UNLIMITED);
        let bytes_left = bytes_left.unwrap_or(UNLIMITED);
        Self {
            approved: grant.term().is_some_and(|term| !term.approvals.is_empty()),
            rules: Kept::default(),
            starts,
            deadline: AtomicU64::new(deadline.as_nanos()),
            place: Place::default(),
            end: EndCell::new(),
            suspended: AtomicBool::new(matches!(grant.state, GrantState::Suspended(_))),
            above: None,
            calls_left: AtomicU64::new(calls_left),
            bytes_left: AtomicU64::new(bytes_left),
            stored: Stored {
                calls_left: AtomicU64::new(calls_left),
                ahead: Ahead::new(grant.request.budget.calls.unwrap_or(UNLIMITED)),
                changes: None,
                noted: Noted::default(),
                turn: OnceLock::new(),
            },
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
        self.stored.changes = Some(Arc::clone(changes));
        self
    }

    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &Arc<GrantRequest> {
        &self.request
    }

    /// The groups in whose name people have agreed.
    #[must_use]
    pub fn approved_by(&self) -> &[GroupName] {
        let rule = self.request.approval.as_ref().filter(|_| self.approved);
        rule.map(|rule| &rule.group)
            .map_or(&[], std::slice::from_ref)
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
        limited(self.calls_left.load(Ordering::Relaxed))
    }

    /// Bytes left, where they are limited.
    #[must_use]
    pub fn bytes_left(&self) -> Option<u64> {
        limited(self.bytes_left.load(Ordering::SeqCst))
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
        self.running.fetch_add(1, Ordering::SeqCst);
        // From here on the exchange counts, and dropping it undoes that.
        let mut exchange = Exchange {
            grant: Arc::clone(self),
            outcome: Outcome::Refused,
            slot: false,
            left: UNLIMITED,
        };
        if let Some(reason) = self.ended(now) {
            return Err(Closed::Ended(reason));
        }
        if self.is_out_of_force() {
            return Err(Closed::Suspended);
        }
        if let Some(most) = self.request.budget.concurrent {
            exchange.slot = true;
            if self.slots().fetch_add(1, Ordering::SeqCst) >= most {
                return Err(Closed::Busy);
            }
        }
        if self.bytes_left.load(Ordering::Relaxed) == 0 {
            return Err(Closed::Exhausted);
        }
        exchange.left = take(&self.calls_left, 1).ok_or(Closed::Exhausted)?;
        exchange.outcome = Outcome::Finished;
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
        let most = self.request.budget.concurrent;
        if most.is_some_and(|most| self.slots().load(Ordering::SeqCst) >= most) {
            return Some(Closed::Busy);
        }
        let used_up = |left: &AtomicU64| left.load(Ordering::Relaxed) == 0;
        (used_up(&self.bytes_left) || used_up(&self.calls_left)).then_some(Closed::Exhausted)
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
        if take(&self.calls_left, calls).is_none() {
            return false;
        }
        if take(&self.bytes_left, bytes).is_none() {
            give(&self.calls_left, calls);
            return false;
        }
        true
    }

    /// Gives back what was carved for a part that has not come to be.
    pub(super) fn give_back(&self, part: &Budget) {
        let (calls, bytes) = self.share(part);
        give(&self.calls_left, calls);
        give(&self.bytes_left, bytes);
        self.note();
    }

    /// What a part takes of what is limited here.
    fn share(&self, part: &Budget) -> (u64, u64) {
        let budget = &self.request.budget;
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

    /// How many calls a restart would find, at most.
    pub(super) fn stored_calls(&self) -> u64 {
        self.stored.calls_left.load(Ordering::SeqCst)
    }

    /// Whether half of the calls that the store knows of ahead of their use are used, once `left` are left.
    pub(super) fn runs_short(&self, left: u64) -> bool {
        let stored = self.stored_calls();
        stored > 0 && left.saturating_sub(stored) < self.stored.ahead.calls().div_ceil(2)
    }

    /// Whether the store takes more of its calls for used than of a grant that calls now and then.
    pub(super) fn is_far_ahead(&self) -> bool {
        self.stored.ahead.is_far(self.calls())
    }

    /// Its mark is read from here on: what changes later is noted anew.
    pub(super) fn clear_note(&self) {
        self.stored.noted.clear();
    }

    /// The turn to write its mark.
    pub(super) fn turn(&self) -> &tokio::sync::Mutex<()> {
        self.stored.turn.get_or_init(Box::default)
    }

    /// What the store would have to know if no more than `calls` were left; it knows of no more than it
    /// does already. Write it in turn, then say so to [`LiveGrant::note_stored`].
    pub(super) fn mark(&self, calls: u64) -> GrantMark {
        let left = self.calls_left.load(Ordering::SeqCst);
        GrantMark {
            starts: self.starts,
            deadline: self.deadline(),
            calls_left: limited(calls.min(left)),
            bytes_left: self.bytes_left(),
        }
    }

    /// What the store has to know before more calls are made than it knows of, where no more than `left` are
    /// left; and how far that lies ahead of use. To be written as a [`LiveGrant::mark`].
    pub(super) fn mark_ahead(&self, left: u64, now: BootInstant) -> (GrantMark, u64) {
        let ahead = self.stored.ahead.next(self.calls(), now);
        let left = left.min(self.calls_left.load(Ordering::SeqCst));
        (self.mark(left.saturating_sub(ahead)), ahead)
    }

    /// The store has `mark`, and is `ahead` by so many calls.
    pub(super) fn note_ahead(&self, mark: &GrantMark, ahead: u64, now: BootInstant) {
        self.note_stored(mark);
        self.stored.ahead.note(ahead, now);
        if self.is_far_ahead() {
            // What it does not use is given back.
            self.note();
        }
    }

    /// What the store is to know now and then. Where the grant has become slower, that is of more calls than
    /// before. To be written as a [`LiveGrant::mark`].
    pub(super) fn mark_relaxed(&self, now: BootInstant) -> GrantMark {
        let mut stored = self.stored_calls();
        if let Some(ahead) = self.stored.ahead.relax(self.calls(), now) {
            let left = self.calls_left.load(Ordering::SeqCst);
            stored = stored.max(left.saturating_sub(ahead));
            // INVARIANT: a call that comes from here on finds that it has to wait; one that came before, and
            // need not, has been taken from what the mark looks at next.
            self.stored.calls_left.store(stored, Ordering::SeqCst);
        }
        self.mark(stored)
    }

    /// The store has `mark`.
    pub(super) fn note_stored(&self, mark: &GrantMark) {
        let calls = mark.calls_left.unwrap_or(UNLIMITED);
        self.stored.calls_left.store(calls, Ordering::SeqCst);
    }

    /// At the orderly stop, when no exchange runs: what is left is left, and a late call waits.
    pub(super) fn give_back_unused(&self) {
        let left = self.calls_left.load(Ordering::SeqCst);
        let stored = self.stored.calls_left.swap(left, Ordering::SeqCst);
        if stored != left {
            self.note();
        }
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

    /// The calls of its budget.
    fn calls(&self) -> u64 {
        self.request.budget.calls.unwrap_or(UNLIMITED)
    }

    fn state(&self) -> MutexGuard<'_, GrantState> {
        // The state is replaced whole, so a poisoned lock still holds a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note for LiveGrant {
    fn note(&self) {
        if let Some(changes) = &self.stored.changes {
            changes.note(&self.stored.noted, &self.request.grant);
        }
    }
}

/// One exchange running under a grant. Dropping it is the end of the exchange.
#[derive(Debug)]
pub struct Exchange {
    grant: Arc<LiveGrant>,
    outcome: Outcome,
    /// Whether it has taken one of the places for exchanges at once.
    slot: bool,
    /// The calls that were left after this one was taken.
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Cut,
    Finished,
    Refused,
}

impl Exchange {
    /// The grant that it runs under.
    #[must_use]
    pub const fn grant(&self) -> &Arc<LiveGrant> {
        &self.grant
    }

    /// Waits for the end of the grant.
    #[must_use]
    pub fn end_signal(&self) -> EndSignal {
        self.grant.end_signal()
    }

    /// The calls that were left after this one was taken, where they are limited.
    pub(super) fn left(&self) -> Option<u64> {
        limited(self.left)
    }

    /// Takes `bytes` that are about to pass from the budget.
    ///
    /// # Errors
    ///
    /// When fewer are left; they are then used up, so that nothing more passes.
    pub fn spend(&self, bytes: u64) -> Result<(), Closed> {
        let taken = take(&self.grant.bytes_left, bytes);
        if taken.is_none() {
            self.grant.bytes_left.store(0, Ordering::SeqCst);
        }
        if taken != Some(UNLIMITED) {
            self.grant.note();
        }
        taken.map(drop).ok_or(Closed::Exhausted)
    }

    /// Gives the call back to the budget: the upstream never saw a byte of it.
    pub fn refund(mut self) {
        if self.grant.request.budget.calls.is_some() {
            self.grant.calls_left.fetch_add(1, Ordering::Relaxed);
        }
        self.outcome = Outcome::Refused;
    }

    /// Notes that it was cut and did not come to its own end.
    pub const fn mark_cut(&mut self) {
        self.outcome = Outcome::Cut;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.outcome {
            Outcome::Cut => {
                self.grant.cut.fetch_add(1, Ordering::SeqCst);
            }
            Outcome::Finished => {
                self.grant.finished.fetch_add(1, Ordering::SeqCst);
            }
            Outcome::Refused => {}
        }
        if self.slot {
            self.grant.slots().fetch_sub(1, Ordering::SeqCst);
        }
        let last = self.grant.running.fetch_sub(1, Ordering::SeqCst) == 1;
        // Before its end nobody waits for the last one. Whoever ends it looks at what runs after that: of the
        // two, one sees the other.
        if last && self.grant.end.get().is_some() {
            self.grant.end.wake();
        }
    }
}

fn limited(left: u64) -> Option<u64> {
    (left != UNLIMITED).then_some(left)
}

/// Takes `amount` from `left` if that much is there, and tells what is left then.
fn take(left: &AtomicU64, amount: u64) -> Option<u64> {
    let rest = |left| match left {
        UNLIMITED => Some(UNLIMITED),
        left => left.checked_sub(amount),
    };
    let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, rest);
    before.ok().and_then(rest)
}

fn give(left: &AtomicU64, amount: u64) {
    let more = |left| match left {
        UNLIMITED => None,
        left => Some(left + amount),
    };
    // Nothing is given to what has no limit.
    let _ = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
}
