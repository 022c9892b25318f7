//! What the handlers share.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::access::{
    Approvals, Compares, Explains, People, Requests, Revocations, Shadows, UsedOnce,
};
use crate::audit::{Audit, Place};
use crate::authn::Authenticator;
use crate::base::{Clock, Live};
use crate::config::{Reloader, Snapshot};
use crate::grants::Grants;
use crate::telemetry::Metrics;
use crate::tokens::{Authority, Dpop};

use super::error::ApiError;
use super::idempotency::{Idempotency, IdempotencyError};
use super::readers::Readers;
use super::signals::KeptScores;
use super::ssf::{LatestScores, Transmitter, Transmitters};

/// How many may wait for an answer at once. Over it, answers come at once.
const MOST_WAITERS: usize = 1024;

/// The state of the API.
pub struct Admin {
    pub(super) snapshot: Arc<Live<Snapshot>>,
    pub(super) reloader: Reloader,
    pub(super) grants: Grants,
    pub(super) requests: Requests,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) authority: Arc<Authority>,
    pub(super) dpop: Arc<Dpop>,
    pub(super) people: Arc<People>,
    pub(super) approvals: Approvals,
    pub(super) explains: Arc<dyn Explains>,
    pub(super) compares: Arc<dyn Compares>,
    pub(super) shadows: Arc<dyn Shadows>,
    /// Comparisons are made one at a time.
    pub(super) comparing: Semaphore,
    /// Places for those who wait for an answer.
    pub(super) waiters: Semaphore,
    pub(super) readers: Readers,
    pub(super) idempotency: Idempotency,
    pub(super) revocations: Revocations,
    pub(super) transmitters: Transmitters,
    /// The scores that were pushed.
    pub(super) scores: KeptScores,
    pub(super) audit: Audit,
    pub(super) audit_directory: Arc<std::path::Path>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) public_url: String,
    pub(super) control_url: String,
    pub(super) stopping: watch::Receiver<bool>,
}

/// What the API is made of.
#[derive(Debug)]
pub struct AdminParts {
    /// The live configuration and its renewal.
    pub reloader: Reloader,
    /// Tasks and grants.
    pub grants: Grants,
    /// Takes requests for grants.
    pub requests: Requests,
    /// Verifies tokens.
    pub authenticator: Arc<Authenticator>,
    /// Signs tokens.
    pub authority: Arc<Authority>,
    /// Verifies proofs of possession.
    pub dpop: Arc<Dpop>,
    /// Knows people by their keys.
    pub people: Arc<People>,
    /// Takes people's decisions.
    pub approvals: Approvals,
    /// Tells what would become of calls.
    pub explains: Arc<dyn Explains>,
    /// Tells what the policy files as they are now would change.
    pub compares: Arc<dyn Compares>,
    /// Takes tokens back.
    pub revocations: Revocations,
    /// Who sends security events.
    pub transmitters: Vec<Transmitter>,
    /// What was taken of theirs.
    pub used_events: UsedOnce,
    /// The scores that transmitters of security events have said last.
    pub latest_scores: LatestScores,
    /// The scores that were pushed.
    pub scores: KeptScores,
    /// Asks a candidate beside the live policies.
    pub shadows: Arc<dyn Shadows>,
    /// Where what happens is recorded.
    pub audit: Audit,
    /// Where the records are on the disk.
    pub audit_directory: std::path::PathBuf,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// The gateway's URL: the audience of tokens.
    pub public_url: String,
    /// The control side's own URL.
    pub control_url: String,
    /// Turns true when the gateway stops.
    pub stopping: watch::Receiver<bool>,
}

impl Admin {
    /// The API over `parts`.
    ///
    /// # Errors
    ///
    /// When it can't be read from the store what was answered before.
    pub async fn open(parts: AdminParts) -> Result<Self, IdempotencyError> {
        let AdminParts {
            reloader,
            grants,
            requests,
            authenticator,
            authority,
            dpop,
            people,
            approvals,
            explains,
            compares,
            revocations,
            transmitters,
            used_events,
            latest_scores,
            scores,
            shadows,
            audit,
            audit_directory,
            metrics,
            clock,
            public_url,
            control_url,
            stopping,
        } = parts;
        let store = Arc::clone(grants.store());
        let idempotency = Idempotency::open(store, clock.clone()).await?;
        Ok(Self {
            snapshot: reloader.live(),
            reloader,
            grants,
            requests,
            authenticator,
            authority,
            dpop,
            people,
            approvals,
            explains,
            compares,
            shadows,
            comparing: Semaphore::new(1),
            waiters: Semaphore::new(MOST_WAITERS),
            readers: Readers::default(),
            idempotency,
            revocations,
            transmitters: Transmitters::new(transmitters, used_events, latest_scores),
            scores,
            audit,
            audit_directory: audit_directory.into(),
            metrics,
            clock,
            public_url,
            control_url,
            stopping,
        })
    }

    /// A place in the audit queue, to be taken before anything is changed.
    pub(super) fn place(&self) -> Result<Place, ApiError> {
        self.audit.reserve().map_err(|why| {
            let detail = format!("what is done can't be recorded, so nothing is: {why}");
            ApiError::unavailable("audit_unavailable", detail)
        })
    }

    /// A place for the record of an end, which does not wait for the audit log.
    pub(super) fn place_for_end(&self) -> Result<Place, ApiError> {
        self.audit.reserve_for_end().map_err(|why| {
            let detail = format!("what is ended can't be recorded, so nothing is: {why}");
            ApiError::unavailable("audit_unavailable", detail)
        })
    }

    /// After an end: says so where its record still waits.
    pub(super) fn end_is_recorded(&self) -> Result<(), ApiError> {
        self.audit.is_written().map_err(|why| {
            let detail = format!("it has ended, and the record of that waits: {why}");
            ApiError::unavailable("audit_unavailable", detail)
        })
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}
