//! The live configuration: where it stands, and looking at the files now.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::caller::Operator;
use super::error::ApiError;
use super::json::Json;
use super::state::Admin;
use crate::access::ShadowWish;
use crate::audit::{Record, RecordKind};
use crate::config::Outcome;
use crate::model::Generation;

/// Shows the live generation, and why the files as they are now are not live, if they are not.
#[utoipa::path(get, path = "/v1/policies", operation_id = "show_policies",
    responses((status = 200, description = "What is live, and what was refused last")))]
pub(super) async fn status(State(admin): State<Arc<Admin>>, _operator: Operator) -> Answer<Value> {
    Answer(view(&admin))
}

/// What a look at the files is for.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReloadBody {
    /// The generation that is held: where the files are this one, they go live.
    accept: Option<String>,
    /// Why, for the record.
    reason: Option<String>,
}

/// Looks at the files now. The answer tells what became of it.
#[utoipa::path(post, path = "/v1/policies/reload", operation_id = "reload_policies",
    request_body = ReloadBody, responses(
    (status = 200, description = "Live, or unchanged"),
    (status = 409, description = "Refused, or held; the last good generation keeps serving")))]
pub(super) async fn reload(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
    Json(body): Json<ReloadBody>,
) -> Result<(http::StatusCode, Answer<Value>), ApiError> {
    let place = admin.place()?;
    let accept = body.accept.as_deref().map(|text| {
        let detail = "`accept` is the generation that is held";
        Generation::from_hex(text).ok_or_else(|| ApiError::malformed(detail))
    });
    let accept = accept.transpose()?;
    let outcome = match accept.clone() {
        Some(generation) => admin.reloader.accept(generation).await,
        None => admin.reloader.reload().await,
    };
    let outcome =
        outcome.map_err(|stopped| ApiError::unavailable("overloaded", stopped.to_string()))?;
    let (code, outcome) = match outcome {
        Outcome::Held(_) => (http::StatusCode::CONFLICT, "held"),
        Outcome::Published(_) => (http::StatusCode::OK, "published"),
        Outcome::Refused(_) => (http::StatusCode::CONFLICT, "refused"),
        Outcome::Unchanged => (http::StatusCode::OK, "unchanged"),
    };
    // The candidate is another matter, and looked at all the same.
    if let Ok(looked) = admin.shadows.wish(None) {
        let _ = looked.await;
    }
    let status = admin.reloader.status();
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(operator.id().clone());
    record.generation = Some(status.generation.clone());
    let accepted = accept.map(|generation| format!(", accepting {generation}"));
    let reason = body.reason.map(|reason| format!(": {reason}"));
    record.detail = Some(format!(
        "policy reload: {outcome}{}{}",
        accepted.unwrap_or_default(),
        reason.unwrap_or_default()
    ));
    place.write(record);
    let mut answer = view(&admin);
    if let Some(members) = answer.as_object_mut() {
        members.insert("outcome".to_owned(), json!(outcome));
    }
    Ok((code, Answer(answer)))
}

/// Tells what the files as they are now, or those in `<directory>.candidate`, would change. Nothing goes
/// live by it.
#[utoipa::path(post, path = "/v1/policies/diff", operation_id = "diff_policies", responses(
    (status = 200, description = "Who gains and who loses"),
    (status = 422, description = "The candidate can't be used")))]
pub(super) async fn diff(
    State(admin): State<Arc<Admin>>,
    _operator: Operator,
) -> Result<(http::StatusCode, Answer<Value>), ApiError> {
    let Ok(_turn) = admin.comparing.try_acquire() else {
        let detail = "another comparison runs: come again when it is done";
        return Err(ApiError::unavailable("overloaded", detail).retry_after(1));
    };
    // What was decided before this call was asked is looked at. Where it can't be written there is still
    // the rest.
    let _ = admin.audit.flush().await;
    let compares = Arc::clone(&admin.compares);
    let compared = spawn_blocking(move || compares.compare()).await;
    let broken = |_| ApiError::unavailable("overloaded", "the comparison broke off");
    Ok(match compared.map_err(broken)? {
        Ok(differences) => (http::StatusCode::OK, Answer(differences)),
        Err(diagnostics) => {
            let document = unusable(&json!(diagnostics));
            (http::StatusCode::UNPROCESSABLE_ENTITY, Answer(document))
        }
    })
}

fn unusable(diagnostics: &Value) -> Value {
    json!({
        "code": "policies_refused",
        "detail": "the candidate can't be used",
        "diagnostics": diagnostics,
    })
}

/// Which candidate is asked beside the live policies.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ShadowBody {
    /// A directory on the gateway's machine, beside the live policies.
    directory: Option<String>,
    /// Ask none.
    stop: bool,
}

/// Asks a candidate beside the live policies, on real traffic and after the fact, or stops to. Nothing goes
/// live by it.
#[utoipa::path(post, path = "/v1/policies/shadow", operation_id = "shadow_policies",
    request_body = ShadowBody, responses(
    (status = 200, description = "The candidate is asked, or none is"),
    (status = 400, description = "There can be no candidate in that directory"),
    (status = 422, description = "The candidate can't be used")))]
pub(super) async fn shadow(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
    Json(body): Json<ShadowBody>,
) -> Result<(http::StatusCode, Answer<Value>), ApiError> {
    let (wish, detail) = match (body.directory, body.stop) {
        (Some(directory), false) => {
            let detail = format!("policy shadow: {directory}");
            (ShadowWish::Directory(directory.into()), detail)
        }
        (None, true) => (ShadowWish::Stop, "policy shadow: stopped".to_owned()),
        _ => return Err(ApiError::malformed("name a `directory`, or say `stop`")),
    };
    let place = admin.place()?;
    let looked = admin.shadows.wish(Some(wish));
    let looked = looked.map_err(ApiError::malformed)?;
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(operator.id().clone());
    record.generation = Some(admin.reloader.status().generation);
    record.detail = Some(detail);
    place.write(record);
    let gone = |_| ApiError::unavailable("overloaded", "the candidate's files are not looked at");
    looked.await.map_err(gone)?;
    let shadow = admin.shadows.view();
    let diagnostics = shadow.pointer("/refused/diagnostics").cloned();
    let Some(diagnostics) = diagnostics else {
        let answer = json!({ "shadow": shadow });
        return Ok((http::StatusCode::OK, Answer(answer)));
    };
    let document = unusable(&diagnostics);
    Ok((http::StatusCode::UNPROCESSABLE_ENTITY, Answer(document)))
}

fn view(admin: &Admin) -> Value {
    let status = admin.reloader.status();
    let refused = status.last_refused.as_ref().map(|refused| {
        json!({
            "at": refused.at.to_string(),
            "diagnostics": *refused.diagnostics,
        })
    });
    let held = status.held.as_ref().map(|held| {
        json!({
            "generation": held.generation.as_str(),
            "at": held.at.to_string(),
            "reasons": *held.reasons,
        })
    });
    json!({
        "generation": status.generation.as_str(),
        "since": status.since.to_string(),
        "rules": status.rules,
        "warnings": *status.warnings,
        "last_refused": refused,
        "held": held,
        "being_written": *admin.reloader.being_written().borrow(),
        "shadow": admin.shadows.view(),
        "cedar": admin.shadows.checks(),
    })
}
