//! The store on disk: one SQLite file that one process holds.
//!
//! One thread writes. Batches that wait while it syncs go together into the next transaction, each in a
//! savepoint of its own, so that one which is refused fails alone. Another thread reads. Nothing here
//! blocks the runtime, and nothing of it is on the path of a proxied request.
//!
//! A row is its key, the columns that are searched, and a body: JSON that is read strictly. Each row is
//! sealed with a digest of all of it; a row that is not as it was written, or that has a word which this
//! version does not know, stops the start instead of being skipped. There are no foreign keys: one writer
//! of state puts whole batches, and ids are never reused.
//!
//! Retention: ended tasks and grants are kept until they are [forgotten](GrantStore::forget). Of the ids of
//! tasks that somebody chose a digest is left, because they must never be used again.

mod alike;
mod bodies;
mod changes;
mod failure;
mod forgetting;
mod lock;
mod open;
mod query;
mod reader;
mod row;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{
    Change, Contents, DocumentKind, Forgotten, GrantFilter, GrantStore, Horizon, Page, Pending,
    StoreError, StoredTask,
};
use crate::model::{Grant, GrantId, RequestId, TaskId};
use lock::Lock;
use reader::Reader;
use writer::Writer;

/// Transactions of one call to forget; others' come between them.
const FORGETTING_STEPS: usize = 16;

/// Keeps everything in one SQLite file. A clone of an [`Arc`] around it is another handle; when the last
/// is dropped, what was queued is written and the threads end.
pub struct SqliteStore {
    path: Arc<Path>,
    // In this order: the threads have ended before another process may come.
    writer: Writer,
    reader: Reader,
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes an empty one. Its directory is made if the one above it is
    /// there. This blocks: call it at the start.
    ///
    /// # Errors
    ///
    /// When another process has it, it can't be written, or it is not a store of this program, intact
    /// and of a version known here.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        open::open(path)
    }

    /// Ends the writing: resolves when all that was queued is written and everything is in one file.
    /// Whoever commits later is refused.
    pub async fn close(&self) {
        self.writer.close().await;
    }

    async fn forget_some(&self, horizon: Horizon) -> Result<Forgotten, StoreError> {
        let mut due = self
            .reader
            .ask(move |db| forgetting::due(db, &horizon))
            .await?;
        let mut forgotten = Forgotten::default();
        for _ in 0..FORGETTING_STEPS {
            let removed = self.writer.forget(due).await?;
            forgotten.tasks += removed.tasks;
            forgotten.grants += removed.grants;
            due.tasks = due.tasks.without(removed.tasks);
            due.grants = due.grants.without(removed.grants);
            forgotten.more = removed.tasks + removed.grants > 0;
            if !forgotten.more {
                break;
            }
        }
        forgotten.kept_tasks = due.tasks.ended;
        forgotten.kept_grants = due.grants.ended;
        Ok(forgotten)
    }

    /// Removes the store at `path` and all that belongs to it, unless a process has it open.
    ///
    /// # Errors
    ///
    /// When another process has it, or a file can't be removed.
    pub fn remove(path: &Path) -> Result<(), StoreError> {
        open::remove(path)
    }
}

impl GrantStore for SqliteStore {
    fn commit(&self, batch: Vec<Change>) -> Pending<'_, ()> {
        Box::pin(self.writer.commit(batch))
    }

    fn load(&self) -> Pending<'_, Contents> {
        Box::pin(self.reader.ask(query::load))
    }

    fn task(&self, id: &TaskId) -> Pending<'_, Option<StoredTask>> {
        let id = id.clone();
        Box::pin(self.reader.ask(move |db| query::task(db, &id)))
    }

    fn grant(&self, id: &GrantId) -> Pending<'_, Option<Grant>> {
        let id = id.clone();
        Box::pin(self.reader.ask(move |db| query::grant(db, &id)))
    }

    fn request(&self, id: &RequestId) -> Pending<'_, Option<Grant>> {
        let id = id.clone();
        Box::pin(self.reader.ask(move |db| query::request(db, &id)))
    }

    fn grants(&self, filter: GrantFilter) -> Pending<'_, Page> {
        Box::pin(self.reader.ask(move |db| query::page(db, &filter)))
    }

    fn documents(&self, kind: DocumentKind) -> Pending<'_, Vec<(String, String)>> {
        Box::pin(self.reader.ask(move |db| query::documents(db, kind)))
    }

    fn forget(&self, horizon: Horizon) -> Pending<'_, Forgotten> {
        Box::pin(self.forget_some(horizon))
    }

    fn was_forgotten(&self, id: &TaskId) -> Pending<'_, bool> {
        let id = id.clone();
        Box::pin(
            self.reader
                .ask(move |db| forgetting::was_forgotten(db, &id)),
        )
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
