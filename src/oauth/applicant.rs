//! Whoever asks for a token: an authenticated agent, and what the token will be bound to.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::debug;

use super::call::Call;
use super::client::Client;
use super::error::OAuthError;
use super::state::OAuth;
use crate::access::{Asker, holder, one_proof, risk_of};
use crate::authn::Authenticated;
use crate::base::ErrorChain;
use crate::config::Snapshot;
use crate::grants::LiveTask;
use crate::model::AgentId;
use crate::tokens::{Confirmation, Proof, ProofError, ProofRules, Replay};

/// The parameter by which a client asks for a token that is bound to its certificate; the name is that of
/// the registration metadata (RFC 8705 §3.4), because there is no registration here.
const BOUND: &str = "tls_client_certificate_bound_access_tokens";

/// An authenticated agent that asks for a token.
#[derive(Debug)]
pub(super) struct Applicant {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) client: Client,
    pub(super) source: IpAddr,
    /// What the token will be bound to.
    pub(super) confirmation: Option<Confirmation>,
    /// How it has authenticated; in an exchange also what the subject token tells of that.
    pub(super) methods: Vec<&'static str>,
    /// The `acr` values by which the subject token's issuer can tell of several factors.
    pub(super) acr: Vec<String>,
    /// The subject token's `acr`, where it is one of these.
    pub(super) class: Option<String>,
}

impl Applicant {
    pub(super) fn id(&self) -> &AgentId {
        &self.client.agent.agent.id
    }

    /// The same with what its subject token tells of how it has authenticated with the token's issuer.
    pub(super) fn with_subject(mut self, subject: &Authenticated) -> Self {
        self.methods.extend(subject.methods());
        self.acr = subject.acr().to_vec();
        self.class = subject.class().map(str::to_owned);
        self
    }
}

impl OAuth {
    /// Whoever makes a call to the endpoint at `url`. The proof is looked at first, because a client that
    /// is sent away for a nonce comes again with the same assertion; it is accepted last, because only
    /// then is it known whose it is.
    pub(super) async fn applicant(&self, call: &Call, url: &str) -> Result<Applicant, OAuthError> {
        let snapshot = self.snapshot.current();
        let proof = self.proof(call, url)?;
        let client = self.authenticate(&snapshot, call).await?;
        if let Some(proof) = &proof {
            self.accept(proof, &client)?;
        }
        let confirmation = match proof {
            Some(proof) => Some(Confirmation::Jkt(proof.key())),
            None => certificate(call, &client)?,
        };
        Ok(Applicant {
            snapshot,
            methods: vec![client.method.name()],
            client,
            source: call.source(),
            confirmation,
            acr: Vec::new(),
            class: None,
        })
    }

    /// The asker that the rules see.
    pub(super) fn asker<'a>(
        &'a self,
        applicant: &'a Applicant,
        task: Option<&'a Arc<LiveTask>>,
    ) -> Asker<'a> {
        let (snapshot, agent) = (&*applicant.snapshot, &*applicant.client.agent);
        Asker {
            snapshot,
            agent,
            risk: risk_of(snapshot, self.grants.signals(), agent, task),
            habits: Some(self.grants.signals()),
            task,
            methods: &applicant.methods,
            acr: &applicant.acr,
            holder: applicant.confirmation.map(holder),
            source: applicant.source,
            now: self.clock.now(),
            wall: self.clock.wall(),
            supposed: None,
        }
    }

    /// The proof of possession that a call carries, if it does (RFC 9449 §5).
    fn proof(&self, call: &Call, url: &str) -> Result<Option<Proof>, OAuthError> {
        let proof = one_proof(&call.headers).map_err(|_| self.invalid_proof())?;
        let Some(proof) = proof else {
            return Ok(None);
        };
        let rules = ProofRules {
            method: "POST",
            urls: &[url.to_owned()],
            token: None,
        };
        let verified = self.dpop.verify(proof, &rules);
        verified.map(Some).map_err(|error| {
            debug!(error = %ErrorChain(&error), "a proof of possession is refused");
            match error {
                ProofError::Nonce => OAuthError::new(
                    "use_dpop_nonce",
                    "put the nonce of the DPoP-Nonce header into the proof",
                )
                .with_nonce(self.dpop.nonce()),
                _ => self.invalid_proof(),
            }
        })
    }

    fn accept(&self, proof: &Proof, client: &Client) -> Result<(), OAuthError> {
        let sender = client.agent.agent.id.as_str();
        self.dpop.accept(proof, sender).map_err(|why| match why {
            Replay::Full => {
                OAuthError::unavailable("too many proofs are remembered at this moment: come again")
            }
            Replay::Seen | Replay::Stale => {
                debug!(sender, error = %why, "a proof of possession is refused");
                self.invalid_proof()
            }
        })
    }

    fn invalid_proof(&self) -> OAuthError {
        let description = "the DPoP proof is not one for this request";
        OAuthError::new("invalid_dpop_proof", description).with_nonce(self.dpop.nonce())
    }
}

/// The certificate that a token is bound to: the one that the client has authenticated with, or shows and
/// asks for (RFC 8705 §3). A DPoP proof goes before, because nobody sends one by accident.
fn certificate(call: &Call, client: &Client) -> Result<Option<Confirmation>, OAuthError> {
    let asked = match call.form.get(BOUND) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            let description = format!("`{BOUND}` is true or false");
            return Err(OAuthError::invalid_request(description));
        }
    };
    if !asked && !client.method.is_certificate() {
        return Ok(None);
    }
    match call.peer.certificate {
        Some(thumbprint) => Ok(Some(Confirmation::X5tS256(thumbprint))),
        None => {
            let description = "there is no client certificate to bind the token to";
            Err(OAuthError::invalid_request(description))
        }
    }
}
