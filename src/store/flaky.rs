//! A store for tests that can fail.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{
    Change, Contents, DocumentKind, Forgotten, GrantFilter, GrantStore, Horizon, MemoryStore, Page,
    Pending, StoreError, StoredTask,
};
use crate::model::{Grant, GrantId, RequestId, TaskId};

/// Keeps everything, and takes nothing more while it fails.
#[derive(Debug, Default)]
pub(crate) struct Flaky {
    inner: MemoryStore,
    fails: AtomicBool,
    keeps_nothing: AtomicBool,
    refused: AtomicUsize,
    taken: AtomicUsize,
}

impl Flaky {
    /// How many batches it took.
    pub(crate) fn commits(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// From here on it takes everything and keeps nothing: what is measured then is not in it.
    pub(crate) fn keep_nothing(&self) {
        self.keeps_nothing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// How many batches it did not take.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

impl GrantStore for Flaky {
    fn commit(&self, batch: Vec<Change>) -> Pending<'_, ()> {
        if self.fails.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Box::pin(async { Err(StoreError::Full("a test says so")) });
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        if self.keeps_nothing.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(()) });
        }
        self.inner.commit(batch)
    }

    fn load(&self) -> Pending<'_, Contents> {
        self.inner.load()
    }

    fn task(&self, id: &TaskId) -> Pending<'_, Option<StoredTask>> {
        self.inner.task(id)
    }

    fn grant(&self, id: &GrantId) -> Pending<'_, Option<Grant>> {
        self.inner.grant(id)
    }

    fn request(&self, id: &RequestId) -> Pending<'_, Option<Grant>> {
        self.inner.request(id)
    }

    fn grants(&self, filter: GrantFilter) -> Pending<'_, Page> {
        self.inner.grants(filter)
    }

    fn documents(&self, kind: DocumentKind) -> Pending<'_, Vec<(String, String)>> {
        self.inner.documents(kind)
    }

    fn forget(&self, horizon: Horizon) -> Pending<'_, Forgotten> {
        if self.fails.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::Full("a test says so")) });
        }
        self.inner.forget(horizon)
    }

    fn was_forgotten(&self, id: &TaskId) -> Pending<'_, bool> {
        self.inner.was_forgotten(id)
    }
}
