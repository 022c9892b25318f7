//! Verification of a bearer token that is not remembered.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::factors::{MFA, TRUSTED_ISSUER, brought_along, registered};
use super::{Authenticated, IssuerKeys, Method, Subject};
use crate::base::{Clock, Digest};
use crate::model::AgentId;
use crate::telemetry::Metrics;
use crate::tokens::{
    Authority, Claims, Confirmation, Invalid, Origin, Revoked, Rules, Sessions, TokenError,
    unverified_issuer,
};

/// How long what a certificate has opened may go on before it is shown again.
const CERTIFICATE_STANDS: Duration = Duration::from_hours(1);

/// Verifies tokens against our own authority and the trusted outside issuers.
#[derive(Debug)]
pub struct Authenticator {
    authority: Arc<Authority>,
    revoked: Arc<Revoked>,
    outside: Vec<Arc<IssuerKeys>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Authenticator {
    /// Believes `authority`, but for the tokens that were `revoked`, and `outside`, and nobody else.
    #[must_use]
    pub const fn new(
        authority: Arc<Authority>,
        revoked: Arc<Revoked>,
        outside: Vec<Arc<IssuerKeys>>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            authority,
            revoked,
            outside,
            clock,
            metrics,
        }
    }

    /// Changes whenever a key is no longer believed: what was verified under another epoch has to be
    /// verified again.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        let outside = self.outside.iter().map(|issuer| issuer.epoch());
        outside.fold(self.authority.key_version(), u64::wrapping_add)
    }

    /// Changes with every revocation of a token: whoever remembers a verified one has to ask
    /// [`is_revoked`](Self::is_revoked) again.
    #[must_use]
    pub fn revocations(&self) -> u64 {
        self.revoked.version()
    }

    /// Whether a token has been taken back since it was verified, alone or with all of its agent.
    #[must_use]
    pub fn is_revoked(&self, authenticated: &Authenticated) -> bool {
        let ended = |whose| {
            let issued = authenticated.issued;
            issued.is_some_and(|iat| self.revoked.has_ended(whose, iat))
        };
        match authenticated.subject() {
            Subject::Outside(name) => ended(Sessions::Outside(name)),
            Subject::Own(agent) => {
                let jti = authenticated.token_id();
                let revoked = jti.is_some_and(|jti| self.revoked.contains(agent.as_str(), jti));
                revoked || ended(Sessions::Own(agent.as_str()))
            }
        }
    }

    /// Verifies a token for one of `audiences`.
    ///
    /// # Errors
    ///
    /// When it is not one of ours or of a trusted issuer's, or has expired.
    pub fn verify(&self, token: &str, audiences: &[&str]) -> Result<Authenticated, TokenError> {
        self.metrics.tokens_verified.inc();
        // Read before the keys are, so that a key removed meanwhile makes this identity stale.
        let epoch = self.epoch();
        // The claim only selects whose keys to verify with; verification compares it again.
        let issuer = unverified_issuer(token);
        let outside = self
            .outside
            .iter()
            .find(|outside| Some(outside.issuer()) == issuer.as_deref());
        match outside {
            Some(outside) => self.verify_outside(outside, token, epoch),
            None => self.verify_own(token, audiences, epoch),
        }
    }

    /// The agent of a connection whose client certificate has been verified and is its own; `certificate`
    /// is its SHA-256. It is as good as a token that is bound to the certificate, and names no task.
    #[must_use]
    pub fn by_certificate(
        &self,
        agent: AgentId,
        certificate: Digest,
        method: Method,
    ) -> Authenticated {
        Authenticated {
            subject: Subject::Own(agent),
            task: None,
            audiences: Vec::new(),
            deadline: self.clock.now() + CERTIFICATE_STANDS,
            confirmation: Some(Confirmation::X5tS256(certificate)),
            methods: vec![method.name()],
            acr: None,
            class: None,
            epoch: self.epoch(),
            token_id: None,
            issued: None,
        }
    }

    fn verify_own(
        &self,
        token: &str,
        audiences: &[&str],
        epoch: u64,
    ) -> Result<Authenticated, TokenError> {
        let claims = self.authority.verify(token, audiences)?;
        let agent = claims.sub.parse();
        let agent = agent.map_err(|_| Invalid::ClaimType("sub".to_owned()))?;
        let revoked = |jti: &String| self.revoked.contains(&claims.sub, jti);
        let ended = self
            .revoked
            .has_ended(Sessions::Own(&claims.sub), claims.iat);
        if ended || claims.jti.as_ref().is_some_and(revoked) {
            return Err(Invalid::Revoked.into());
        }
        let task = claims.task.clone();
        // A token of a version that did not say so was for an assertion, or bound to its certificate.
        let said = claims.amr.iter().filter_map(|name| Method::named(name));
        let mut methods: Vec<_> = said.map(Method::name).collect();
        if methods.is_empty() {
            methods.push(Method::PrivateKeyJwt.name());
        }
        // One that was exchanged says so.
        if claims.amr.iter().any(|name| name == TRUSTED_ISSUER) {
            let brought = claims.amr.iter().filter_map(|name| brought_along(name));
            methods.extend(brought);
        }
        Ok(self.authenticated(claims, Subject::Own(agent), task, methods, epoch))
    }

    fn verify_outside(
        &self,
        issuer: &IssuerKeys,
        token: &str,
        epoch: u64,
    ) -> Result<Authenticated, TokenError> {
        let trusted = issuer.trusted();
        let rules = Rules {
            issuer: &trusted.issuer,
            audiences: &[&trusted.audience],
            origin: Origin::Outside,
            now: self.clock.wall(),
        };
        let verified = issuer.keys().verify(token, &rules);
        let claims = verified
            .inspect_err(|error| {
                if error.is_unknown_key() {
                    issuer.refresh_soon();
                }
            })?
            .claims;
        let subject = claims.text(&trusted.agent_claim)?;
        let subject = subject.ok_or(Invalid::ClaimMissing("agent"))?.to_owned();
        if self
            .revoked
            .has_ended(Sessions::Outside(&subject), claims.iat)
        {
            return Err(Invalid::Revoked.into());
        }
        let task = match &trusted.task_claim {
            Some(name) => claims.text(name)?.map(str::to_owned),
            None => None,
        };
        let mut methods = vec![TRUSTED_ISSUER];
        let several = |acr: &String| trusted.mfa_acr.contains(acr);
        let class = claims.acr.clone().filter(several);
        let by_class = class.as_ref().map(|_| MFA);
        let said = claims.amr.iter().filter_map(|name| registered(name));
        for method in said.chain(by_class) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        let can = !trusted.mfa_acr.is_empty();
        Ok(Authenticated {
            acr: can.then(|| Arc::clone(&trusted.mfa_acr)),
            class,
            ..self.authenticated(claims, Subject::Outside(subject), task, methods, epoch)
        })
    }

    fn authenticated(
        &self,
        claims: Claims,
        subject: Subject,
        task: Option<String>,
        methods: Vec<&'static str>,
        epoch: u64,
    ) -> Authenticated {
        let left = claims.exp.saturating_sub(self.clock.wall().as_second());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        Authenticated {
            subject,
            task,
            audiences: claims.aud,
            deadline: self.clock.now() + left,
            confirmation: claims.cnf,
            methods,
            acr: None,
            class: None,
            epoch,
            token_id: claims.jti,
            issued: Some(claims.iat),
        }
    }
}
