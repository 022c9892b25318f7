//! A grant in force, as the request path sees it: atomics only.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{EndCell, EndSignal};
use crate::base::BootInstant;
use crate::model::{
    ClosedGrant, EndReason, Grant, GrantRequest, GrantState, GroupName, Transition, TransitionError,
};

/// Stands for a budget without a limit.
const UNLIMITED: u64 = u64::MAX;

/// A grant in force. What never changes is plain data; what does is atomic.
#[derive(Debug)]
pub struct LiveGrant {
    request: Arc<GrantRequest>,
    approved_by: Vec<GroupName>,
    starts: BootInstant,
    /// Nanoseconds on the boot clock.
    deadline: AtomicU64,
    end: Arc<EndCell>,
    suspended: AtomicBool,
    calls_left: AtomicU64,
    bytes_left: AtomicU64,
    running: AtomicU32,
    finished: AtomicU64,
    cut: AtomicU64,
    idle: Notify,
    /// The stored form. Read and stepped only by the service, never on the request path.
    state: Mutex<GrantState>,
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
        let approved = grant.term().is_some_and(|term| !term.approvals.is_empty());
        let rule = grant.request.approval.as_ref().filter(|_| approved);
        Self {
            approved_by: rule.map(|rule| rule.group.clone()).into_iter().collect(),
            starts,
            deadline: AtomicU64::new(deadline.as_nanos()),
            end: Arc::new(EndCell::new()),
            suspended: AtomicBool::new(false),
            calls_left: AtomicU64::new(budget.calls.unwrap_or(UNLIMITED)),
            bytes_left: AtomicU64::new(budget.bytes.unwrap_or(UNLIMITED)),
            running: AtomicU32::new(0),
            finished: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            idle: Notify::new(),
            request: grant.request,
            state: Mutex::new(grant.state),
        }
    }

    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &Arc<GrantRequest> {
        &self.request
    }

    /// The groups in whose name people have agreed.
    #[must_use]
    pub fn approved_by(&self) -> &[GroupName] {
        &self.approved_by
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

    /// Why it is over, if it is by `now`.
    #[must_use]
    pub fn ended(&self, now: BootInstant) -> Option<EndReason> {
        let expired = (now >= self.deadline()).then_some(EndReason::Expired);
        self.end.get().or(expired)
    }

    /// Waits for its end.
    #[must_use]
    pub fn end_signal(&self) -> EndSignal {
        self.end.signal()
    }

    /// Calls left, where they are limited.
    #[must_use]
    pub fn calls_left(&self) -> Option<u64> {
        limited(self.calls_left.load(Ordering::Relaxed))
    }

    /// Bytes left, where they are limited.
    #[must_use]
    pub fn bytes_left(&self) -> Option<u64> {
        limited(self.bytes_left.load(Ordering::Relaxed))
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
        let running = self.running.fetch_add(1, Ordering::SeqCst);
        // From here on the exchange counts, and dropping it undoes that.
        let mut exchange = Exchange {
            grant: Arc::clone(self),
            outcome: Outcome::Refused,
        };
        if let Some(reason) = self.ended(now) {
            return Err(Closed::Ended(reason));
        }
        if self.suspended.load(Ordering::SeqCst) {
            return Err(Closed::Suspended);
        }
        let most = self.request.budget.concurrent;
        if most.is_some_and(|most| running >= most) {
            return Err(Closed::Busy);
        }
        if self.bytes_left.load(Ordering::Relaxed) == 0 || !take(&self.calls_left, 1) {
            return Err(Closed::Exhausted);
        }
        exchange.outcome = Outcome::Finished;
        Ok(exchange)
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
        self.state().clone_from(&grant.state);
        Ok(grant)
    }

    /// Resolves when no exchange runs under it any more, to the account of its end.
    pub(super) async fn closed(&self) -> ClosedGrant {
        loop {
            let idle = self.idle.notified();
            if self.running.load(Ordering::SeqCst) == 0 {
                return ClosedGrant {
                    id: self.request.grant.clone(),
                    streams_cut: self.cut.load(Ordering::SeqCst),
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

/// One exchange running under a grant. Dropping it is the end of the exchange.
#[derive(Debug)]
pub struct Exchange {
    grant: Arc<LiveGrant>,
    outcome: Outcome,
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
        self.grant.end.signal()
    }

    /// Takes `bytes` that are about to pass from the budget.
    ///
    /// # Errors
    ///
    /// When fewer are left; they are then used up, so that nothing more passes.
    pub fn spend(&self, bytes: u64) -> Result<(), Closed> {
        if take(&self.grant.bytes_left, bytes) {
            return Ok(());
        }
        self.grant.bytes_left.store(0, Ordering::Relaxed);
        Err(Closed::Exhausted)
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
            Outcome::Cut => self.grant.cut.fetch_add(1, Ordering::SeqCst),
            Outcome::Finished => self.grant.finished.fetch_add(1, Ordering::SeqCst),
            Outcome::Refused => 0,
        };
        if self.grant.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.grant.idle.notify_waiters();
        }
    }
}

fn limited(left: u64) -> Option<u64> {
    (left != UNLIMITED).then_some(left)
}

/// Takes `amount` from `left` if that much is there.
fn take(left: &AtomicU64, amount: u64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
        UNLIMITED => Some(UNLIMITED),
        left => left.checked_sub(amount),
    })
    .is_ok()
}
