//! The keys that sign tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tracing::error;

use super::caller::Operator;
use super::error::ApiError;
use super::state::Admin;
use crate::audit::{Record, RecordKind};
use crate::base::ErrorChain;

/// Makes a new key that signs tokens from now on. The one before verifies until no token of its is good.
#[utoipa::path(post, path = "/v1/keys/rotate", operation_id = "rotate_signing_key", responses(
    (status = 200, description = "The new key signs"),
    (status = 503, description = "The key can't be written; everything is as before")))]
pub(super) async fn rotate(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
) -> Result<Json<Value>, ApiError> {
    let place = admin.place()?;
    let authority = Arc::clone(&admin.authority);
    // Writes a file.
    let rotated = spawn_blocking(move || authority.rotate()).await;
    let stopped = |_| ApiError::unavailable("overloaded", "the gateway stops");
    let rotated = rotated.map_err(stopped)?;
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(operator.id().clone());
    record.detail = Some(match &rotated {
        Ok(rotation) => format!("signing key {} takes over", rotation.kid),
        Err(failure) => format!("no new signing key: {}", ErrorChain(failure)),
    });
    place.write(record);
    match rotated {
        Ok(rotation) => Ok(Json(json!({
            "kid": rotation.kid,
            "removed": rotation.removed,
        }))),
        Err(failure) => {
            error!(error = %ErrorChain(&failure), "the signing key can't be rotated");
            let detail = "the new signing key can't be written: the log says why";
            Err(ApiError::unavailable("keys_unavailable", detail))
        }
    }
}
