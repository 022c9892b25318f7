//! Requests for grants.

use std::num::NonZeroUsize;
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
use super::wait::{Waiting, Watching};
use crate::access::{Ask, Asker, DETAILS_TYPE, Identity, Known, Outcome};
use crate::model::{Grant, RequestId, TaskId};

/// A request for a grant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// `portcullis_grant`, if anything: so an entry of `authorization_details` is a body, too.
    r#type: Option<String>,
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
#[utoipa::path(post, path = "/v1/requests", operation_id = "create_request", request_body = CreateBody, responses(
    (status = 201, body = RequestView, description = "The grant is in force"),
    (status = 202, body = RequestView, description = "People have to agree first"),
    (status = 401, description = "A rule demands another token or a proof; nothing was created"),
    (status = 403, description = "A rule says no; nothing was created")))]
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    caller: AgentCaller,
    Json(body): Json<CreateBody>,
) -> Result<Response, ApiError> {
    if let Some(other) = body.r#type.filter(|one| one != DETAILS_TYPE) {
        let detail = format!("the type `{other}` is not known here, only `{DETAILS_TYPE}`");
        return Err(ApiError::malformed(detail));
    }
    let now = admin.clock.now();
    let identity = caller.identity(&admin, now)?;
    let identity = for_task(&admin, &caller, identity, &body.task).await?;
    let times = (now, admin.clock.wall());
    let asker = Asker::new(
        &caller.snapshot,
        &identity,
        caller.source,
        times,
        admin.grants.signals(),
    );
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

/// Which requests are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// `pending`: only those that wait for people.
    state: Option<String>,
    /// Only those of this task.
    task: Option<String>,
    /// Only those of this agent; for operators.
    agent: Option<String>,
    /// Where the part starts: `next` of the one before.
    cursor: Option<String>,
    /// How many, at most 500.
    #[param(value_type = Option<usize>, minimum = 1)]
    limit: Option<NonZeroUsize>,
    /// Where nothing is on the list: how long to wait for something, such as `30s`; at most a minute.
    wait: Option<String>,
}

/// Lists requests, newest first: to an agent its own, to an operator all, to others those that wait for
/// their approval.
#[utoipa::path(get, path = "/v1/requests", operation_id = "list_requests",
    params(Listing), responses((status = 200, description = "A page of requests")))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<RequestView>>, ApiError> {
    let Listing {
        state,
        task,
        agent,
        cursor,
        limit,
        wait,
    } = listing;
    let paging = Paging {
        task,
        agent,
        cursor,
        limit,
    };
    let only_pending = match state.as_deref() {
        None => matches!(&caller, Caller::Person(person) if !person.is_operator()),
        Some("pending") => true,
        Some(_) => return Err(ApiError::malformed("`state` can only be `pending`")),
    };
    let mut watching = Watching::begin(&admin, wait.as_deref())?;
    let (grants, next) = loop {
        let found = if only_pending {
            pending(&admin, &caller, &paging).await?
        } else {
            page(&admin, &caller, &paging, false).await?
        };
        let again = match &mut watching {
            Some(watching) if found.0.is_empty() => watching.again().await,
            Some(_) | None => false,
        };
        if !again {
            break found;
        }
    };
    let items = grants.iter().map(RequestView::new).collect();
    Ok(Answer(Page { items, next }))
}

/// One page of the requests that wait and that the caller may see. The cursor is the id of the last.
async fn pending(
    admin: &Admin,
    caller: &Caller,
    paging: &Paging,
) -> Result<(Vec<Grant>, Option<String>), ApiError> {
    let now = admin.clock.now();
    let is = |wanted: &Option<String>, value: &str| {
        wanted.as_ref().is_none_or(|wanted| *wanted == value)
    };
    let waiting = admin.grants.all_pending(|one| {
        let request = one.request();
        now < one.until()
            && is(&paging.task, request.task.as_str())
            && is(&paging.agent, request.agent.as_str())
    });
    let mut grants = Vec::new();
    for grant in waiting.iter().map(|one| one.record()) {
        if is_shown_to(admin, caller, &grant).await? {
            grants.push(grant);
        }
    }
    let place = |grant: &Grant| {
        let request = &grant.request;
        (request.requested_at, request.id.clone())
    };
    grants.sort_by_key(|grant| std::cmp::Reverse(place(grant)));
    if let Some(cursor) = &paging.cursor {
        let last = grants
            .iter()
            .position(|grant| grant.request.id.as_str() == cursor);
        let last = last.ok_or_else(|| ApiError::malformed("`cursor` is none any more"))?;
        grants.drain(..=last);
    }
    let limit = paging.limit();
    let more = grants.len() > limit;
    grants.truncate(limit);
    let last = grants.last().map(|grant| grant.request.id.to_string());
    Ok((grants, last.filter(|_| more)))
}

/// Shows a request. With `wait`, such as `30s`, the answer comes when it is decided, or after that time.
#[utoipa::path(get, path = "/v1/requests/{id}", operation_id = "show_request",
    params(Waiting), responses((status = 200, body = RequestView, description = "The request")))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(waiting): Query<Waiting>,
) -> Result<Answer<RequestView>, ApiError> {
    let grant = find(&admin, &caller, &id).await?;
    if !waiting.until_decided(&admin, &caller, &grant).await? {
        return Ok(Answer(RequestView::new(&grant)));
    }
    let grant = find(&admin, &caller, &id).await?;
    Ok(Answer(RequestView::new(&grant)))
}

/// A request that the caller may see. What is another's looks like what is not there.
pub(super) async fn find(admin: &Admin, caller: &Caller, id: &str) -> Result<Grant, ApiError> {
    let missing = || caller.missing("request", id);
    let id: RequestId = id.parse().map_err(|_| missing())?;
    let found = admin.grants.find_request(&id).await?;
    let grant = found.ok_or_else(missing)?;
    if !is_shown_to(admin, caller, &grant).await? {
        return Err(missing());
    }
    Ok(grant)
}

/// An agent is shown what its token reaches; an operator all; others what they are asked to approve, or
/// were.
pub(super) async fn is_shown_to(
    admin: &Admin,
    caller: &Caller,
    grant: &Grant,
) -> Result<bool, ApiError> {
    match caller {
        Caller::Agent(agent) => agent.reaches_grant(admin, grant).await,
        Caller::Person(known) => Ok(known.is_operator() || is_asked(known, grant)),
    }
}

/// Whether a person is one of those whose approval a request needs.
pub(super) fn is_asked(known: &Known, grant: &Grant) -> bool {
    let rule = grant.request.right.approval.as_ref();
    rule.is_some_and(|rule| known.person.groups.contains(&rule.group))
}
