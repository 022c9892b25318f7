//! Whether the store keeps up: ends that it could not take are tried again until it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tracing::{error, info};

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
        let stored = self.try_store_end(changes.clone()).await;
        if stored.is_err() {
            let inner = Arc::clone(self);
            self.runtime
                .spawn(async move { inner.store_at_last(changes).await });
        }
        stored
    }

    /// Stores what has ended in memory, once.
    pub(super) async fn try_store_end(&self, changes: Vec<Change>) -> Result<(), GrantsError> {
        self.store.commit(changes.clone()).await?;
        self.ends.forget(&changes);
        Ok(())
    }

    /// Tries again and again to store what has ended in memory. What can wait here is bounded by what was
    /// live: while the store takes nothing, nothing new comes into force.
    pub(super) async fn store_at_last(&self, changes: Vec<Change>) {
        self.health.ends.fetch_add(1, Ordering::SeqCst);
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            match self.try_store_end(changes.clone()).await {
                Ok(()) => break,
                Err(failed) => {
                    error!(error = %ErrorChain(&failed), "an end is still not stored");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.health.ends.fetch_sub(1, Ordering::SeqCst);
        info!("what had ended is stored as ended");
    }
}
