//! What agents do with their grants: renew them, and hand a part down.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::caller::AgentCaller;
use super::error::ApiError;
use super::extract::Path;
use super::json::Json;
use super::state::Admin;
use super::views::GrantView;
use crate::access::{Asker, Identity, Part};
use crate::grants::LiveGrant;
use crate::model::{GrantId, TaskId};

/// A renewal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenewBody {
    /// How long from now; as long as was asked for, where absent.
    duration_seconds: Option<i64>,
}

/// A part of a grant, and who receives it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DelegateBody {
    /// The receiving agent: that of the task.
    agent: Option<String>,
    /// The receiving task: one's own, or one that the caller has opened.
    task: String,
    /// Some of the grant's operations; all where absent.
    operations: Option<Vec<String>>,
    /// How long from now; as long as the grant where absent.
    duration_seconds: Option<i64>,
    /// A share of its calls. Has to be said where they are limited.
    max_calls: Option<u64>,
    /// A share of its bytes. Has to be said where they are limited.
    max_bytes: Option<u64>,
    /// Why.
    reason: Option<String>,
}

/// Moves the end of a grant, never past its entitlement's `max_ttl` from its first activation.
#[utoipa::path(post, path = "/v1/grants/{id}/renew", operation_id = "renew_grant",
    request_body = RenewBody, responses(
    (status = 200, body = GrantView, description = "It ends later"),
    (status = 409, description = "It is over, or ends as late as it may")))]
pub(super) async fn renew(
    State(admin): State<Arc<Admin>>,
    caller: AgentCaller,
    Path(id): Path<String>,
    Json(body): Json<RenewBody>,
) -> Result<Answer<GrantView>, ApiError> {
    let (live, identity) = own(&admin, &caller, &id).await?;
    let times = admin.clock.times();
    let asker = Asker::new(
        &caller.snapshot,
        &identity,
        caller.source,
        times,
        admin.grants.signals(),
    );
    let renewed = admin
        .requests
        .renew(&asker, &live, body.duration_seconds)
        .await?;
    Ok(Answer(GrantView::new(&renewed, Some(&live))))
}

/// Hands a part of a grant down to a task below. It ends with the grant at the latest.
#[utoipa::path(post, path = "/v1/grants/{id}/delegate", operation_id = "delegate_grant",
    request_body = DelegateBody, responses(
    (status = 201, body = GrantView, description = "The part is in force"),
    (status = 400, description = "The part would be wider than the grant"),
    (status = 403, description = "The receiver may not have it")))]
pub(super) async fn delegate(
    State(admin): State<Arc<Admin>>,
    caller: AgentCaller,
    Path(id): Path<String>,
    Json(body): Json<DelegateBody>,
) -> Result<Response, ApiError> {
    let (live, identity) = own(&admin, &caller, &id).await?;
    let named = body.task.as_str();
    let missing = || ApiError::not_found(format!("no open task `{named}` of yours"));
    let task: TaskId = named.parse().map_err(|_| missing())?;
    let task = admin.grants.task(&task).ok_or_else(missing)?;
    if !caller.reaches(&admin, task.task()).await? {
        return Err(missing());
    }
    let receiver = &task.task().agent;
    if body.agent.is_some_and(|agent| agent != receiver.as_str()) {
        let detail = format!("task `{named}` is another agent's than `agent`");
        return Err(ApiError::malformed(detail));
    }
    let receiver = caller.snapshot.agent(receiver.as_str());
    let receiver = receiver.ok_or_else(missing)?;
    let times = admin.clock.times();
    let asker = Asker::new(
        &caller.snapshot,
        &identity,
        caller.source,
        times,
        admin.grants.signals(),
    );
    let part = Part {
        operations: body.operations,
        duration_seconds: body.duration_seconds,
        max_calls: body.max_calls,
        max_bytes: body.max_bytes,
        reason: body.reason,
    };
    let part = admin
        .requests
        .delegate(&asker, &live, (receiver, &task), part)
        .await?;
    let view = GrantView::new(&part.record(), Some(&part));
    let mut response = (StatusCode::CREATED, Answer(view)).into_response();
    let location = format!("/v1/grants/{}", part.request().grant);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A live grant of the caller's, and the caller as what the grant's task works on.
async fn own(
    admin: &Admin,
    caller: &AgentCaller,
    id: &str,
) -> Result<(Arc<LiveGrant>, Identity), ApiError> {
    let missing = || ApiError::not_found(format!("no grant `{id}` of yours"));
    let parsed: GrantId = id.parse().map_err(|_| missing())?;
    let stored = admin.grants.store().grant(&parsed).await;
    let stored = stored.map_err(crate::grants::GrantsError::from)?;
    let stored = stored.filter(|grant| grant.term().is_some());
    let stored = stored.ok_or_else(missing)?;
    if !caller.reaches_grant(admin, &stored).await? {
        return Err(missing());
    }
    let over = || ApiError::conflict(format!("grant `{id}` is not in force any more"));
    let live = admin.grants.grant(&parsed).ok_or_else(over)?;
    let task = admin.grants.task(&live.request().task).ok_or_else(over)?;
    let identity = caller.identity(admin, admin.clock.now())?;
    let task = Some(task);
    Ok((live, Identity { task, ..identity }))
}
