//! The one task that ends what has run out: no timer per grant, no timer per stream.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::events::Event;
use super::{Grants, LiveGrant, LiveTask, PendingGrant};
use crate::base::BootInstant;
use crate::model::{EndReason, Transition};

/// What is due, the earliest first; one entry at most for each thing that lives: of a grant its warning, and
/// after that its end. A deadline that has moved since is looked at when it would have been due, and set again.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queues: Mutex<Queues>,
    earlier: Notify,
}

/// One for each kind of thing, so that an entry is no more than a moment and a pointer.
#[derive(Debug, Default)]
struct Queues {
    grants: Queue<LiveGrant>,
    requests: Queue<PendingGrant>,
    tasks: Queue<LiveTask>,
}

#[derive(Debug)]
struct Queue<T>(BTreeSet<Entry<T>>);

/// Of two at the same moment, the order is that of their places in memory: what stands in a queue stays in its.
#[derive(Debug)]
struct Entry<T> {
    at: BootInstant,
    thing: Arc<T>,
}

/// Under which moment a thing stands in the queue, if it does. Kept by the thing, read and changed only with the
/// queue locked.
#[derive(Debug, Default)]
pub(super) struct Place(AtomicU64);

/// Something that can stand in a queue.
trait Timed {
    fn place(&self) -> &Place;
}

#[derive(Debug)]
enum Due {
    /// A grant, and when it was looked for.
    Grant(Arc<LiveGrant>, BootInstant),
    Request(Arc<PendingGrant>),
    Task(Arc<LiveTask>),
}

impl Timers {
    pub(super) fn add_grant(&self, grant: &Arc<LiveGrant>) {
        self.add_grant_at(grant, warning(grant));
    }

    fn add_grant_at(&self, grant: &Arc<LiveGrant>, at: BootInstant) {
        self.change(|queues| queues.grants.add(grant, at));
    }

    pub(super) fn add_request(&self, request: &Arc<PendingGrant>) {
        self.change(|queues| queues.requests.add(request, request.until()));
    }

    pub(super) fn add_task(&self, task: &Arc<LiveTask>) {
        let at = task.lapses().min(task.oldest());
        self.change(|queues| queues.tasks.add(task, at));
    }

    pub(super) fn remove_grant(&self, grant: &Arc<LiveGrant>) {
        self.queues().grants.remove(grant);
    }

    pub(super) fn remove_request(&self, request: &Arc<PendingGrant>) {
        self.queues().requests.remove(request);
    }

    pub(super) fn remove_task(&self, task: &Arc<LiveTask>) {
        self.queues().tasks.remove(task);
    }

    /// How many deadlines are waited for.
    pub(super) fn len(&self) -> usize {
        let Queues {
            grants,
            requests,
            tasks,
        } = &*self.queues();
        grants.0.len() + requests.0.len() + tasks.0.len()
    }

    fn change(&self, change: impl FnOnce(&mut Queues)) {
        let mut queues = self.queues();
        let before = queues.first();
        change(&mut queues);
        let first = queues.first();
        drop(queues);
        if before.is_none_or(|before| first.is_some_and(|first| first < before)) {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> BootInstant {
        self.queues().first().unwrap_or(BootInstant::FAR_FUTURE)
    }

    /// Takes out what is due, the earliest first.
    fn take_due(&self, now: BootInstant) -> Vec<Due> {
        let mut queues = self.queues();
        let mut due = Vec::new();
        while let Some(Entry { at, thing }) = queues.grants.take_due(now) {
            due.push((at, Due::Grant(thing, at)));
        }
        while let Some(Entry { at, thing }) = queues.requests.take_due(now) {
            due.push((at, Due::Request(thing)));
        }
        while let Some(Entry { at, thing }) = queues.tasks.take_due(now) {
            due.push((at, Due::Task(thing)));
        }
        drop(queues);
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, due)| due).collect()
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing between the two changes of an entry can panic, so a poisoned queue is still whole.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn first(&self) -> Option<BootInstant> {
        let firsts = [
            self.grants.first(),
            self.requests.first(),
            self.tasks.first(),
        ];
        firsts.into_iter().flatten().min()
    }
}

impl<T: Timed> Queue<T> {
    /// Adds what is due at `at`, in place of the same at another moment.
    fn add(&mut self, thing: &Arc<T>, at: BootInstant) {
        self.remove(thing);
        thing.place().set(at);
        let thing = Arc::clone(thing);
        self.0.insert(Entry { at, thing });
    }

    fn remove(&mut self, thing: &Arc<T>) {
        self.0.remove(&Entry {
            at: thing.place().get(),
            thing: Arc::clone(thing),
        });
    }

    fn first(&self) -> Option<BootInstant> {
        self.0.first().map(|entry| entry.at)
    }

    fn take_due(&mut self, now: BootInstant) -> Option<Entry<T>> {
        self.first().filter(|first| *first <= now)?;
        self.0.pop_first()
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (BootInstant, *const T) {
        (self.at, Arc::as_ptr(&self.thing))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Timed for LiveGrant {
    fn place(&self) -> &Place {
        self.place()
    }
}

impl Timed for PendingGrant {
    fn place(&self) -> &Place {
        self.place()
    }
}

impl Timed for LiveTask {
    fn place(&self) -> &Place {
        self.place()
    }
}

impl Place {
    /// The moment that it was put under last; nothing stands there any more if that was taken out.
    fn get(&self) -> BootInstant {
        BootInstant::from_nanos(self.0.load(atomic::Ordering::Relaxed))
    }

    fn set(&self, at: BootInstant) {
        self.0.store(at.as_nanos(), atomic::Ordering::Relaxed);
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
            match due {
                Due::Grant(grant, at) => {
                    // It has ended meanwhile.
                    if inner.grants.get(&grant.request().grant).is_none() {
                        continue;
                    }
                    // Its end may have moved since.
                    if now < warning(&grant) {
                        inner.timers.add_grant(&grant);
                        continue;
                    }
                    if at < grant.deadline() {
                        inner.events.tell(|| Event::GrantExpiring(grant.record()));
                    }
                    match grant.ended(now) {
                        Some(_) => expired.push((grant, EndReason::Expired)),
                        None => inner.timers.add_grant_at(&grant, grant.deadline()),
                    }
                }
                Due::Request(request) => unanswered.push(request),
                Due::Task(task) => {
                    let id = &task.task().id;
                    if inner.tasks.get(id).is_none() {
                        continue;
                    }
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
