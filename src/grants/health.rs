//! Whether the store keeps up: ends that it could not take are tried again until it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tracing::{debug, info};

use super::service::Inner;
use super::{Grants, GrantsError};
use crate::base::ErrorChain;
use crate::store::Change;

/// The pause before the first new try, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why the gateway should get no new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unkept {
    /// The clocks and budgets could not be stored the last time.
    #[error("clocks and budgets could not be stored: a restart now would shorten grants")]
    Checkpoint,
    /// Ends stand in memory and are not stored: a crash now would undo them.
    #[error("{0} ends are not stored yet: a crash now would undo them")]
    Ends(usize),
}

/// What the store has not kept.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Batches of ends that are being tried again.
    ends: AtomicUsize,
    checkpoint_failed: AtomicBool,
}

impl Health {
    pub(super) fn checkpoint(&self, done: bool) {
        self.checkpoint_failed.store(!done, Ordering::SeqCst);
    }

    pub(super) fn has_unstored_ends(&self) -> bool {
        self.ends.load(Ordering::SeqCst) > 0
    }
}

impl Grants {
    /// Whether all that has ended is stored as ended.
    ///
    /// # Errors
    ///
    /// See [`Unkept`].
    pub fn health(&self) -> Result<(), Unkept> {
        let health = &self.0.health;
        match health.ends.load(Ordering::SeqCst) {
            0 if health.checkpoint_failed.load(Ordering::SeqCst) => Err(Unkept::Checkpoint),
            0 => Ok(()),
            ends => Err(Unkept::Ends(ends)),
        }
    }
}

impl Inner {
    /// Stores what has ended in memory. Where that fails, it is tried again until it is done.
    pub(super) async fn store_end(
        self: &Arc<Self>,
        changes: Vec<Change>,
    ) -> Result<(), GrantsError> {
        let stored = self.try_to_store_end(&changes).await;
        if stored.is_err() {
            self.runtime.spawn(self.store_end_at_last(changes));
        }
        stored
    }

    /// Stores what has ended in memory, if the store takes it now.
    pub(super) async fn try_to_store_end(&self, changes: &[Change]) -> Result<(), GrantsError> {
        self.store.commit(changes.to_vec()).await?;
        self.ends.forget(changes);
        Ok(())
    }

    /// Tries again and again to store what has ended in memory. What can wait here is bounded by what was
    /// live: while the store takes nothing, nothing new comes into force. It counts as not stored from this
    /// call on.
    pub(super) fn store_end_at_last(
        self: &Arc<Self>,
        changes: Vec<Change>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let changes: Arc<[Change]> = changes.into();
        self.at_last(move |inner| {
            let changes = Arc::clone(&changes);
            async move { inner.try_to_store_end(&changes).await }
        })
    }

    /// Does again and again what stores an end, until it is done.
    pub(super) fn at_last<F>(
        self: &Arc<Self>,
        attempt: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = Result<(), GrantsError>> + Send,
    {
        let inner = Arc::clone(self);
        inner.health.ends.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut pause = FIRST_PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                match attempt(Arc::clone(&inner)).await {
                    Ok(()) => break,
                    Err(failed) => {
                        // The first failure was told where it was, and how many wait is told to whoever asks.
                        debug!(error = %ErrorChain(&failed), "an end is still not stored");
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            let before = inner.health.ends.fetch_sub(1, Ordering::SeqCst);
            if before == 1 {
                info!("what had ended is stored as ended");
            }
        }
    }
}
