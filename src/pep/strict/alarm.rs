//! One deadline that moves all the time and is hardly ever met.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::base::{BootInstant, Clock};

/// Wakes a task at a deadline that is said anew each time it is asked for. A timer that is set for an
/// earlier moment is kept and set again when it fires, so that a busy connection never touches one.
pub(in crate::pep) struct Alarm {
    clock: Clock,
    set: Option<(BootInstant, Timer)>,
}

type Timer = Pin<Box<dyn Future<Output = ()>>>;

impl Alarm {
    pub(in crate::pep) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            set: None,
        }
    }

    pub(in crate::pep) fn now(&self) -> BootInstant {
        self.clock.now()
    }

    /// Ready when `deadline` has come.
    pub(in crate::pep) fn poll(
        &mut self,
        deadline: BootInstant,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            match &mut self.set {
                Some((at, timer)) if *at <= deadline => {
                    if timer.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    self.set = None;
                    if self.clock.now() >= deadline {
                        return Poll::Ready(());
                    }
                }
                Some(_) | None => {
                    let timer = Box::pin(self.clock.doze_until(deadline));
                    self.set = Some((deadline, timer));
                }
            }
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.set.as_ref().map(|(at, _)| at);
        f.debug_struct("Alarm").field("at", &at).finish()
    }
}
