//! A store that lasts as long as the process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::{
    Change, ClockMark, Contents, DocumentKind, Forgotten, GrantFilter, GrantMark, GrantStore,
    Horizon, Page, Pending, StoreError, StoredTask, TaskMark,
};
use crate::model::{Grant, GrantId, RequestId, Task, TaskId};

/// Task ids are never used twice, so all have to be remembered; this many fit.
const MOST_TASKS: usize = 1_000_000;

/// What is removed at most at once, of each kind.
const BATCH: usize = 4096;

/// Keeps everything in memory: for tests, and for gateways whose grants may end with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    tasks: HashMap<TaskId, StoredTask>,
    /// The ids of tasks that were removed.
    used: HashSet<TaskId>,
    /// Grants by the order in which they were asked for.
    grants: BTreeMap<u64, Grant>,
    by_grant: HashMap<GrantId, u64>,
    by_request: HashMap<RequestId, u64>,
    documents: BTreeMap<(DocumentKind, String), String>,
    clock: Option<ClockMark>,
    grant_marks: HashMap<GrantId, GrantMark>,
    task_marks: HashMap<TaskId, TaskMark>,
    next: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // No code that can panic runs under the lock, so a poisoned one still holds whole batches.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GrantStore for MemoryStore {
    fn commit(&self, batch: Vec<Change>) -> Pending<'_, ()> {
        Box::pin(ready(self.tables().commit(batch)))
    }

    fn load(&self) -> Pending<'_, Contents> {
        let tables = self.tables();
        let open = tables.tasks.values().map(|stored| &stored.task);
        let open = open.filter(|task| task.is_open());
        let live = tables.grants.values().filter(|grant| !grant.is_ended());
        let task_mark = |task: &Task| tables.task_marks.get(&task.id).cloned();
        let grant_mark = |grant: &Grant| tables.grant_marks.get(&grant.request.grant).copied();
        Box::pin(ready(Ok(Contents {
            tasks: open.map(|task| (task.clone(), task_mark(task))).collect(),
            grants: live
                .map(|grant| (grant.clone(), grant_mark(grant)))
                .collect(),
            clock: tables.clock.clone(),
        })))
    }

    fn task(&self, id: &TaskId) -> Pending<'_, Option<StoredTask>> {
        Box::pin(ready(Ok(self.tables().tasks.get(id).cloned())))
    }

    fn grant(&self, id: &GrantId) -> Pending<'_, Option<Grant>> {
        let tables = self.tables();
        let place = tables.by_grant.get(id);
        Box::pin(ready(Ok(place
            .and_then(|place| tables.grants.get(place))
            .cloned())))
    }

    fn request(&self, id: &RequestId) -> Pending<'_, Option<Grant>> {
        let tables = self.tables();
        let place = tables.by_request.get(id);
        Box::pin(ready(Ok(place
            .and_then(|place| tables.grants.get(place))
            .cloned())))
    }

    fn grants(&self, filter: GrantFilter) -> Pending<'_, Page> {
        Box::pin(ready(Ok(self.tables().page(&filter))))
    }

    fn documents(&self, kind: DocumentKind) -> Pending<'_, Vec<(String, String)>> {
        let tables = self.tables();
        let all = tables.documents.iter();
        let wanted = all.filter(|((of, _), _)| *of == kind);
        let found = wanted.map(|((_, id), text)| (id.clone(), text.clone()));
        Box::pin(ready(Ok(found.collect())))
    }

    fn forget(&self, horizon: Horizon) -> Pending<'_, Forgotten> {
        Box::pin(ready(Ok(self.tables().forget(horizon))))
    }

    fn was_forgotten(&self, id: &TaskId) -> Pending<'_, bool> {
        Box::pin(ready(Ok(self.tables().used.contains(id))))
    }
}

impl Tables {
    fn commit(&mut self, batch: Vec<Change>) -> Result<(), StoreError> {
        let mut opened = HashSet::new();
        for change in &batch {
            if let Change::OpenTask(task) = change {
                let used = self.tasks.contains_key(&task.id) || self.used.contains(&task.id);
                if used || !opened.insert(&task.id) {
                    return Err(StoreError::TaskIdUsed(task.id.clone()));
                }
                if self.tasks.len() + self.used.len() >= MOST_TASKS {
                    return Err(StoreError::Full("a memory store keeps one million tasks"));
                }
            }
        }
        for change in batch {
            match change {
                Change::AddGrant(grant) => self.add_grant(grant),
                Change::MarkClock(mark) => self.clock = Some(mark),
                Change::MarkGrant(id, mark) => {
                    if self.by_grant.contains_key(&id) {
                        self.grant_marks.insert(id, mark);
                    }
                }
                Change::MarkTask(id, mark) => {
                    if self.tasks.contains_key(&id) {
                        self.task_marks.insert(id, mark);
                    }
                }
                Change::OpenTask(task) => {
                    let receipt = None;
                    self.tasks
                        .insert(task.id.clone(), StoredTask { task, receipt });
                }
                Change::PutTask(task, receipt) => {
                    if !task.is_open() {
                        self.task_marks.remove(&task.id);
                    }
                    if let Some(kept) = self.tasks.get_mut(&task.id) {
                        *kept = StoredTask { task, receipt };
                    }
                }
                Change::PutDocument { kind, id, text } => match text {
                    Some(text) => {
                        self.documents.insert((kind, id), text);
                    }
                    None => {
                        self.documents.remove(&(kind, id));
                    }
                },
                Change::PutGrant(grant) => self.put_grant(grant),
            }
        }
        Ok(())
    }

    fn add_grant(&mut self, grant: Grant) {
        if self.by_grant.contains_key(&grant.request.grant) {
            return;
        }
        self.next += 1;
        let place = self.next;
        self.by_grant.insert(grant.request.grant.clone(), place);
        self.by_request.insert(grant.request.id.clone(), place);
        self.grants.insert(place, grant);
    }

    fn put_grant(&mut self, grant: Grant) {
        let place = self.by_grant.get(&grant.request.grant);
        let Some(kept) = place.and_then(|place| self.grants.get_mut(place)) else {
            return;
        };
        // Two steps of one grant may be written in either order, and nothing undoes an end.
        if kept.is_ended() {
            return;
        }
        // What was marked while it waited says nothing of it in force.
        if grant.is_ended() || kept.term().is_none() != grant.term().is_none() {
            self.grant_marks.remove(&grant.request.grant);
        }
        *kept = grant;
    }

    fn forget(&mut self, horizon: Horizon) -> Forgotten {
        // A task under which something lives stays.
        let live = self.grants.values().filter(|grant| !grant.is_ended());
        let live: HashSet<_> = live.map(|grant| &grant.request.task).collect();
        let tasks = self.tasks.values().map(|stored| &stored.task);
        let tasks = tasks.filter(|task| !live.contains(&task.id));
        let tasks = tasks.filter_map(|task| Some((task.ended_at()?, task.id.clone())));
        let (tasks, kept_tasks, more_tasks) = behind(tasks.collect(), horizon);
        let grants = self.grants.iter();
        let grants = grants.filter_map(|(place, grant)| Some((grant.ended_at()?, *place)));
        let (grants, kept_grants, more_grants) = behind(grants.collect(), horizon);
        let forgotten = Forgotten {
            kept_tasks,
            kept_grants,
            tasks: tasks.len() as u64,
            grants: grants.len() as u64,
            more: more_tasks || more_grants,
        };
        for id in tasks {
            self.tasks.remove(&id);
            if !id.is_of_random_form() {
                self.used.insert(id);
            }
        }
        for place in grants {
            if let Some(grant) = self.grants.remove(&place) {
                self.by_grant.remove(&grant.request.grant);
                self.by_request.remove(&grant.request.id);
            }
        }
        forgotten
    }

    fn page(&self, filter: &GrantFilter) -> Page {
        let wanted = |grant: &Grant| {
            filter
                .agent
                .as_ref()
                .is_none_or(|id| *id == grant.request.agent)
                && filter
                    .task
                    .as_ref()
                    .is_none_or(|id| *id == grant.request.task)
                && (!filter.activated || grant.term().is_some())
        };
        let before = filter.after.unwrap_or(u64::MAX);
        let mut found = self
            .grants
            .range(..before)
            .rev()
            .filter(|(_, grant)| wanted(grant));
        let mut page = Page::default();
        let mut last = None;
        for (place, grant) in found.by_ref().take(filter.limit) {
            last = Some(*place);
            page.grants.push(grant.clone());
        }
        page.next = found.next().and(last);
        page
    }
}

/// Those that go now, how many stay, and whether more are to go.
fn behind<T: Ord>(mut ended: Vec<(Timestamp, T)>, horizon: Horizon) -> (Vec<T>, u64, bool) {
    ended.sort_unstable();
    let before = |at: Timestamp| ended.partition_point(|(ended, _)| *ended < at);
    let most = usize::try_from(horizon.most).unwrap_or(usize::MAX);
    let crowded = ended.len().saturating_sub(most);
    let due = before(horizon.before).max(crowded.min(before(horizon.crowded_before)));
    let now = due.min(BATCH);
    let kept = (ended.len() - now) as u64;
    let gone = ended.into_iter().take(now).map(|(_, one)| one);
    (gone.collect(), kept, due > now)
}
