//! What the endpoints share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::pace::Pace;
use crate::access::{Requests, Revocations, UsedOnce};
use crate::audit::Audit;
use crate::authn::Authenticator;
use crate::base::{Clock, Live};
use crate::config::{ClientAuth, Snapshot};
use crate::grants::Grants;
use crate::telemetry::Metrics;
use crate::tokens::{Authority, Dpop};

/// The state of the OAuth face.
pub struct OAuth {
    pub(super) authority: Arc<Authority>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) snapshot: Arc<Live<Snapshot>>,
    pub(super) grants: Grants,
    pub(super) requests: Requests,
    pub(super) dpop: Arc<Dpop>,
    pub(super) revocations: Revocations,
    pub(super) audit: Audit,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) facts: OAuthFacts,
    pub(super) assertions: UsedOnce,
    pub(super) redeemed: UsedOnce,
    pub(super) pace: Pace,
}

/// What the OAuth face is made of.
#[derive(Debug)]
pub struct OAuthParts {
    /// Signs tokens.
    pub authority: Arc<Authority>,
    /// Verifies outside issuers' tokens.
    pub authenticator: Arc<Authenticator>,
    /// The live configuration.
    pub snapshot: Arc<Live<Snapshot>>,
    /// Tasks and grants.
    pub grants: Grants,
    /// Takes requests for grants.
    pub requests: Requests,
    /// Verifies proofs of possession.
    pub dpop: Arc<Dpop>,
    /// Takes tokens back.
    pub revocations: Revocations,
    /// The client assertions that were used.
    pub assertions: UsedOnce,
    /// What a token was polled for, with success.
    pub redeemed: UsedOnce,
    /// Where tokens are recorded.
    pub audit: Audit,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// What does not change while the gateway runs.
    pub facts: OAuthFacts,
}

/// What does not change while the gateway runs.
#[derive(Clone, Debug)]
pub struct OAuthFacts {
    /// The gateway's URL: the audience of tokens.
    pub public_url: String,
    /// The control side's URL, where the endpoints are.
    pub control_url: String,
    /// How long a token is good.
    pub ttl: Duration,
    /// How the control side treats clients' certificates.
    pub client_auth: ClientAuth,
}

impl OAuth {
    /// The OAuth face over `parts`.
    #[must_use]
    pub fn new(parts: OAuthParts) -> Self {
        let OAuthParts {
            authority,
            authenticator,
            snapshot,
            grants,
            requests,
            dpop,
            revocations,
            assertions,
            redeemed,
            audit,
            metrics,
            clock,
            facts,
        } = parts;
        Self {
            authority,
            authenticator,
            snapshot,
            grants,
            requests,
            dpop,
            revocations,
            audit,
            metrics,
            clock,
            facts,
            assertions,
            redeemed,
            pace: Pace::default(),
        }
    }

    pub(super) fn token_endpoint(&self) -> String {
        format!("{}/oauth/token", self.facts.control_url)
    }
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
