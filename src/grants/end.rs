//! An end: one atomic cell that says whether and why, and a signal for those who wait.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::task::{Context, Poll, Waker};

use once_cell::race::OnceBox;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::LiveGrant;
use crate::base::BootInstant;
use crate::model::EndReason;

/// The part of a state that tells the reason.
const CODE: u64 = 0xff;

/// Whether and why something is over. It is set once.
pub struct EndCell {
    /// Zero while it lives. Else its low byte is one more than the reason's place in [`EndReason::ALL`], and the
    /// rest is when that was set, in nanoseconds on the boot clock.
    state: AtomicU64,
    /// Made by the first who waits: most that lives is waited for by nobody.
    signal: OnceBox<Arc<Notify>>,
}

impl EndCell {
    /// Something that lives.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            signal: OnceBox::new(),
        }
    }

    /// Ends it at `now`. Returns whether this call did; the first reason stays.
    pub fn set(&self, reason: EndReason, now: BootInstant) -> bool {
        let place = EndReason::ALL.iter().position(|one| *one == reason);
        let code = place.and_then(|place| u8::try_from(place + 1).ok());
        let state = now.as_nanos() & !CODE | u64::from(code.unwrap_or(u8::MAX));
        // Sequentially consistent, with `LiveGrant::enter`: either the one who ends sees the exchange
        // that is entering, or that exchange sees the end.
        let stored = self
            .state
            .compare_exchange(0, state, Ordering::SeqCst, Ordering::SeqCst);
        let done = stored.is_ok();
        self.wake();
        done
    }

    /// Why it is over, if it is.
    #[must_use]
    pub fn get(&self) -> Option<EndReason> {
        let code = self.state.load(Ordering::SeqCst) & CODE;
        let place = usize::try_from(code).ok()?.checked_sub(1)?;
        // The code was made from a place in the table; past it something is over all the same.
        Some(
            EndReason::ALL
                .get(place)
                .copied()
                .unwrap_or(EndReason::Revoked),
        )
    }

    /// When it ended, if it did: less than a microsecond before.
    #[must_use]
    pub fn at(&self) -> Option<BootInstant> {
        let state = self.state.load(Ordering::SeqCst);
        (state & CODE != 0).then(|| BootInstant::from_nanos(state & !CODE))
    }

    /// What who waits for something about it registers with; [`EndCell::wake`] wakes all of them. A look at what
    /// is waited for has to follow a fence behind the registration.
    pub(super) fn waiters(&self) -> &Arc<Notify> {
        self.signal.get_or_init(Box::default)
    }

    /// Wakes all who wait, once what they wait for is stored.
    pub(super) fn wake(&self) {
        // Either this sees who waits, or they, who look behind a fence as well, see what was stored.
        fence(Ordering::SeqCst);
        if let Some(signal) = self.signal.get() {
            signal.notify_waiters();
        }
    }

    /// Waits for the end. It can be polled from any thread and dropped at any time.
    #[must_use]
    pub fn signal(self: &Arc<Self>) -> EndSignal {
        EndSignal::new(Of::Cell(Arc::clone(self)))
    }
}

impl Default for EndCell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EndCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndCell").field(&self.get()).finish()
    }
}

impl Clone for EndSignal {
    fn clone(&self) -> Self {
        Self::new(self.of.clone())
    }
}

/// Resolves to the reason once the thing it was taken from is over, also when that was before.
pub struct EndSignal {
    of: Of,
    /// Made on the first poll that has to wait: most exchanges are over before.
    waiting: Option<Pin<Box<OwnedNotified>>>,
    /// Whom the end wakes. As long as it is the same there is nothing to register anew.
    waker: Option<Waker>,
}

/// What holds the cell.
#[derive(Clone)]
enum Of {
    Cell(Arc<EndCell>),
    Grant(Arc<LiveGrant>),
}

impl Of {
    fn cell(&self) -> &EndCell {
        match self {
            Self::Cell(cell) => cell,
            Self::Grant(grant) => grant.end_cell(),
        }
    }
}

impl EndSignal {
    const fn new(of: Of) -> Self {
        Self {
            of,
            waiting: None,
            waker: None,
        }
    }

    /// Waits for the end of a grant.
    pub(super) fn of_grant(grant: &Arc<LiveGrant>) -> Self {
        Self::new(Of::Grant(Arc::clone(grant)))
    }

    /// Why it is over, if it is by now.
    #[must_use]
    pub fn get(&self) -> Option<EndReason> {
        self.of.cell().get()
    }

    /// When it ended, if it did.
    #[must_use]
    pub fn at(&self) -> Option<BootInstant> {
        self.of.cell().at()
    }

    /// Whether `other` waits for the same end.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        std::ptr::eq(self.of.cell(), other.of.cell())
    }
}

impl Future for EndSignal {
    type Output = EndReason;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<EndReason> {
        let this = self.get_mut();
        let cell = this.of.cell();
        loop {
            if let Some(reason) = cell.get() {
                return Poll::Ready(reason);
            }
            let registered = this.waker.as_ref();
            if registered.is_some_and(|waker| waker.will_wake(context.waker())) {
                return Poll::Pending;
            }
            let waiting = this
                .waiting
                .get_or_insert_with(|| Box::pin(Arc::clone(cell.waiters()).notified_owned()));
            // Registering comes before the second look at the cell, so that no end falls between.
            let woken = waiting.as_mut().poll(context).is_ready();
            fence(Ordering::SeqCst);
            if woken {
                (this.waiting, this.waker) = (None, None);
            } else if cell.get().is_none() {
                this.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
    }
}

impl fmt::Debug for EndSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndSignal").field(&self.get()).finish()
    }
}
