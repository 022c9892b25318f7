//! The OAuth face: how an agent gets a token, and how others check what we issue.
//!
//! [`router`] serves authorization-server metadata (RFC 8414), the key set, and the token endpoint with
//! client credentials (RFC 6749 §4.4), token exchange (RFC 8693) and polling for what people decide (CIBA);
//! introspection (RFC 7662) and revocation (RFC 7009) of tokens. Clients authenticate by `private_key_jwt`
//! (RFC 7523) or by a certificate (RFC 8705); there are no client secrets. A token is identity, bound to at
//! most one task; a scope asks for entitlements, and what is granted lives in the grants, not in the token.
//!
//! Invariant: no token is answered before what it was asked with is durable and recorded.

mod answer;
mod applicant;
mod authorize;
mod call;
mod ciba;
mod client;
mod error;
mod exchange;
mod form;
mod introspect;
mod metadata;
mod pace;
mod revoke;
mod state;
mod target;
mod token;
mod wanted;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};

pub use state::{OAuth, OAuthFacts, OAuthParts};

/// The routes of the OAuth face.
pub fn router(oauth: Arc<OAuth>) -> Router {
    let metadata = metadata::path(oauth.authority.issuer());
    Router::new()
        .route(&metadata, get(metadata::authorization_server))
        .route("/oauth/jwks", get(metadata::jwks))
        .route(authorize::PATH, any(authorize::endpoint))
        .route("/oauth/bc-authorize", post(ciba::endpoint))
        .route("/oauth/introspect", post(introspect::endpoint))
        .route("/oauth/revoke", post(revoke::endpoint))
        .route("/oauth/token", post(token::endpoint))
        .with_state(oauth)
}
