//! Grants: look at and take back.

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::Deserialize;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::requests::is_shown_to;
use super::state::Admin;
use super::views::{ClosedGrantView, GrantView, Page};
use crate::audit::{Record, RecordKind};
use crate::grants::GrantsError;
use crate::model::{EndReason, Grant, GrantId};
use crate::store::GrantFilter;

/// How many items a page has unless asked otherwise, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 500;

/// Which part of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Only those of this task.
    pub(super) task: Option<String>,
    /// Only those of this agent; for operators.
    pub(super) agent: Option<String>,
    /// Where the part starts: `next` of the one before.
    pub(super) cursor: Option<String>,
    /// How many, at most 500.
    #[param(value_type = Option<usize>, minimum = 1)]
    pub(super) limit: Option<NonZeroUsize>,
}

impl Paging {
    /// How many items the page has at most.
    pub(super) fn limit(&self) -> usize {
        self.limit.map_or(PAGE, NonZeroUsize::get).min(LARGEST_PAGE)
    }
}

/// Lists grants that are or were in force, newest first.
#[utoipa::path(get, path = "/v1/grants", operation_id = "list_grants",
    params(Paging), responses((status = 200, description = "A page of grants")))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Answer<Page<GrantView>>, ApiError> {
    let (grants, next) = page(&admin, &caller, &paging, true).await?;
    let items = grants.iter().map(|grant| view(&admin, grant)).collect();
    Ok(Answer(Page { items, next }))
}

/// Shows a grant.
#[utoipa::path(get, path = "/v1/grants/{id}", operation_id = "show_grant",
    responses((status = 200, body = GrantView, description = "The grant")))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<GrantView>, ApiError> {
    let grant = find(&admin, &caller, &id).await?;
    Ok(Answer(view(&admin, &grant)))
}

/// Takes a grant back: it is over when this answers, and every exchange under it is cut.
#[utoipa::path(post, path = "/v1/grants/{id}/revoke", operation_id = "revoke_grant",
    responses(
    (status = 200, body = ClosedGrantView, description = "It is over, and every exchange under it is cut")))]
pub(super) async fn revoke(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<ClosedGrantView>, ApiError> {
    let grant = find(&admin, &caller, &id).await?;
    if matches!(&caller, Caller::Person(person) if !person.is_operator()) {
        return Err(ApiError::forbidden("grants are taken back by operators"));
    }
    let place = admin.place_for_end()?;
    let request = &grant.request;
    let mut record = Record::new(RecordKind::Grant, admin.clock.wall());
    record.agent = Some(request.agent.clone());
    record.task = Some(request.task.clone());
    record.grant = Some(request.grant.clone());
    record.end = Some(EndReason::Revoked);
    if let Caller::Person(person) = &caller {
        record.person = Some(person.id().clone());
    }
    let ended = admin
        .grants
        .end_grant(&request.grant, EndReason::Revoked)
        .await;
    if let Err(error) = &ended {
        record.detail = Some(error.to_string());
    }
    place.write(record);
    match ended {
        Ok(closed) => {
            admin.end_is_recorded()?;
            Ok(Answer(ClosedGrantView::new(&closed)))
        }
        Err(GrantsError::GrantUnknown(id)) => Err(ApiError::conflict(format!(
            "grant `{id}` is not in force any more"
        ))),
        Err(error) => Err(error.into()),
    }
}

async fn find(admin: &Admin, caller: &Caller, id: &str) -> Result<Grant, ApiError> {
    let missing = || caller.missing("grant", id);
    let parsed: GrantId = id.parse().map_err(|_| missing())?;
    let found = admin.grants.find_grant(&parsed).await?;
    let grant = found.filter(|grant| grant.term().is_some());
    let grant = grant.ok_or_else(missing)?;
    if is_shown_to(admin, caller, &grant).await? {
        Ok(grant)
    } else {
        Err(missing())
    }
}

fn view(admin: &Admin, grant: &Grant) -> GrantView {
    let live = admin.grants.grant(&grant.request.grant);
    GrantView::new(grant, live.as_deref())
}

/// One page of what the caller may see. It can be shorter than asked for, or empty, and yet not the
/// last: a token for one task is not shown what lies beside it.
pub(super) async fn page(
    admin: &Admin,
    caller: &Caller,
    paging: &Paging,
    activated: bool,
) -> Result<(Vec<Grant>, Option<String>), ApiError> {
    let named = match &paging.agent {
        None => None,
        Some(agent) => Some(agent.parse().map_err(|_| no_such("agent"))?),
    };
    let agent = match caller {
        Caller::Agent(agent) => {
            if named.is_some_and(|named| named != *agent.id()) {
                return Err(ApiError::forbidden("an agent sees only its own"));
            }
            Some(agent.id().clone())
        }
        Caller::Person(person) if person.is_operator() => named,
        Caller::Person(_) => return Err(ApiError::forbidden("this is for operators")),
    };
    let task = match &paging.task {
        None => None,
        Some(task) => Some(task.parse().map_err(|_| no_such("task"))?),
    };
    let after = match &paging.cursor {
        None => None,
        Some(cursor) => Some(cursor.parse().map_err(|_| no_such("cursor"))?),
    };
    let filter = GrantFilter {
        agent,
        task,
        activated,
        after,
        limit: paging.limit(),
    };
    let page = admin.grants.list(filter).await?;
    let mut shown = Vec::with_capacity(page.grants.len());
    for grant in page.grants {
        if is_shown_to(admin, caller, &grant).await? {
            shown.push(grant);
        }
    }
    Ok((shown, page.next.map(|next| next.to_string())))
}

fn no_such(name: &str) -> ApiError {
    ApiError::malformed(format!("`{name}` is none"))
}
