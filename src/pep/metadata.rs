//! The one document that the gateway itself serves: what it protects, and who issues tokens for it
//! (RFC 9728).

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use super::gate::Gate;
use crate::wire::{Body, DPOP_ALGORITHMS};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The document, if that is what was asked for. The path behind the well-known one is the resource's
/// own (RFC 9728 §3.1); it is answered alike whether or not anything is there.
pub(super) fn answer(gate: &Gate, request: &Parts) -> Option<Response<Body>> {
    let suffix = request.uri.path().strip_prefix(WELL_KNOWN)?;
    if !suffix.is_empty() && !suffix.starts_with('/') {
        return None;
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
        return Some(response);
    }
    let facts = &gate.facts;
    let algorithms: Vec<_> = DPOP_ALGORITHMS.split(' ').collect();
    let suffix = suffix.trim_end_matches('/');
    let document = json!({
        "resource": format!("{}{suffix}", facts.public_url),
        "authorization_servers": [facts.issuer],
        "bearer_methods_supported": ["header"],
        "authorization_details_types_supported": ["portcullis_grant"],
        "tls_client_certificate_bound_access_tokens": facts.client_certificates,
        "dpop_signing_alg_values_supported": algorithms,
    });
    let mut response = Response::new(Body::full(document.to_string()));
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let cached = HeaderValue::from_static("max-age=300");
    headers.insert(header::CACHE_CONTROL, cached);
    Some(response)
}

/// Where the document about the service at `path` is.
pub(super) fn url(gate: &Gate, host: &str, path: &str) -> String {
    let snapshot = gate.snapshot.peek();
    let service = snapshot.service_for(host, path);
    let suffix = service.map_or("", |service| service.resource_path());
    format!("{}{WELL_KNOWN}{suffix}", gate.facts.public_url)
}
