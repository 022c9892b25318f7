//! The live configuration: where it stands, and looking at the files now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::caller::Operator;
use super::error::ApiError;
use super::state::Admin;
use crate::audit::{Record, RecordKind};
use crate::config::{Outcome, Status};

/// Shows the live generation, and why the files as they are now are not live, if they are not.
#[utoipa::path(get, path = "/v1/policies", responses((status = 200)))]
pub(super) async fn status(State(admin): State<Arc<Admin>>, _operator: Operator) -> Json<Value> {
    Json(view(&admin.reloader.status()))
}

/// Looks at the files now. The answer tells what became of it.
#[utoipa::path(post, path = "/v1/policies/reload", responses(
    (status = 200, description = "Live, or unchanged"),
    (status = 409, description = "Refused; the last good generation keeps serving")))]
pub(super) async fn reload(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
) -> Result<(http::StatusCode, Json<Value>), ApiError> {
    let place = admin.place()?;
    let outcome = admin.reloader.reload().await;
    let outcome =
        outcome.map_err(|stopped| ApiError::unavailable("overloaded", stopped.to_string()))?;
    let (code, outcome) = match outcome {
        Outcome::Published(_) => (http::StatusCode::OK, "published"),
        Outcome::Refused(_) => (http::StatusCode::CONFLICT, "refused"),
        Outcome::Unchanged => (http::StatusCode::OK, "unchanged"),
    };
    let status = admin.reloader.status();
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(operator.id().clone());
    record.generation = Some(status.generation.clone());
    record.detail = Some(format!("policy reload: {outcome}"));
    place.write(record);
    let mut body = view(&status);
    if let Some(members) = body.as_object_mut() {
        members.insert("outcome".to_owned(), json!(outcome));
    }
    Ok((code, Json(body)))
}

fn view(status: &Status) -> Value {
    let refused = status.last_refused.as_ref().map(|refused| {
        json!({
            "at": refused.at.to_string(),
            "diagnostics": *refused.diagnostics,
        })
    });
    json!({
        "generation": status.generation.as_str(),
        "since": status.since.to_string(),
        "rules": status.rules,
        "warnings": *status.warnings,
        "last_refused": refused,
    })
}
