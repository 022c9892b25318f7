//! A verified identity.

use std::sync::Arc;

use crate::base::BootInstant;
use crate::model::AgentId;
use crate::tokens::Confirmation;

/// Whom a token is about. It is an agent only where the live configuration has one by this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A name in a trusted outside issuer's tokens.
    Outside(String),
    /// An agent's id, in a token of our own.
    Own(AgentId),
}

/// What a verified token says. Only [`Authenticator`](super::Authenticator) makes one.
#[derive(Clone, Debug)]
pub struct Authenticated {
    pub(super) subject: Subject,
    pub(super) task: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) deadline: BootInstant,
    pub(super) confirmation: Option<Confirmation>,
    pub(super) methods: Vec<&'static str>,
    /// The `acr` values by which its issuer tells of several factors, where it can.
    pub(super) acr: Option<Arc<[String]>>,
    /// Its own `acr`, where that is one of them.
    pub(super) class: Option<String>,
    pub(super) epoch: u64,
    pub(super) token_id: Option<String>,
    /// The second in which the token was made; none where there is no token.
    pub(super) issued: Option<i64>,
}

impl Authenticated {
    /// Whom the token is about.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The task that the token names. It may not exist.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// Whom the token is for: at least one is the gateway or one of its services.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// When the token stops being good. It runs on the boot clock, so that a stepped wall clock does
    /// not revive it.
    #[must_use]
    pub const fn deadline(&self) -> BootInstant {
        self.deadline
    }

    /// What the bearer has to prove besides.
    #[must_use]
    pub const fn confirmation(&self) -> Option<Confirmation> {
        self.confirmation
    }

    /// How the agent proved who it is.
    #[must_use]
    pub fn methods(&self) -> &[&'static str] {
        &self.methods
    }

    /// The `acr` values by which the token's issuer can tell that several factors were shown; none where it
    /// can't (RFC 9470 §3).
    #[must_use]
    pub fn acr(&self) -> &[String] {
        self.acr.as_deref().unwrap_or_default()
    }

    /// The token's `acr`, where it is one by which its issuer tells that several factors were shown.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// The state of the verifying keys when the token was verified; see
    /// [`Authenticator::epoch`](super::Authenticator::epoch).
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The token's own name, its `jti`.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }
}
