//! Who calls the API: an agent with its token or its certificate, or a person with an access key.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use super::Face;
use super::error::ApiError;
use super::state::Admin;
use crate::access::{
    Binding, Identity, Known, NotHeld, Shown, Unbound, agent_by_certificate, agent_of, bind,
    bind_named, check_named, check_possession, resources,
};
use crate::authn::Authenticated;
use crate::base::BootInstant;
use crate::config::{EnrolledAgent, Snapshot};
use crate::model::{AgentId, DenyReason, Grant, PersonId, Task, TaskId};
use crate::tls;
use crate::tokens::{Dpop, TokenError};
use crate::wire::Peer;

/// Who calls.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    Agent(AgentCaller),
    Person(Known),
}

/// An agent, under one configuration.
#[derive(Clone, Debug)]
pub(super) struct AgentCaller {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) agent: Arc<EnrolledAgent>,
    authenticated: Arc<Authenticated>,
    binding: Binding,
    named: Option<String>,
    pub(super) source: IpAddr,
}

impl FromRequestParts<Arc<Admin>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        // Whoever was told on the way here is not asked again: a DPoP proof is good once.
        if let Some(told) = parts.extensions.remove::<Self>() {
            return Ok(told);
        }
        let peer = parts.extensions.get::<Peer>().copied();
        let peer = peer.ok_or_else(|| ApiError::malformed("the connection has no address"))?;
        if !parts.headers.contains_key(header::AUTHORIZATION)
            && let Some(certificate) = parts.extensions.get::<Arc<tls::Peer>>()
        {
            return admin.certified(certificate, peer, parts).map(Self::Agent);
        }
        let token = credential(&parts.headers)?;
        let face = parts.extensions.get::<Face>().copied();
        let person = token.text.starts_with("pk_");
        if person && face == Some(Face::Agents) {
            return Err(ApiError::forbidden("people have an address of their own"));
        }
        if !person && face == Some(Face::People) {
            return Err(for_people());
        }
        if person {
            let snapshot = admin.snapshot.current();
            let known = admin.people.by_key(token.text, &snapshot);
            return known.map(Self::Person).ok_or_else(|| {
                ApiError::unauthenticated(DenyReason::TokenInvalid, "the access key is not known")
            });
        }
        admin.agent(&token, peer, parts).map(Self::Agent)
    }
}

impl Caller {
    /// What tells callers apart, whatever they come with.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Agent(agent) => format!("agent {}", agent.id()),
            Self::Person(known) => format!("person {}", known.id()),
        }
    }

    /// What is not there for the caller. Who sees all is told that what ended is not kept for ever; to
    /// anybody else what is another's, was forgotten or never was looks alike.
    pub(super) fn missing(&self, what: &str, id: &str) -> ApiError {
        ApiError::not_found(match self {
            Self::Person(known) if known.is_operator() => format!(
                "no {what} `{id}`: it never was, or it has ended and is not kept any longer; the audit \
                 log knows what ended"
            ),
            Self::Agent(_) | Self::Person(_) => format!("no {what} `{id}` of yours"),
        })
    }

    /// When the credential stops being good by itself.
    pub(super) fn good_until(&self) -> Option<BootInstant> {
        match self {
            Self::Agent(agent) => Some(agent.authenticated.deadline()),
            Self::Person(_) => None,
        }
    }

    /// Whether what was shown would still be believed.
    pub(super) fn still_stands(&self, admin: &Admin) -> bool {
        match self {
            Self::Agent(agent) => {
                !admin.grants.is_revoked(agent.id())
                    && !admin.authenticator.is_revoked(&agent.authenticated)
                    && admin
                        .snapshot
                        .current()
                        .agent(agent.id().as_str())
                        .is_some()
            }
            Self::Person(known) => admin.people.still_stands(known, &admin.snapshot.current()),
        }
    }
}

/// A person of the group that manages the gateway.
#[derive(Debug)]
pub(super) struct Operator(pub(super) Known);

impl FromRequestParts<Arc<Admin>> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, admin).await? {
            Caller::Person(known) if known.is_operator() => Ok(Self(known)),
            Caller::Agent(_) | Caller::Person(_) => {
                Err(ApiError::forbidden("this is for the people of `operators`"))
            }
        }
    }
}

impl Operator {
    pub(super) fn id(&self) -> &PersonId {
        self.0.id()
    }
}

/// A person.
#[derive(Debug)]
pub(super) struct PersonCaller(pub(super) Known);

impl FromRequestParts<Arc<Admin>> for PersonCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, admin).await? {
            Caller::Person(known) => Ok(Self(known)),
            Caller::Agent(_) => Err(ApiError::forbidden(
                "this is for people, with their access key",
            )),
        }
    }
}

/// An agent.
impl FromRequestParts<Arc<Admin>> for AgentCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, admin).await? {
            Caller::Agent(agent) => Ok(agent),
            Caller::Person(_) => Err(ApiError::forbidden("this is for agents, with their token")),
        }
    }
}

impl Admin {
    fn agent(
        &self,
        token: &Credential<'_>,
        peer: Peer,
        parts: &Parts,
    ) -> Result<AgentCaller, ApiError> {
        let snapshot = self.snapshot.current();
        // A token for one service asks here for what it needs there, so it is as good as any other.
        let audiences = resources(&snapshot, &self.public_url);
        let audiences: Vec<_> = audiences.iter().map(String::as_str).collect();
        let verified = self.authenticator.verify(token.text, &audiences);
        let authenticated = Arc::new(verified.map_err(|error| not_believed(&error))?);
        let shown = Shown {
            token: token.text,
            dpop: token.dpop,
            certificate: peer.certificate,
            method: &parts.method,
            headers: &parts.headers,
        };
        let urls = || vec![format!("{}{}", self.control_url, parts.uri.path())];
        let held = check_possession(&self.dpop, &authenticated, &shown, urls);
        held.map_err(|why| not_held(why, &self.dpop))?;
        self.caller(snapshot, authenticated, peer, parts)
    }

    /// An agent whose certificate is all that it shows.
    fn certified(
        &self,
        certificate: &tls::Peer,
        peer: Peer,
        parts: &Parts,
    ) -> Result<AgentCaller, ApiError> {
        if parts.extensions.get::<Face>() == Some(&Face::People) {
            return Err(for_people());
        }
        let snapshot = self.snapshot.current();
        let (agent, method) = agent_by_certificate(&snapshot, certificate).ok_or_else(|| {
            let detail = "the client certificate is no agent's: send `Authorization: Bearer` with a \
                          token or an access key";
            ApiError::unauthenticated(DenyReason::TokenMissing, detail)
        })?;
        let id = agent.agent.id.clone();
        let thumbprint = certificate.thumbprint;
        let authenticated = self.authenticator.by_certificate(id, thumbprint, method);
        self.caller(snapshot, Arc::new(authenticated), peer, parts)
    }

    fn caller(
        &self,
        snapshot: Arc<Snapshot>,
        authenticated: Arc<Authenticated>,
        peer: Peer,
        parts: &Parts,
    ) -> Result<AgentCaller, ApiError> {
        let agent = agent_of(&snapshot, &authenticated).map_err(unbound)?;
        if self.grants.is_revoked(&agent.agent.id) {
            return Err(unbound(Unbound::AgentRevoked));
        }
        let named = named_task(&parts.headers)?;
        check_named(&authenticated, named).map_err(unbound)?;
        Ok(AgentCaller {
            agent: Arc::clone(agent),
            binding: bind(&self.grants, &authenticated),
            authenticated,
            named: named.map(str::to_owned),
            source: peer.address.ip().to_canonical(),
            snapshot,
        })
    }
}

impl AgentCaller {
    pub(super) fn id(&self) -> &AgentId {
        &self.agent.agent.id
    }

    /// What the token says.
    pub(super) fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    /// Whether the token, or the request, names a task.
    pub(super) fn names_task(&self) -> bool {
        self.authenticated.task().is_some() || self.named.is_some()
    }

    /// The identity for what needs the token's task to be open, if it names one.
    pub(super) fn identity(&self, admin: &Admin, now: BootInstant) -> Result<Identity, ApiError> {
        let named = self.named.as_deref();
        let bound = bind_named(
            &self.snapshot,
            &admin.grants,
            &self.authenticated,
            &self.binding,
            named,
            now,
        );
        bound.map_err(unbound)
    }

    /// Whether a task is the agent's to see and to end: one that it works on or has opened. A token for
    /// one task reaches that task and those below it.
    pub(super) async fn reaches(&self, admin: &Admin, task: &Task) -> Result<bool, ApiError> {
        let own = task.agent == *self.id() || task.opened_by == self.id().as_str();
        if !own {
            return Ok(false);
        }
        self.is_within(admin, &task.id).await
    }

    /// Whether a grant is the agent's own, and one that its token reaches.
    pub(super) async fn reaches_grant(
        &self,
        admin: &Admin,
        grant: &Grant,
    ) -> Result<bool, ApiError> {
        let request = &grant.request;
        Ok(request.agent == *self.id() && self.is_within(admin, &request.task).await?)
    }

    /// Whether a task is the token's own or lies below it; a token without one reaches all.
    pub(super) async fn is_within(&self, admin: &Admin, task: &TaskId) -> Result<bool, ApiError> {
        let Some(bound) = self.authenticated.task().or(self.named.as_deref()) else {
            return Ok(true);
        };
        let mut id = Some(task.clone());
        while let Some(at) = id {
            if at.as_str() == bound {
                return Ok(true);
            }
            id = self.parent(admin, &at).await?;
        }
        Ok(false)
    }

    async fn parent(&self, admin: &Admin, id: &TaskId) -> Result<Option<TaskId>, ApiError> {
        let stored = admin.grants.store().task(id).await;
        let stored = stored.map_err(crate::grants::GrantsError::from)?;
        Ok(stored.and_then(|stored| stored.task.parent))
    }
}

/// The credential of a request.
struct Credential<'a> {
    text: &'a str,
    dpop: bool,
}

fn credential(headers: &HeaderMap) -> Result<Credential<'_>, ApiError> {
    let missing = || {
        let detail = "send `Authorization: Bearer` with a token or an access key";
        ApiError::unauthenticated(DenyReason::TokenMissing, detail)
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        let detail = "the request has more than one Authorization";
        return Err(ApiError::malformed(detail));
    }
    let (scheme, text) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or_else(missing)?;
    let dpop = scheme.eq_ignore_ascii_case("DPoP");
    if !dpop && !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(missing());
    }
    let text = text.trim();
    Ok(Credential { text, dpop })
}

/// The task that a header names.
fn named_task(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all("portcullis-task").iter();
    let named = values.next().map(HeaderValue::to_str).transpose();
    let named = named.map_err(|_| ApiError::malformed("Portcullis-Task is not a task id"))?;
    if values.next().is_some() {
        let detail = "the request has more than one Portcullis-Task";
        return Err(ApiError::malformed(detail));
    }
    Ok(named)
}

fn for_people() -> ApiError {
    ApiError::forbidden("this address is for people: use the control address")
}

fn not_believed(error: &TokenError) -> ApiError {
    match error {
        TokenError::Expired => {
            ApiError::unauthenticated(DenyReason::TokenExpired, "get a new token")
        }
        TokenError::Invalid(_) => ApiError::unauthenticated(
            DenyReason::TokenInvalid,
            "the token is not one that this gateway believes",
        ),
    }
}

fn not_held(why: NotHeld, dpop: &Dpop) -> ApiError {
    let refuse = ApiError::unauthenticated;
    let required = DenyReason::ProofRequired;
    let invalid = DenyReason::ProofInvalid;
    match why {
        NotHeld::Busy => {
            let detail = "too many proofs are remembered at this moment: come again";
            ApiError::unavailable("overloaded", detail)
        }
        NotHeld::Certificate => refuse(invalid, "the token is bound to another client certificate"),
        NotHeld::DpopKey => {
            let detail =
                "the token is bound to a key: send it as `Authorization: DPoP` with a `DPoP` proof";
            refuse(required, detail).with_nonce(None, dpop.nonce())
        }
        NotHeld::Nonce => {
            let detail = "put the nonce of the `DPoP-Nonce` header into the proof";
            refuse(required, detail).with_nonce(Some("use_dpop_nonce"), dpop.nonce())
        }
        NotHeld::Proof => {
            let detail = "the DPoP proof is not one for this request and this token";
            refuse(invalid, detail).with_nonce(Some("invalid_dpop_proof"), dpop.nonce())
        }
        NotHeld::Unbound => {
            let detail = "the token is bound to no DPoP key: send it as Bearer";
            refuse(invalid, detail).with_nonce(Some("invalid_dpop_proof"), dpop.nonce())
        }
    }
}

fn unbound(why: Unbound) -> ApiError {
    match why {
        Unbound::AgentRevoked => {
            ApiError::unauthenticated(DenyReason::TokenInvalid, "the agent is revoked")
        }
        Unbound::AgentUnknown => ApiError::unauthenticated(
            DenyReason::TokenInvalid,
            "the token's agent is not enrolled here",
        ),
        Unbound::Contradiction(why) => ApiError::malformed(why),
        Unbound::TaskEnded => ApiError::unauthenticated(
            DenyReason::TaskEnded,
            "there is no such open task of yours: open one",
        ),
    }
}
