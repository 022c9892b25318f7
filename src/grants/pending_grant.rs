//! A request that waits for people, as they and its agent see it.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::clockwork::Place;
use crate::base::BootInstant;
use crate::model::{Approval, Grant, GrantRequest, GrantState, Transition, TransitionError};

/// A request that waits for people.
#[derive(Debug)]
pub struct PendingGrant {
    request: Arc<GrantRequest>,
    until: BootInstant,
    state: Mutex<GrantState>,
    /// Approvals are stored one after the other: of two that are written at once, the later one has to
    /// hold both. Held across the write, which is why ends, which can't wait, do without.
    pub(super) turn: tokio::sync::Mutex<()>,
    place: Place,
    /// Turns true when the decision is made and stored.
    settled: watch::Sender<bool>,
}

impl PendingGrant {
    /// A request whose state is pending, until `until`.
    pub(super) fn new(grant: Grant, until: BootInstant) -> Self {
        Self {
            request: grant.request,
            until,
            state: Mutex::new(grant.state),
            turn: tokio::sync::Mutex::default(),
            place: Place::default(),
            settled: watch::Sender::new(false),
        }
    }

    /// What is asked for.
    #[must_use]
    pub const fn request(&self) -> &Arc<GrantRequest> {
        &self.request
    }

    /// When the time to agree is over.
    #[must_use]
    pub const fn until(&self) -> BootInstant {
        self.until
    }

    /// Its place among what is due.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// The stored form of this moment.
    #[must_use]
    pub fn record(&self) -> Grant {
        Grant {
            request: Arc::clone(&self.request),
            state: self.state().clone(),
        }
    }

    /// Who has agreed so far.
    #[must_use]
    pub fn approvals(&self) -> Vec<Approval> {
        match &*self.state() {
            GrantState::Pending { approvals, .. } => approvals.clone(),
            GrantState::Active(term) | GrantState::Suspended(term) => term.approvals.to_vec(),
            GrantState::Ended { .. } | GrantState::Requested => Vec::new(),
        }
    }

    /// Resolves when it is decided, and the decision stored. Safe to drop at any point.
    pub async fn decided(&self) {
        // Can't fail: the sender is borrowed for as long as this waits.
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// How many wait for the decision.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.settled.receiver_count()
    }

    /// Whether the same was asked for in the same words under the same definition by the same holder.
    pub(super) fn is_same_as(&self, other: &GrantRequest) -> bool {
        let own = GrantRequest {
            id: other.id.clone(),
            grant: other.grant.clone(),
            requested_at: other.requested_at,
            asked: other.asked.clone(),
            ..(*self.request).clone()
        };
        own == *other && self.request.asked.holder == other.asked.holder
    }

    /// Takes a step in memory.
    pub(super) fn step(&self, step: Transition, at: Timestamp) -> Result<Grant, TransitionError> {
        let mut state = self.state();
        let mut grant = Grant {
            request: Arc::clone(&self.request),
            state: state.clone(),
        };
        grant.apply(step, at)?;
        state.clone_from(&grant.state);
        Ok(grant)
    }

    /// Takes over a state that has been stored, unless the request has ended meanwhile.
    pub(super) fn advance(&self, stored: &GrantState) -> Result<(), TransitionError> {
        let mut state = self.state();
        if let GrantState::Ended { reason, .. } = &*state {
            return Err(TransitionError::Ended(*reason));
        }
        state.clone_from(stored);
        Ok(())
    }

    /// Lets all know who wait for the decision.
    pub(super) fn settle(&self) {
        self.settled.send_replace(true);
    }

    fn state(&self) -> MutexGuard<'_, GrantState> {
        // The state is replaced whole, so a poisoned lock still holds a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
