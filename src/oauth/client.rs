//! Who asks at an endpoint: an enrolled agent, by an assertion that its key signed (RFC 7523 §2.2) or by
//! the certificate of its connection (RFC 8705 §2).

use std::sync::Arc;

use http::header;
use tracing::{debug, warn};

use super::call::Call;
use super::error::OAuthError;
use super::state::OAuth;
use crate::access::{NotOnce, method_by_certificate};
use crate::authn::Method;
use crate::base::ErrorChain;
use crate::config::{EnrolledAgent, Snapshot};
use crate::tls::Peer;
use crate::tokens::{Assertion, Replay, unverified_client};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An agent that has authenticated.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) agent: Arc<EnrolledAgent>,
    pub(super) method: Method,
}

impl OAuth {
    /// The agent that asks.
    pub(super) async fn authenticate(
        &self,
        snapshot: &Snapshot,
        call: &Call,
    ) -> Result<Client, OAuthError> {
        refuse_other_methods(call)?;
        let form = &call.form;
        let assertion = form.get("client_assertion");
        let client = match (assertion, &call.certificate, form.get("client_id")) {
            (Some(assertion), _, _) => self.by_assertion(snapshot, call, assertion).await,
            (None, Some(certificate), Some(client)) => {
                let agent = snapshot.agent(client);
                let agent = agent.ok_or_else(OAuthError::invalid_client)?;
                by_certificate(agent, certificate)
            }
            (None, _, _) => Err(OAuthError::new(
                "invalid_client",
                "authenticate by private_key_jwt: client_assertion_type and client_assertion; or by a \
                 client certificate and client_id",
            )),
        }?;
        if self.grants.is_revoked(&client.agent.agent.id) {
            let description = "the agent is revoked";
            return Err(OAuthError::new("invalid_client", description));
        }
        Ok(client)
    }

    /// The agent that signed the request's client assertion. An assertion is good once.
    async fn by_assertion(
        &self,
        snapshot: &Snapshot,
        call: &Call,
        assertion: &str,
    ) -> Result<Client, OAuthError> {
        let form = &call.form;
        if form.required("client_assertion_type")? != JWT_BEARER {
            let description = format!("client_assertion_type has to be {JWT_BEARER}");
            return Err(OAuthError::invalid_request(description));
        }
        // The claim only selects whose keys to verify with; verification compares it again.
        let client = unverified_client(assertion).ok_or_else(OAuthError::invalid_client)?;
        let agent = snapshot.agent(&client);
        let agent = agent.ok_or_else(OAuthError::invalid_client)?;
        if form.get("client_id").is_some_and(|named| named != client) {
            return Err(OAuthError::invalid_client());
        }
        let now = self.clock.wall();
        // Whatever endpoint is called, the issuer and the token endpoint are names of this server
        // (RFC 7523 §3); stock clients write down the endpoint that they call.
        let token_endpoint = self.token_endpoint();
        let called = format!("{}{}", self.facts.control_url, call.path);
        let audiences = [self.authority.issuer(), &token_endpoint, &called];
        let verified = Assertion::verify(assertion, &agent.keys, &client, &audiences, now);
        let claims = verified.map_err(|error| {
            debug!(client, error = %ErrorChain(&error), "a client assertion is refused");
            OAuthError::invalid_client()
        })?;
        let accepted = self
            .assertions
            .accept(&client, &claims.jti, claims.exp, now)
            .await;
        match accepted {
            Ok(()) => Ok(Client {
                agent: Arc::clone(agent),
                method: Method::PrivateKeyJwt,
            }),
            Err(NotOnce::Replay(Replay::Full)) => Err(OAuthError::unavailable(
                "too many assertions are remembered at this moment: come again",
            )),
            Err(error @ (NotOnce::Broken(_) | NotOnce::Store(_))) => {
                warn!(error = %ErrorChain(&error), "a client assertion can't be remembered");
                Err(OAuthError::unavailable(
                    "that the assertion is used can't be stored at this moment: come again with another",
                ))
            }
            Err(NotOnce::Replay(replayed @ (Replay::Seen | Replay::Stale))) => {
                debug!(client, error = %replayed, "a client assertion is refused");
                Err(OAuthError::invalid_client())
            }
        }
    }
}

/// The agent that is named, if the certificate is its own.
fn by_certificate(agent: &Arc<EnrolledAgent>, certificate: &Peer) -> Result<Client, OAuthError> {
    let method = method_by_certificate(agent, certificate).ok_or_else(|| {
        let (client, subject) = (&agent.agent.id, &certificate.subject);
        debug!(%client, subject, "a client certificate is another's");
        OAuthError::invalid_client()
    })?;
    let agent = Arc::clone(agent);
    Ok(Client { agent, method })
}

/// A client authenticates in one way (RFC 6749 §2.3), and never with a secret that both sides know.
fn refuse_other_methods(call: &Call) -> Result<(), OAuthError> {
    if call.form.get("client_secret").is_some() {
        return Err(OAuthError::new(
            "invalid_client",
            "there are no client secrets here: authenticate by private_key_jwt",
        ));
    }
    let Some(authorization) = call.headers.get(header::AUTHORIZATION) else {
        return Ok(());
    };
    let used = authorization.to_str().unwrap_or_default();
    let used = used.split(' ').next().unwrap_or_default();
    let known = ["Basic", "Bearer", "DPoP"];
    let scheme = known
        .into_iter()
        .find(|scheme| scheme.eq_ignore_ascii_case(used));
    Err(OAuthError::new(
        "invalid_client",
        "clients don't authenticate by Authorization here, but by private_key_jwt",
    )
    .with_scheme(scheme.unwrap_or("Bearer")))
}
