//! The one task that ends what has run out: no timer per grant, no timer per stream.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::events::Event;
use super::{Grants, LiveGrant, LiveTask, PendingGrant};
use crate::base::BootInstant;
use crate::model::{EndReason, GrantId, RequestId, TaskId, Transition};

/// What is due, the earliest first; one entry at most for each thing that lives: of a grant its warning, and
/// after that its end. A deadline that has moved since is looked at when it would have been due, and set again.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: Mutex<BTreeSet<(BootInstant, Due)>>,
    earlier: Notify,
}

/// Under which moment a thing stands in the queue, if it does. Kept by the thing, read and changed only with the
/// queue locked.
#[derive(Debug, Default)]
pub(super) struct Place(AtomicU64);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Grant(GrantId),
    Request(RequestId),
    Task(TaskId),
    Warning(GrantId),
}

impl Timers {
    pub(super) fn add_grant(&self, grant: &LiveGrant) {
        self.remove_grant(grant);
        let id = grant.request().grant.clone();
        self.add(grant.place(), warning(grant), Due::Warning(id));
    }

    pub(super) fn add_request(&self, request: &PendingGrant) {
        let due = Due::Request(request.request().id.clone());
        self.add(request.place(), request.until(), due);
    }

    pub(super) fn add_task(&self, task: &LiveTask) {
        let due = Due::Task(task.task().id.clone());
        self.add(task.place(), task.lapses().min(task.oldest()), due);
    }

    pub(super) fn remove_grant(&self, grant: &LiveGrant) {
        let id = &grant.request().grant;
        let mut queue = self.queue();
        let at = grant.place().get();
        if !queue.remove(&(at, Due::Warning(id.clone()))) {
            queue.remove(&(at, Due::Grant(id.clone())));
        }
    }

    pub(super) fn remove_request(&self, request: &PendingGrant) {
        let due = Due::Request(request.request().id.clone());
        self.queue().remove(&(request.place().get(), due));
    }

    pub(super) fn remove_task(&self, task: &LiveTask) {
        let due = Due::Task(task.task().id.clone());
        self.queue().remove(&(task.place().get(), due));
    }

    /// How many deadlines are waited for.
    pub(super) fn len(&self) -> usize {
        self.queue().len()
    }

    /// Adds what is due at `deadline`, in place of the same at another moment.
    fn add(&self, place: &Place, deadline: BootInstant, due: Due) {
        let mut queue = self.queue();
        let first = first(&queue);
        let mut entry = (place.get(), due);
        queue.remove(&entry);
        place.0.store(deadline.as_nanos(), Ordering::Relaxed);
        entry.0 = deadline;
        queue.insert(entry);
        drop(queue);
        if first.is_none_or(|first| deadline < first) {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> BootInstant {
        first(&self.queue()).unwrap_or(BootInstant::FAR_FUTURE)
    }

    fn take_due(&self, now: BootInstant) -> Vec<Due> {
        let mut queue = self.queue();
        let mut due = Vec::new();
        while let Some(first) = queue.first()
            && first.0 <= now
        {
            due.extend(queue.pop_first().map(|(_, one)| one));
        }
        due
    }

    fn queue(&self) -> MutexGuard<'_, BTreeSet<(BootInstant, Due)>> {
        // Nothing between the two changes of an entry can panic, so a poisoned queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The moment that it was put under last; nothing stands there any more if that was taken out.
    fn get(&self) -> BootInstant {
        BootInstant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

fn first(queue: &BTreeSet<(BootInstant, Due)>) -> Option<BootInstant> {
    queue.first().map(|(deadline, _)| *deadline)
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
            // An end that comes meanwhile waits, and takes out again what is set again here.
            let order = inner.family();
            match &due {
                Due::Grant(id) => {
                    let Some(grant) = inner.grants.get(id) else {
                        continue;
                    };
                    match grant.ended(now) {
                        Some(_) => expired.push((grant, EndReason::Expired)),
                        None => inner.timers.add(grant.place(), grant.deadline(), due),
                    }
                }
                Due::Warning(id) => {
                    let Some(grant) = inner.grants.get(id) else {
                        continue;
                    };
                    // Its end may have moved since.
                    if now < warning(&grant) {
                        inner.timers.add(grant.place(), warning(&grant), due);
                        continue;
                    }
                    inner.events.tell(|| Event::GrantExpiring(grant.record()));
                    match grant.ended(now) {
                        Some(_) => expired.push((grant, EndReason::Expired)),
                        None => {
                            let end = Due::Grant(id.clone());
                            inner.timers.add(grant.place(), grant.deadline(), end);
                        }
                    }
                }
                Due::Request(id) => unanswered.extend(inner.pending.get(id)),
                Due::Task(id) => {
                    let Some(task) = inner.tasks.get(id) else {
                        continue;
                    };
                    match task.ended(now) {
                        Some(reason) => {
                            drop(order);
                            self.begin_end(id, reason);
                        }
                        None => inner.timers.add_task(&task),
                    }
                }
            }
        }
        self.begin_end_grants(expired);
        self.begin_end_pending(unanswered, &Transition::End(EndReason::Expired));
    }
}
