//! Agents as a whole: revoke, with everything of theirs, and restore.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde_json::{Value, json};

use super::caller::Operator;
use super::decisions::NoBody;
use super::error::ApiError;
use super::extract::Path;
use super::json::Json;
use super::state::Admin;
use super::views::ClosedGrantView;
use crate::audit::{Record, RecordKind};
use crate::model::{AgentId, EndReason};

/// Revokes an agent: it is refused, and everything of it is over when this answers.
#[utoipa::path(post, path = "/v1/agents/{id}/revoke", operation_id = "revoke_agent",
    responses((status = 200, description = "All that the agent had is over")))]
pub(super) async fn revoke(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<Answer<Value>, ApiError> {
    let agent = named(&admin, &id)?;
    let place = admin.place_for_end()?;
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(operator.id().clone());
    record.agent = Some(agent.clone());
    record.end = Some(EndReason::AgentRevoked);
    let revoked = admin.grants.revoke_agent(&agent).await;
    record.detail = Some(match &revoked {
        Ok(revoked) => format!("revoked, with {} tasks", revoked.tasks),
        Err(error) => format!("revoked in memory: {error}"),
    });
    place.write(record);
    let revoked = revoked?;
    admin.end_is_recorded()?;
    let grants = revoked.receipt.grants.iter().map(ClosedGrantView::new);
    let grants: Vec<ClosedGrantView> = grants.collect();
    Ok(Answer(json!({
        "agent": agent.as_str(),
        "state": "revoked",
        "tasks": revoked.tasks,
        "grants": grants,
    })))
}

/// Lets a revoked agent begin anew. Nothing that ended comes back.
#[utoipa::path(post, path = "/v1/agents/{id}/restore", operation_id = "restore_agent",
    responses((status = 200, description = "The agent gets tokens again")))]
pub(super) async fn restore(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<Answer<Value>, ApiError> {
    let agent = named(&admin, &id)?;
    let place = admin.place()?;
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(operator.id().clone());
    record.agent = Some(agent.clone());
    let restored = admin.grants.restore_agent(&agent).await;
    record.detail = Some(match &restored {
        Ok(()) => "restored".to_owned(),
        Err(error) => format!("restore refused: {error}"),
    });
    place.write(record);
    restored?;
    Ok(Answer(
        json!({ "agent": agent.as_str(), "state": "enrolled" }),
    ))
}

/// An agent that is enrolled, or that was and is revoked.
pub(super) fn named(admin: &Admin, id: &str) -> Result<AgentId, ApiError> {
    let missing = || ApiError::not_found(format!("there is no agent `{id}`"));
    let agent: AgentId = id.parse().map_err(|_| missing())?;
    let enrolled = admin.snapshot.current().agent(id).is_some();
    let known = enrolled || admin.grants.is_revoked(&agent);
    known.then_some(agent).ok_or_else(missing)
}
