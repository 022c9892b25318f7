//! What clients discover: endpoints and methods (RFC 8414), and the keys of our tokens (RFC 7517).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::state::OAuth;
use crate::tokens::Algorithm;

pub(super) async fn authorization_server(State(oauth): State<Arc<OAuth>>) -> Json<Value> {
    let control = &oauth.facts.control_url;
    let algorithms: Vec<_> = Algorithm::ALL.iter().map(|one| one.name()).collect();
    Json(json!({
        "issuer": oauth.authority.issuer(),
        "token_endpoint": oauth.token_endpoint(),
        "jwks_uri": format!("{control}/oauth/jwks"),
        // There is no authorization endpoint, so there are no response types (RFC 8414 §2).
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "authorization_details_types_supported": ["portcullis_grant"],
        "service_documentation": format!("{control}/v1/openapi.json"),
    }))
}

pub(super) async fn jwks(State(oauth): State<Arc<OAuth>>) -> Json<Value> {
    Json(oauth.authority.jwks())
}
