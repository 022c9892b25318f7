//! The one document that the gateway itself serves: what it protects, and who issues tokens for it
//! (RFC 9728).

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use super::gate::Gate;
use super::refusal::Refusal;
use crate::access::{DETAILS_TYPE, resources};
use crate::model::DenyReason;
use crate::wire::{Body, DPOP_ALGORITHMS};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The document, if that is what was asked for. The path behind the well-known one is the resource's
/// own (RFC 9728 §3.1). Where the token endpoint knows no such resource, there is no document: one that
/// names it would lead to a token that can't be had. Clients that guess the path go on to the gateway's own
/// document then, as the RFC lets them.
pub(super) fn answer(gate: &Gate, request: &Parts) -> Option<Result<Response<Body>, Refusal>> {
    let suffix = request.uri.path().strip_prefix(WELL_KNOWN)?;
    if !suffix.is_empty() && !suffix.starts_with('/') {
        return None;
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
        return Some(Ok(response));
    }
    let facts = &gate.facts;
    let algorithms: Vec<_> = DPOP_ALGORITHMS.split(' ').collect();
    let resource = format!("{}{}", facts.public_url, suffix.trim_end_matches('/'));
    if !resources(&gate.snapshot.peek(), &facts.public_url).contains(&resource) {
        let own = format!("{}{WELL_KNOWN}", facts.public_url);
        let detail = format!("no resource is here; the gateway's own metadata is at {own}");
        return Some(Err(Refusal::new(DenyReason::OperationUnknown, detail)));
    }
    let document = json!({
        "resource": resource,
        "authorization_servers": [facts.issuer],
        "bearer_methods_supported": ["header"],
        "authorization_details_types_supported": [DETAILS_TYPE],
        "tls_client_certificate_bound_access_tokens": facts.client_certificates,
        "dpop_signing_alg_values_supported": algorithms,
    });
    let mut response = Response::new(Body::full(document.to_string()));
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let cached = HeaderValue::from_static("max-age=300");
    headers.insert(header::CACHE_CONTROL, cached);
    Some(Ok(response))
}

/// Where the document about the service at `path` is.
pub(super) fn url(gate: &Gate, host: &str, path: &str) -> String {
    let snapshot = gate.snapshot.peek();
    let service = snapshot.service_for(host, path);
    let suffix = service.map_or("", |service| service.resource_path());
    format!("{}{WELL_KNOWN}{suffix}", gate.facts.public_url)
}
