//! From a token to who is asking: remembered, so that the next request costs a hash and a look-up.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use moka::sync::Cache;
use tracing::debug;

use super::canonical::{Canonical, Token};
use super::gate::Gate;
use super::refusal::Refusal;
use crate::authn::{Authenticated, Subject};
use crate::base::{BootInstant, ErrorChain};
use crate::config::{EnrolledAgent, Snapshot};
use crate::grants::LiveTask;
use crate::model::{DenyReason, TaskId};
use crate::tokens::TokenError;

/// How many verified tokens are remembered. One that was forgotten is verified again.
const REMEMBERED: u64 = 100_000;

/// Tokens live for minutes; one that nobody used for so long is not worth its place.
const UNUSED: Duration = Duration::from_mins(10);

/// The verified tokens. The key is the whole token, so that a hash collision compares and misses.
#[derive(Debug)]
pub(super) struct Sessions(Cache<Box<str>, Arc<Session>, foldhash::fast::RandomState>);

/// A verified token and the task that it is bound to.
#[derive(Debug)]
pub(super) struct Session {
    authenticated: Authenticated,
    task: Binding,
}

/// The task of a token.
#[derive(Debug)]
enum Binding {
    /// The token names an open task.
    Bound(Arc<LiveTask>),
    /// The token names a task that was not open when the token was first seen.
    NotOpen,
    /// The token names none.
    None,
}

/// Who is asking, for which task.
#[derive(Debug)]
pub(super) struct Identity {
    session: Arc<Session>,
    agent: Arc<EnrolledAgent>,
    task: Option<Arc<LiveTask>>,
}

impl Identity {
    pub(super) fn agent(&self) -> &EnrolledAgent {
        &self.agent
    }

    pub(super) const fn task(&self) -> Option<&Arc<LiveTask>> {
        self.task.as_ref()
    }

    pub(super) fn authenticated(&self) -> &Authenticated {
        &self.session.authenticated
    }
}

impl Sessions {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_idle(UNUSED)
            .build_with_hasher(foldhash::fast::RandomState::default());
        Self(cache)
    }
}

impl Gate {
    /// Who is asking, or why nobody is believed to be.
    pub(super) fn authenticate(
        &self,
        snapshot: &Snapshot,
        canonical: &Canonical,
        certificate: Option<crate::base::Digest>,
        now: BootInstant,
    ) -> Result<Identity, Refusal> {
        let token = canonical.token().ok_or_else(|| {
            let control = &self.facts.control_url;
            let detail = format!("send `Authorization: Bearer <token>`; tokens come from {control}");
            Refusal::new(DenyReason::TokenMissing, detail)
        })?;
        let session = self.session(token, now)?;
        check_confirmation(&session.authenticated, certificate)?;
        let agent = agent(snapshot, session.authenticated.subject())?;
        let task = self.task(&session, canonical.headers())?;
        if let Some(task) = &task {
            let foreign = task.task().agent != agent.agent.id;
            if foreign || task.ended(now).is_some() {
                return Err(task_ended());
            }
        }
        Ok(Identity {
            agent: Arc::clone(agent),
            task,
            session,
        })
    }

    fn session(&self, token: &Token, now: BootInstant) -> Result<Arc<Session>, Refusal> {
        let text = token.text.expose().as_str();
        let remembered = self.sessions.0.get(text);
        let epoch = self.authenticator.epoch();
        if let Some(session) = remembered
            && session.authenticated.epoch() == epoch
        {
            if now >= session.authenticated.deadline() {
                return Err(expired());
            }
            return Ok(session);
        }
        let audiences = [self.facts.public_url.as_str()];
        let verified = self.authenticator.verify(text, &audiences);
        let authenticated = verified.map_err(|error| refuse_token(&error))?;
        let session = Arc::new(Session {
            task: self.bind(&authenticated),
            authenticated,
        });
        if !matches!(session.task, Binding::NotOpen) {
            self.sessions.0.insert(text.into(), Arc::clone(&session));
        }
        Ok(session)
    }

    fn bind(&self, authenticated: &Authenticated) -> Binding {
        let Some(name) = authenticated.task() else {
            return Binding::None;
        };
        let task = name.parse().ok().and_then(|id: TaskId| self.grants.task(&id));
        task.map_or(Binding::NotOpen, Binding::Bound)
    }

    /// The token's task, or the one that the header names for an outside issuer's token.
    fn task(
        &self,
        session: &Session,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<LiveTask>>, Refusal> {
        let mut values = headers.get_all("portcullis-task").iter();
        let named = values.next().map(http::HeaderValue::to_str).transpose();
        let named = named.map_err(|_| contradiction("Portcullis-Task is not a task id"))?;
        if values.next().is_some() {
            return Err(contradiction("the request has more than one Portcullis-Task"));
        }
        if let (Some(named), Some(claimed)) = (named, session.authenticated.task())
            && named != claimed
        {
            return Err(contradiction("Portcullis-Task names another task than the token"));
        }
        match (&session.task, named) {
            (Binding::Bound(task), _) => Ok(Some(Arc::clone(task))),
            (Binding::NotOpen, _) => Err(task_ended()),
            (Binding::None, None) => Ok(None),
            (Binding::None, Some(named)) => {
                if matches!(session.authenticated.subject(), Subject::Own(_)) {
                    return Err(contradiction(
                        "the token names no task, so Portcullis-Task can't: get a token for the task",
                    ));
                }
                let task = named.parse().ok().and_then(|id: TaskId| self.grants.task(&id));
                task.map(Some).ok_or_else(task_ended)
            }
        }
    }
}

/// A token bound to a certificate serves only over a connection that showed it (RFC 8705 §3).
fn check_confirmation(
    authenticated: &Authenticated,
    certificate: Option<crate::base::Digest>,
) -> Result<(), Refusal> {
    use crate::tokens::Confirmation::{Jkt, X5tS256};
    match authenticated.confirmation() {
        None => Ok(()),
        Some(X5tS256(expected)) if certificate == Some(expected) => Ok(()),
        Some(X5tS256(_)) => Err(Refusal::new(
            DenyReason::ProofInvalid,
            "the token is bound to another client certificate",
        )
        .for_certificate()),
        // A token bound to a DPoP key is nothing without a proof, and none is accepted here.
        Some(Jkt(_)) => Err(Refusal::new(
            DenyReason::ProofInvalid,
            "the token is bound to a DPoP key and came without a proof that is accepted",
        )),
    }
}

fn agent<'s>(
    snapshot: &'s Snapshot,
    subject: &Subject,
) -> Result<&'s Arc<EnrolledAgent>, Refusal> {
    let agent = match subject {
        Subject::Outside(name) => snapshot.agent_by_subject(name),
        Subject::Own(id) => snapshot.agent(id.as_str()),
    };
    agent.ok_or_else(|| {
        let detail = "the token's agent is not enrolled here";
        Refusal::new(DenyReason::TokenInvalid, detail)
    })
}

fn refuse_token(error: &TokenError) -> Refusal {
    debug!(error = %ErrorChain(error), "a token is refused");
    match error {
        TokenError::Expired => expired(),
        TokenError::Invalid(_) => Refusal::new(
            DenyReason::TokenInvalid,
            "the token was not issued for this gateway by an issuer that it trusts, or was changed",
        )
        .with_internal(ErrorChain(error).to_string()),
    }
}

fn expired() -> Refusal {
    Refusal::new(DenyReason::TokenExpired, "get a new token; grants of an open task live on")
}

/// Unknown, foreign and ended tasks answer alike.
fn task_ended() -> Refusal {
    Refusal::new(DenyReason::TaskEnded, "there is no such open task of yours: open one")
}

fn contradiction(why: &str) -> Refusal {
    Refusal::new(DenyReason::RequestMalformed, why)
}
