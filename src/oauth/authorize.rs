//! The authorization endpoint that there is not: clients that insist on one find an answer.
//!
//! RFC 8414 §2 lets a server without response types leave the endpoint out, and yet stock clients refuse
//! metadata without it. What is asked here is refused, and never by a redirect: `redirect_uri` is whatever
//! the request says, since no client registers one (RFC 6749 §4.1.2.1, §10.15).

use super::error::OAuthError;

/// Below the control address.
pub(super) const PATH: &str = "/oauth/authorize";

pub(super) async fn endpoint() -> OAuthError {
    let description = "nobody is sent here to authorize a client, so there are no response types: an agent \
        authenticates at the token endpoint, with client_credentials and private_key_jwt or its certificate, and \
        people approve what it requests";
    OAuthError::new("unsupported_response_type", description)
}
