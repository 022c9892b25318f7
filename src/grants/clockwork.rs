//! The one task that ends what has run out: no timer per grant, no timer per stream.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::events::Event;
use super::{Grants, LiveGrant};
use crate::base::BootInstant;
use crate::model::{EndReason, GrantId, RequestId, TaskId, Transition};

/// What is due, the earliest first; one entry at most for each thing that lives. A deadline that has moved
/// since is looked at when it would have been due, and set again.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: Mutex<Queue>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    in_order: BTreeSet<(BootInstant, Due)>,
    deadlines: HashMap<Due, BootInstant>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    pub(super) fn remove_grant(&self, id: &GrantId) {
        let mut queue = self.queue();
        queue.remove(&Due::Grant(id.clone()));
        queue.remove(&Due::Warning(id.clone()));
    }

    pub(super) fn remove_request(&self, id: &RequestId) {
        self.queue().remove(&Due::Request(id.clone()));
    }

    pub(super) fn remove_task(&self, id: &TaskId) {
        self.queue().remove(&Due::Task(id.clone()));
    }

    /// How many deadlines are waited for.
    pub(super) fn len(&self) -> usize {
        self.queue().deadlines.len()
    }

    fn add(&self, deadline: BootInstant, due: Due) {
        let mut queue = self.queue();
        let first = queue.first();
        queue.remove(&due);
        queue.deadlines.insert(due.clone(), deadline);
        queue.in_order.insert((deadline, due));
        drop(queue);
        if first.is_none_or(|first| deadline < first) {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> BootInstant {
        self.queue().first().unwrap_or(BootInstant::FAR_FUTURE)
    }

    fn take_due(&self, now: BootInstant) -> Vec<Due> {
        let mut queue = self.queue();
        let mut due = Vec::new();
        while let Some(first) = queue.in_order.first()
            && first.0 <= now
        {
            if let Some((_, one)) = queue.in_order.pop_first() {
                queue.deadlines.remove(&one);
                due.push(one);
            }
        }
        due
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing between the two changes of an entry can panic, so a poisoned queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn first(&self) -> Option<BootInstant> {
        self.in_order.first().map(|(deadline, _)| *deadline)
    }

    fn remove(&mut self, due: &Due) {
        if let Some((due, deadline)) = self.deadlines.remove_entry(due) {
            self.in_order.remove(&(deadline, due));
        }
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
            // An end that comes meanwhile waits, and takes out again what is set again here.
            let order = inner.family();
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
                        Some(reason) => {
                            drop(order);
                            self.begin_end(id, reason);
                        }
                        None => inner.timers.add(task.lapses().min(task.oldest()), due),
                    }
                }
            }
        }
        self.begin_end_grants(expired);
        self.begin_end_pending(unanswered, &Transition::End(EndReason::Expired));
    }
}
