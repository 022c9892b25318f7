//! Requests for grants.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::caller::{AgentCaller, Caller};
use super::error::ApiError;
use super::extract::{Path, Query};
use super::grants::{Paging, page};
use super::json::Json;
use super::state::Admin;
use super::views::{Page, RequestView};
use crate::access::{Ask, Asker, Identity, Outcome, People};
use crate::grants::GrantsError;
use crate::model::{Grant, RequestId, TaskId};

/// A request for a grant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// The open task that the grant is for.
    task: String,
    /// The entitlement.
    entitlement: String,
    /// Why.
    reason: Option<String>,
    /// For how long; at most the entitlement's `max_ttl`.
    duration_seconds: Option<i64>,
    /// Inputs that calls will have to agree with.
    #[schema(value_type = Option<Object>)]
    input: Option<Map<String, Value>>,
}

/// Asks for a grant.
#[utoipa::path(post, path = "/v1/requests", request_body = CreateBody, responses(
    (status = 201, body = RequestView, description = "The grant is in force"),
    (status = 202, body = RequestView, description = "People have to agree first"),
    (status = 403, description = "A rule says no; nothing was created")))]
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    caller: AgentCaller,
    Json(body): Json<CreateBody>,
) -> Result<Response, ApiError> {
    let now = admin.clock.now();
    let identity = caller.identity(&admin, now)?;
    let identity = for_task(&admin, &caller, identity, &body.task).await?;
    let times = (now, admin.clock.wall());
    let asker = Asker::new(&caller.snapshot, &identity, caller.source, times);
    let ask = Ask {
        entitlement: body.entitlement,
        reason: body.reason,
        duration_seconds: body.duration_seconds,
        input: body.input,
    };
    let (status, grant) = match admin.requests.submit(&asker, ask).await? {
        Outcome::Granted(granted) => (StatusCode::CREATED, granted.grant.record()),
        Outcome::Pending { request, .. } => (StatusCode::ACCEPTED, request.record()),
    };
    let location = format!("/v1/requests/{}", grant.request.id);
    let mut response = (status, Answer(RequestView::new(&grant))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The identity for the task that the body names: the token's own, or any of the agent's that its token
/// reaches.
async fn for_task(
    admin: &Admin,
    caller: &AgentCaller,
    identity: Identity,
    named: &str,
) -> Result<Identity, ApiError> {
    let missing = || ApiError::not_found(format!("no open task `{named}` of yours"));
    let id: TaskId = named.parse().map_err(|_| missing())?;
    let live = admin.grants.task(&id).ok_or_else(missing)?;
    let own = live.task().agent == *caller.id();
    if !own || !caller.reaches(admin, live.task()).await? {
        return Err(missing());
    }
    Ok(Identity {
        task: Some(live),
        ..identity
    })
}

/// Lists requests, newest first.
#[utoipa::path(get, path = "/v1/requests", params(Paging), responses((status = 200)))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Answer<Page<RequestView>>, ApiError> {
    let (grants, next) = page(&admin, &caller, &paging, false).await?;
    let items = grants.iter().map(RequestView::new).collect();
    Ok(Answer(Page { items, next }))
}

/// Shows a request.
#[utoipa::path(get, path = "/v1/requests/{id}", responses((status = 200, body = RequestView)))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<RequestView>, ApiError> {
    let missing = || ApiError::not_found(format!("no request `{id}` of yours"));
    let id: RequestId = id.parse().map_err(|_| missing())?;
    let stored = admin.grants.store().request(&id).await;
    let stored = stored.map_err(GrantsError::from)?;
    let grant = stored.ok_or_else(missing)?;
    if !is_shown_to(&admin, &caller, &grant).await? {
        return Err(missing());
    }
    Ok(Answer(RequestView::new(&grant)))
}

/// An agent is shown what its token reaches; an operator all.
pub(super) async fn is_shown_to(
    admin: &Admin,
    caller: &Caller,
    grant: &Grant,
) -> Result<bool, ApiError> {
    match caller {
        Caller::Agent(agent) => agent.reaches_grant(admin, grant).await,
        Caller::Person(person) => Ok(People::is_operator(person)),
    }
}
