//! From a token to who is asking: remembered, so that the next request costs a hash and a look-up.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use moka::Expiry;
use moka::sync::Cache;
use tracing::debug;

use super::canonical::{Canonical, Token};
use super::gate::Gate;
use super::nearby::{Nearby, OfToken};
use super::refusal::Refusal;
use crate::access::{
    Binding, Identity, NotHeld, Shown, Unbound, bind, bind_named, check_possession, is_for,
    resources,
};
use crate::authn::Authenticated;
use crate::base::{BootInstant, Digest, ErrorChain};
use crate::config::{ProtectedService, Snapshot};
use crate::model::{DenyReason, ServiceMatch};
use crate::tokens::{Invalid, TokenError};

/// Names the task of an outside issuer's token.
pub(super) const TASK: HeaderName = HeaderName::from_static("portcullis-task");

/// How many verified tokens are remembered. One that was forgotten is verified again.
const REMEMBERED: u64 = 100_000;

/// Tokens live for minutes; one that nobody used for so long is not worth its place.
const UNUSED: Duration = Duration::from_mins(10);

/// What is remembered of so many tokens, by the whole token, so that a hash collision compares and misses.
#[derive(Debug)]
pub struct Remembered<T: Send + Sync + 'static>(
    Cache<Arc<str>, Kept<T>, foldhash::fast::RandomState>,
);

/// A value, and how long it is worth its place.
#[derive(Debug)]
struct Kept<T> {
    value: Arc<T>,
    life: Duration,
}

/// A token is forgotten at its end.
struct Life;

/// The verified tokens.
pub(super) type Sessions = Remembered<Session>;

/// A verified token and the task that it is bound to.
#[derive(Debug)]
pub(super) struct Session {
    token: Arc<str>,
    authenticated: Arc<Authenticated>,
    binding: Binding,
    /// The revocations that it has been compared with.
    compared: AtomicU64,
}

impl OfToken for Session {
    fn token(&self) -> &str {
        &self.token
    }
}

/// What is nearer than what all workers share.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtHand<'a> {
    /// The connection's.
    pub(super) last: &'a LastShown,
    /// The worker's.
    pub(super) near: &'a Nearby<Session>,
}

impl AtHand<'_> {
    fn get(&self, token: &Token) -> Option<Arc<Session>> {
        self.last.get(token).or_else(|| {
            let found = self.near.get(&token.text());
            found.inspect(|session| self.last.set(session))
        })
    }

    fn put(&self, session: &Arc<Session>) {
        self.last.set(session);
        self.near.put(Arc::clone(session));
    }
}

/// The token that a connection has shown last: it is the next one, too, as a rule, and found without a look
/// at what all the others have shown.
#[derive(Debug, Default)]
pub(super) struct LastShown(RefCell<Option<Arc<Session>>>);

impl LastShown {
    fn get(&self, token: &Token) -> Option<Arc<Session>> {
        let last = self.0.borrow();
        let last = last.as_ref();
        last.filter(|last| token.text().is(&last.token)).cloned()
    }

    fn set(&self, session: &Arc<Session>) {
        self.0.replace(Some(Arc::clone(session)));
    }
}

impl<T: Send + Sync + 'static> Remembered<T> {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_idle(UNUSED)
            .expire_after(Life)
            .build_with_hasher(foldhash::fast::RandomState::default());
        Self(cache)
    }

    /// What is remembered of `token`.
    #[must_use]
    pub fn get(&self, token: &str) -> Option<Arc<T>> {
        self.0.get(token).map(|kept| kept.value)
    }

    /// Remembers `value` of `token`, for as long as there is room and it is used, and no longer than `life`.
    pub fn insert(&self, token: Arc<str>, value: Arc<T>, life: Duration) {
        self.0.insert(token, Kept { value, life });
    }

    /// How many tokens are remembered, about.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.0.entry_count()).unwrap_or(usize::MAX)
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            life: self.life,
        }
    }
}

impl<T> Expiry<Arc<str>, Kept<T>> for Life {
    fn expire_after_create(&self, _: &Arc<str>, kept: &Kept<T>, _: Instant) -> Option<Duration> {
        Some(kept.life)
    }

    fn expire_after_update(
        &self,
        _: &Arc<str>,
        kept: &Kept<T>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.life)
    }
}

impl<T: Send + Sync + 'static> Default for Remembered<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// Who is asking, or why nobody is believed to be. `proved` says that this request has shown before
    /// that it holds what its token is bound to: a proof is good once.
    pub(super) fn authenticate(
        &self,
        snapshot: &Snapshot,
        canonical: &Canonical,
        (source, certificate, at_hand): (IpAddr, Option<Digest>, AtHand<'_>),
        proved: bool,
        now: BootInstant,
    ) -> Result<Identity, Refusal> {
        let token = canonical.token().ok_or_else(|| {
            let control = &self.facts.control_url;
            let detail =
                format!("send `Authorization: Bearer <token>`; tokens come from {control}");
            Refusal::new(DenyReason::TokenMissing, detail)
        })?;
        let session = self.session(snapshot, token, (source, at_hand), now)?;
        if !proved {
            let shown = Shown {
                token: &session.token,
                dpop: token.dpop,
                certificate,
                method: canonical.method(),
                headers: canonical.headers(),
            };
            let urls = || self.urls(snapshot, canonical);
            check_possession(&self.dpop, &session.authenticated, &shown, urls).map_err(not_held)?;
        }
        let named = named_task(canonical)?;
        let Session {
            authenticated,
            binding,
            ..
        } = &*session;
        bind_named(snapshot, &self.grants, authenticated, binding, named, now).map_err(unbound)
    }

    /// The URLs by which a request's target goes. The host that the client names counts only where it is
    /// a service's: any other could be a place that the client was lured to.
    fn urls(&self, snapshot: &Snapshot, canonical: &Canonical) -> Vec<String> {
        let public_url = &self.facts.public_url;
        let path = canonical.path();
        let mut urls = vec![format!("{public_url}{path}")];
        let service = snapshot.service_for(canonical.host(), path);
        let by_host = service.is_some_and(|s| matches!(s.service.matches, ServiceMatch::Host(_)));
        if by_host && let Some((scheme, _)) = public_url.split_once("://") {
            urls.push(format!("{scheme}://{}{path}", canonical.authority()));
        }
        urls
    }

    /// Whether the token is good at `service`: one that was narrowed to other services is not
    /// (RFC 8707 §2).
    pub(super) fn check_audience(
        &self,
        identity: &Identity,
        service: &ProtectedService,
    ) -> Result<(), Refusal> {
        if is_for(&identity.authenticated, &self.facts.public_url, service) {
            return Ok(());
        }
        let detail = "the token is for another service: get one for this `resource`";
        Err(Refusal::new(DenyReason::TokenInvalid, detail))
    }

    fn session(
        &self,
        snapshot: &Snapshot,
        token: &Token,
        (source, at_hand): (IpAddr, AtHand<'_>),
        now: BootInstant,
    ) -> Result<Arc<Session>, Refusal> {
        let shown = token.text();
        // Looked for only where it is not at hand.
        let text = || str::from_utf8(shown.expose()).unwrap_or_default();
        let remembered = at_hand.get(token).or_else(|| {
            let remembered = self.sessions.get(text());
            remembered.inspect(|session| at_hand.put(session))
        });
        let is_known = remembered.is_some();
        let epoch = self.authenticator.epoch();
        if let Some(session) = remembered
            && session.authenticated.epoch() == epoch
        {
            if now >= session.authenticated.deadline() {
                return Err(expired());
            }
            let revocations = self.authenticator.revocations();
            if session.compared.load(Ordering::Relaxed) != revocations {
                if self.authenticator.is_revoked(&session.authenticated) {
                    return Err(revoked());
                }
                session.compared.store(revocations, Ordering::Relaxed);
            }
            return Ok(session);
        }
        // Keys that change are no reason to doubt who was known before.
        if !is_known && let Some(wait) = self.strangers.wait(source, now) {
            return Err(too_many(wait));
        }
        // Read before the token is verified, so that one revoked meanwhile is compared again.
        let compared = AtomicU64::new(self.authenticator.revocations());
        // Which service the request is for is known only when it is routed: see `check_audience`.
        let audiences = resources(snapshot, &self.facts.public_url);
        let audiences: Vec<_> = audiences.iter().map(String::as_str).collect();
        let text = text();
        let verified = self.authenticator.verify(text, &audiences);
        let authenticated = verified.map_err(|error| {
            self.strangers.count(source, now);
            refuse_token(&error)
        })?;
        let session = Arc::new(Session {
            token: text.into(),
            binding: bind(&self.grants, &authenticated),
            authenticated: Arc::new(authenticated),
            compared,
        });
        // A task that an outside token names may be opened yet.
        if !matches!(session.binding, Binding::NotOpen(_)) {
            at_hand.put(&session);
            let life = session.authenticated.deadline().saturating_since(now);
            self.sessions
                .insert(Arc::clone(&session.token), Arc::clone(&session), life);
            let remembered = self.sessions.count();
            self.metrics.entries("tokens", remembered);
        }
        Ok(session)
    }
}

/// The task that the header names, if it is there, once.
fn named_task(canonical: &Canonical) -> Result<Option<&str>, Refusal> {
    if !canonical.present().task {
        return Ok(None);
    }
    let mut values = canonical.headers().get_all(&TASK).iter();
    let named = values.next().map(HeaderValue::to_str).transpose();
    let named = named.map_err(|_| contradiction("Portcullis-Task is not a task id"))?;
    if values.next().is_some() {
        return Err(contradiction(
            "the request has more than one Portcullis-Task",
        ));
    }
    Ok(named)
}

fn not_held(why: NotHeld) -> Refusal {
    let required = |detail: &str| Refusal::new(DenyReason::ProofRequired, detail);
    let invalid = |detail: &str| Refusal::new(DenyReason::ProofInvalid, detail);
    match why {
        NotHeld::Busy => {
            let detail = "too many proofs are remembered at this moment: come again";
            Refusal::new(DenyReason::Overloaded, detail).with_retry_after(1)
        }
        NotHeld::Certificate => {
            invalid("the token is bound to another client certificate").for_certificate()
        }
        NotHeld::DpopKey => required(
            "the token is bound to a key: send it as `Authorization: DPoP` with a `DPoP` proof",
        ),
        NotHeld::Nonce => {
            required("put the nonce of the `DPoP-Nonce` header into the proof").for_nonce()
        }
        NotHeld::Proof => invalid("the DPoP proof is not one for this request and this token"),
        NotHeld::Unbound => invalid("the token is bound to no DPoP key: send it as Bearer"),
    }
}

fn unbound(why: Unbound) -> Refusal {
    match why {
        Unbound::AgentRevoked => Refusal::new(DenyReason::TokenInvalid, "the agent is revoked"),
        Unbound::AgentUnknown => Refusal::new(
            DenyReason::TokenInvalid,
            "the token's agent is not enrolled here",
        ),
        Unbound::Contradiction(why) => contradiction(why),
        Unbound::TaskEnded => Refusal::new(
            DenyReason::TaskEnded,
            "there is no such open task of yours: open one",
        ),
    }
}

fn refuse_token(error: &TokenError) -> Refusal {
    debug!(error = %ErrorChain(error), "a token is refused");
    match error {
        TokenError::Expired => expired(),
        TokenError::Invalid(Invalid::Revoked) => revoked(),
        TokenError::Invalid(_) => Refusal::new(
            DenyReason::TokenInvalid,
            "the token was not issued for this gateway by an issuer that it trusts, or was changed",
        )
        .with_internal(ErrorChain(error).to_string()),
    }
}

fn too_many(wait: Duration) -> Refusal {
    let detail = "this address has sent too many bad tokens: wait, then send one that holds";
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Refusal::new(DenyReason::RateLimited, detail).with_retry_after(seconds)
}

fn revoked() -> Refusal {
    let detail = "the token has been revoked: get a new one";
    Refusal::new(DenyReason::TokenInvalid, detail)
}

fn expired() -> Refusal {
    Refusal::new(
        DenyReason::TokenExpired,
        "get a new token; grants of an open task live on",
    )
}

fn contradiction(why: &str) -> Refusal {
    Refusal::new(DenyReason::RequestMalformed, why)
}
