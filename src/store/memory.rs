//! A store that lasts as long as the process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    Change, ClockMark, Contents, DocumentKind, GrantFilter, GrantMark, GrantStore, Page, Pending,
    StoreError, StoredTask, TaskMark,
};
use crate::model::{Grant, GrantId, RequestId, Task, TaskId};

/// Task ids are never used twice, so all have to be remembered; this many fit.
const MOST_TASKS: usize = 1_000_000;

/// Ended grants beyond this many are forgotten, oldest first.
const MOST_ENDED_GRANTS: usize = 1_000_000;

/// Keeps everything in memory: for tests, and for gateways whose grants may end with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    tasks: HashMap<TaskId, StoredTask>,
    /// Grants by the order in which they were asked for.
    grants: BTreeMap<u64, Grant>,
    by_grant: HashMap<GrantId, u64>,
    by_request: HashMap<RequestId, u64>,
    documents: BTreeMap<(DocumentKind, String), String>,
    clock: Option<ClockMark>,
    grant_marks: HashMap<GrantId, GrantMark>,
    task_marks: HashMap<TaskId, TaskMark>,
    next: u64,
    ended: usize,
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
}

impl Tables {
    fn commit(&mut self, batch: Vec<Change>) -> Result<(), StoreError> {
        let mut opened = HashSet::new();
        for change in &batch {
            if let Change::OpenTask(task) = change {
                if self.tasks.contains_key(&task.id) || !opened.insert(&task.id) {
                    return Err(StoreError::TaskIdUsed(task.id.clone()));
                }
                if self.tasks.len() >= MOST_TASKS {
                    return Err(StoreError::Full("a memory store keeps one million tasks"));
                }
            }
        }
        for change in batch {
            match change {
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
                    self.tasks
                        .insert(task.id.clone(), StoredTask { task, receipt });
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

    fn put_grant(&mut self, grant: Grant) {
        let place = *self
            .by_grant
            .entry(grant.request.grant.clone())
            .or_insert_with(|| {
                self.next += 1;
                self.next
            });
        self.by_request.insert(grant.request.id.clone(), place);
        // Two steps of one grant may be written in either order, and nothing undoes an end.
        if self.grants.get(&place).is_some_and(Grant::is_ended) {
            return;
        }
        let ended = grant.is_ended();
        let before = self.grants.get(&place);
        // What was marked while it waited says nothing of it in force.
        let activated =
            before.is_some_and(|before| before.term().is_none() != grant.term().is_none());
        if ended || activated {
            self.grant_marks.remove(&grant.request.grant);
        }
        let before = self.grants.insert(place, grant);
        if ended && before.is_none_or(|before| !before.is_ended()) {
            self.ended += 1;
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if self.ended <= MOST_ENDED_GRANTS {
            return;
        }
        let oldest = self.grants.iter().find(|(_, grant)| grant.is_ended());
        if let Some((place, grant)) = oldest.map(|(place, grant)| (*place, grant.clone())) {
            self.grants.remove(&place);
            self.by_grant.remove(&grant.request.grant);
            self.by_request.remove(&grant.request.id);
            self.ended -= 1;
        }
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
