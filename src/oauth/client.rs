//! Who asks at the token endpoint: an enrolled agent, by an assertion that its key signed (RFC 7523
//! §2.2).

use std::sync::Arc;

use tracing::debug;

use super::error::OAuthError;
use super::form::Form;
use super::state::OAuth;
use crate::base::ErrorChain;
use crate::config::{EnrolledAgent, Snapshot};
use crate::tokens::{Assertion, Replay, unverified_client};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl OAuth {
    /// The agent that signed the request's client assertion. An assertion is good once.
    pub(super) fn authenticate<'s>(
        &self,
        snapshot: &'s Snapshot,
        form: &Form,
    ) -> Result<&'s Arc<EnrolledAgent>, OAuthError> {
        if form.get("client_secret").is_some() {
            return Err(OAuthError::new(
                "invalid_client",
                "there are no client secrets here: authenticate by private_key_jwt",
            ));
        }
        let assertion = form.get("client_assertion").ok_or_else(|| {
            OAuthError::new(
                "invalid_client",
                "authenticate by private_key_jwt: client_assertion_type and client_assertion",
            )
        })?;
        if form.required("client_assertion_type")? != JWT_BEARER {
            let description = format!("client_assertion_type has to be {JWT_BEARER}");
            return Err(OAuthError::invalid_request(description));
        }
        let refused = |why: &dyn std::error::Error| {
            debug!(error = %why, "a client assertion is refused");
            OAuthError::invalid_client()
        };
        // The claim only selects whose keys to verify with; verification compares it again.
        let client = unverified_client(assertion).ok_or_else(OAuthError::invalid_client)?;
        let agent = snapshot.agent(&client);
        let agent = agent.ok_or_else(OAuthError::invalid_client)?;
        if form.get("client_id").is_some_and(|named| named != client) {
            return Err(OAuthError::invalid_client());
        }
        let now = self.clock.wall();
        let endpoint = self.token_endpoint();
        let audiences = [self.authority.issuer(), endpoint.as_str()];
        let verified = Assertion::verify(assertion, &agent.keys, &client, &audiences, now);
        let claims = verified.map_err(|error| {
            debug!(client, error = %ErrorChain(&error), "a client assertion is refused");
            OAuthError::invalid_client()
        })?;
        let accepted = self
            .assertions
            .accept(&client, &claims.jti, claims.exp, now);
        match accepted {
            Ok(()) => Ok(agent),
            Err(Replay::Full) => Err(OAuthError::unavailable(
                "too many assertions are remembered at this moment: come again",
            )),
            Err(replayed @ (Replay::Seen | Replay::Stale)) => Err(refused(&replayed)),
        }
    }
}
