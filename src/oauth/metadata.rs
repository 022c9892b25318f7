//! What clients discover: endpoints and methods (RFC 8414), and the keys of our tokens (RFC 7517).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri, header};
use serde_json::{Map, Value, json};

use super::state::OAuth;
use super::{authorize, ciba, exchange};
use crate::access::DETAILS_TYPE;
use crate::authn::Method;
use crate::config::ClientAuth;
use crate::tokens::Algorithm;

/// Where the metadata of an issuer without a path is (RFC 8414 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// Long enough to spare both sides work; short against the overlap of two signing keys.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(super) async fn authorization_server(State(oauth): State<Arc<OAuth>>) -> Response {
    cached(Value::Object(oauth.metadata()))
}

pub(super) async fn jwks(State(oauth): State<Arc<OAuth>>) -> Response {
    cached(oauth.authority.jwks())
}

fn cached(document: Value) -> Response {
    ([(header::CACHE_CONTROL, CACHED)], Json(document)).into_response()
}

/// Where an issuer's metadata is: its own path stands behind the well-known one (RFC 8414 §3.1).
pub(super) fn path(issuer: &str) -> String {
    let uri = issuer.parse::<Uri>().ok();
    let own = uri.as_ref().map_or("", Uri::path).trim_end_matches('/');
    format!("{WELL_KNOWN}{own}")
}

impl OAuth {
    fn metadata(&self) -> Map<String, Value> {
        let control = &self.facts.control_url;
        let methods: Vec<_> = methods(&self.facts.client_auth)
            .iter()
            .map(|method| method.name())
            .collect();
        let algorithms: Vec<_> = Algorithm::ALL.iter().map(|one| one.name()).collect();
        let members = [
            ("issuer", json!(self.authority.issuer())),
            ("token_endpoint", json!(self.token_endpoint())),
            ("jwks_uri", json!(format!("{control}/oauth/jwks"))),
            // For clients that do not read metadata without it. It refuses: there are no response types
            // (RFC 8414 §2).
            (
                "authorization_endpoint",
                json!(format!("{control}{}", authorize::PATH)),
            ),
            ("response_types_supported", json!([])),
            (
                "grant_types_supported",
                json!(["client_credentials", exchange::GRANT_TYPE, ciba::GRANT_TYPE]),
            ),
            (
                "authorization_details_types_supported",
                json!([DETAILS_TYPE]),
            ),
            ("dpop_signing_alg_values_supported", json!(algorithms)),
            (
                "tls_client_certificate_bound_access_tokens",
                json!(self.facts.client_auth != ClientAuth::None),
            ),
            ("protected_resources", json!([self.facts.public_url])),
            (
                "introspection_endpoint",
                json!(format!("{control}/oauth/introspect")),
            ),
            (
                "revocation_endpoint",
                json!(format!("{control}/oauth/revoke")),
            ),
            // CIBA Core §4.
            (
                "backchannel_authentication_endpoint",
                json!(format!("{control}/oauth/bc-authorize")),
            ),
            (
                "backchannel_token_delivery_modes_supported",
                json!(["poll"]),
            ),
            ("backchannel_user_code_parameter_supported", json!(false)),
            (
                "service_documentation",
                json!(format!("{control}/v1/openapi.json")),
            ),
        ];
        let members = members.map(|(name, value)| (name.to_owned(), value));
        let mut document: Map<_, _> = members.into_iter().collect();
        // Clients authenticate alike everywhere.
        for endpoint in ["token", "introspection", "revocation"] {
            let prefix = format!("{endpoint}_endpoint_auth");
            document.insert(format!("{prefix}_methods_supported"), json!(methods));
            document.insert(
                format!("{prefix}_signing_alg_values_supported"),
                json!(algorithms),
            );
        }
        document
    }
}

/// How clients can authenticate where certificates are treated like this.
fn methods(client_auth: &ClientAuth) -> &'static [Method] {
    match client_auth {
        ClientAuth::None => &[Method::PrivateKeyJwt],
        ClientAuth::Optional(_) | ClientAuth::Required(_) => &[Method::PrivateKeyJwt, Method::Tls],
        ClientAuth::Any(None) => &[Method::PrivateKeyJwt, Method::SelfSignedTls],
        ClientAuth::Any(Some(_)) => &[Method::PrivateKeyJwt, Method::Tls, Method::SelfSignedTls],
    }
}
