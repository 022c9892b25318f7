//! The one task that ends what has run out: no timer per grant, no timer per stream.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::events::Event;
use super::{Grants, LiveGrant};
use crate::base::BootInstant;
use crate::model::{EndReason, GrantId, RequestId, TaskId, Transition};

/// What is due, the earliest first. A deadline that has moved since is looked at when it would have
/// been due, and set again.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: Mutex<BTreeSet<(BootInstant, Due)>>,
    earlier: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Grant(GrantId),
    Request(RequestId),
    Task(TaskId),
    Warning(GrantId),
}

impl Timers {
    pub(super) fn add_grant(&self, grant: &LiveGrant) {
        let id = &grant.request().grant;
        self.add(grant.deadline(), Due::Grant(id.clone()));
        self.add(warning(grant), Due::Warning(id.clone()));
    }

    pub(super) fn add_request(&self, deadline: BootInstant, id: &RequestId) {
        self.add(deadline, Due::Request(id.clone()));
    }

    pub(super) fn add_task(&self, deadline: BootInstant, id: &TaskId) {
        self.add(deadline, Due::Task(id.clone()));
    }

    fn add(&self, deadline: BootInstant, due: Due) {
        let mut queue = self.queue();
        let first = queue.first().map(|(deadline, _)| *deadline);
        queue.insert((deadline, due));
        drop(queue);
        if first.is_none_or(|first| deadline < first) {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> BootInstant {
        let queue = self.queue();
        queue
            .first()
            .map_or(BootInstant::FAR_FUTURE, |(deadline, _)| *deadline)
    }

    fn take_due(&self, now: BootInstant) -> Vec<Due> {
        let mut queue = self.queue();
        let mut due = Vec::new();
        while let Some(first) = queue.first()
            && first.0 <= now
        {
            due.extend(queue.pop_first().map(|(_, due)| due));
        }
        due
    }

    fn queue(&self) -> MutexGuard<'_, BTreeSet<(BootInstant, Due)>> {
        // Each change is one set operation, so a poisoned set is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the last tenth of a grant's life begins.
fn warning(grant: &LiveGrant) -> BootInstant {
    grant.starts() + ((grant.deadline() - grant.starts()) - grant.warning())
}

impl Grants {
    /// Ends grants at their deadlines and tasks at their lease or age, for as long as it is polled.
    pub async fn run_clockwork(self) {
        loop {
            let timers = &self.0.timers;
            let earlier = timers.earlier.notified();
            let sleep = self.0.clock.sleep_until(timers.next());
            tokio::select! {
                () = sleep => self.end_due(),
                () = earlier => {}
            }
        }
    }

    fn end_due(&self) {
        let inner = &self.0;
        let now = inner.clock.now();
        let mut expired = Vec::new();
        let mut unanswered = Vec::new();
        for due in inner.timers.take_due(now) {
            match &due {
                Due::Grant(id) => {
                    let Some(grant) = inner.grants.get(id) else {
                        continue;
                    };
                    match grant.ended(now) {
                        Some(_) => expired.push((grant, EndReason::Expired)),
                        None => inner.timers.add(grant.deadline(), due),
                    }
                }
                Due::Warning(id) => {
                    let Some(grant) = inner.grants.get(id) else {
                        continue;
                    };
                    // Its end may have moved since.
                    if now < warning(&grant) {
                        inner.timers.add(warning(&grant), due);
                    } else {
                        inner.events.tell(|| Event::GrantExpiring(grant.record()));
                    }
                }
                Due::Request(id) => unanswered.extend(inner.pending.get(id)),
                Due::Task(id) => {
                    let Some(task) = inner.tasks.get(id) else {
                        continue;
                    };
                    match task.ended(now) {
                        Some(reason) => self.begin_end(id, reason),
                        None => inner.timers.add(task.lapses().min(task.oldest()), due),
                    }
                }
            }
        }
        self.begin_end_grants(expired);
        self.begin_end_pending(unanswered, &Transition::End(EndReason::Expired));
    }
}
