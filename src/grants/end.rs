//! An end: one atomic cell that says whether and why, and a signal for those who wait.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::base::BootInstant;
use crate::model::EndReason;

/// Whether and why something is over. It is set once.
pub struct EndCell {
    /// Zero while it lives, else one more than the reason's place in [`EndReason::ALL`].
    code: AtomicU8,
    /// When it was set, in nanoseconds on the boot clock.
    at: AtomicU64,
    signal: Arc<Notify>,
}

impl EndCell {
    /// Something that lives.
    #[must_use]
    pub fn new() -> Self {
        Self {
            code: AtomicU8::new(0),
            at: AtomicU64::new(0),
            signal: Arc::new(Notify::new()),
        }
    }

    /// Ends it at `now`. Returns whether this call did; the first reason stays.
    pub fn set(&self, reason: EndReason, now: BootInstant) -> bool {
        if self.get().is_some() {
            return false;
        }
        self.at.store(now.as_nanos(), Ordering::SeqCst);
        let place = EndReason::ALL.iter().position(|one| *one == reason);
        let code = place.and_then(|place| u8::try_from(place + 1).ok());
        // Sequentially consistent, with `LiveGrant::enter`: either the one who ends sees the exchange
        // that is entering, or that exchange sees the end.
        let done = self
            .code
            .compare_exchange(
                0,
                code.unwrap_or(u8::MAX),
                Ordering::SeqCst,
                Ordering::SeqCst,
            )
            .is_ok();
        self.signal.notify_waiters();
        done
    }

    /// Why it is over, if it is.
    #[must_use]
    pub fn get(&self) -> Option<EndReason> {
        let code = self.code.load(Ordering::SeqCst);
        let place = usize::from(code).checked_sub(1)?;
        // The code was made from a place in the table; past it something is over all the same.
        Some(
            EndReason::ALL
                .get(place)
                .copied()
                .unwrap_or(EndReason::Revoked),
        )
    }

    /// When it ended, if it did.
    #[must_use]
    pub fn at(&self) -> Option<BootInstant> {
        self.get()
            .map(|_| BootInstant::from_nanos(self.at.load(Ordering::SeqCst)))
    }

    /// Waits for the end. It can be polled from any thread and dropped at any time.
    #[must_use]
    pub fn signal(self: &Arc<Self>) -> EndSignal {
        EndSignal {
            waiting: None,
            waker: None,
            cell: Arc::clone(self),
        }
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
        self.cell.signal()
    }
}

/// Resolves to the reason once the thing it was taken from is over, also when that was before.
pub struct EndSignal {
    cell: Arc<EndCell>,
    /// Made on the first poll that has to wait: most exchanges are over before.
    waiting: Option<Pin<Box<OwnedNotified>>>,
    /// Whom the end wakes. As long as it is the same there is nothing to register anew.
    waker: Option<Waker>,
}

impl EndSignal {
    /// Why it is over, if it is by now.
    #[must_use]
    pub fn get(&self) -> Option<EndReason> {
        self.cell.get()
    }

    /// When it ended, if it did.
    #[must_use]
    pub fn at(&self) -> Option<BootInstant> {
        self.cell.at()
    }

    /// Whether `other` waits for the same end.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }
}

impl Future for EndSignal {
    type Output = EndReason;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<EndReason> {
        loop {
            if let Some(reason) = self.cell.get() {
                return Poll::Ready(reason);
            }
            let registered = self.waker.as_ref();
            if registered.is_some_and(|waker| waker.will_wake(context.waker())) {
                return Poll::Pending;
            }
            let waiting = match &mut self.waiting {
                Some(waiting) => waiting,
                None => {
                    let fresh = Box::pin(Arc::clone(&self.cell.signal).notified_owned());
                    self.waiting.insert(fresh)
                }
            };
            // Registering comes before the second look at the cell, so that no end falls between.
            let woken = waiting.as_mut().poll(context).is_ready();
            if woken {
                (self.waiting, self.waker) = (None, None);
            } else if self.cell.get().is_none() {
                self.waker = Some(context.waker().clone());
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
