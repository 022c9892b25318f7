//! Whether the gateway lives, whether it is ready, and its metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use super::error::ApiError;
use super::state::Admin;

/// The media type of the exposition.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers as long as the process can.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Answers 200 when requests can be decided and recorded, else 503 and why.
pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Result<&'static str, ApiError> {
    if *admin.stopping.borrow() {
        return Err(ApiError::unavailable("stopping", "the gateway is stopping"));
    }
    let audit = admin.audit.health();
    audit.map_err(|why| ApiError::unavailable("audit_unavailable", why.to_string()))?;
    let store = admin.grants.health();
    store.map_err(|why| ApiError::unavailable("store_unavailable", why.to_string()))?;
    Ok("ok\n")
}

/// The metrics.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    for (table, count) in admin.grants.held().by_table() {
        admin.metrics.entries(table, count);
    }
    (
        [(header::CONTENT_TYPE, OPENMETRICS)],
        admin.metrics.expose(),
    )
        .into_response()
}
