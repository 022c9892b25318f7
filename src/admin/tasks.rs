//! Tasks: open, keep alive, end, look at.

use std::sync::Arc;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::caller::{AgentCaller, Caller};
use super::error::ApiError;
use super::extract::Path;
use super::json::Json;
use super::state::Admin;
use super::views::{ReceiptView, TaskView};
use crate::access::Known;
use crate::audit::{Record, RecordKind};
use crate::grants::OpenTask;
use crate::model::{AgentId, EndReason, Task, TaskId};

/// The longest kind and description, in characters.
const LONGEST_KIND: usize = 64;
const LONGEST_DESCRIPTION: usize = 1000;

/// A task to open.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenBody {
    /// Its id; made up where absent. An id is never used twice.
    id: Option<String>,
    /// The agent that will work on it: another than the caller only where its `may_open_for` says so.
    agent: Option<String>,
    /// What kind of work it is.
    kind: Option<String>,
    /// What it is about.
    description: Option<String>,
    /// The open task that it is a span of.
    parent: Option<String>,
    /// How long it lives without a sign of life.
    lease_seconds: Option<i64>,
}

/// Opens a task.
#[utoipa::path(post, path = "/v1/tasks", operation_id = "open_task", request_body = OpenBody, responses(
    (status = 201, body = TaskView, description = "The task is open"),
    (status = 409, description = "The id was used before")))]
pub(super) async fn open(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Json(body): Json<OpenBody>,
) -> Result<Response, ApiError> {
    let open = match &caller {
        Caller::Agent(agent) => by_agent(&admin, agent, body).await?,
        Caller::Person(person) => by_person(&admin, person, body)?,
    };
    let place = admin.place()?;
    let opened_by = open.opened_by.clone();
    let opened = admin.grants.open_task(open).await;
    let mut record = Record::new(RecordKind::Task, admin.clock.wall());
    record.person = person_id(&caller);
    match opened {
        Ok(live) => {
            let task = live.task();
            record.agent = Some(task.agent.clone());
            record.task = Some(task.id.clone());
            record.detail = Some(format!("opened by {opened_by}"));
            place.write(record);
            let view = view(&admin, task);
            let location = format!("/v1/tasks/{}", task.id);
            let mut response = (StatusCode::CREATED, Answer(view)).into_response();
            if let Ok(location) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
        Err(error) => {
            record.detail = Some(error.to_string());
            place.write(record);
            Err(error.into())
        }
    }
}

/// Shows a task.
#[utoipa::path(get, path = "/v1/tasks/{id}", operation_id = "show_task",
    responses((status = 200, body = TaskView, description = "The task")))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<TaskView>, ApiError> {
    let task = reached(&admin, &caller, &id).await?;
    Ok(Answer(view(&admin, &task)))
}

/// A sign of life.
#[utoipa::path(post, path = "/v1/tasks/{id}/heartbeat", operation_id = "renew_lease",
    responses((status = 200, body = TaskView, description = "The lease is renewed")))]
pub(super) async fn heartbeat(
    State(admin): State<Arc<Admin>>,
    caller: AgentCaller,
    Path(id): Path<String>,
) -> Result<Answer<TaskView>, ApiError> {
    let caller = Caller::Agent(caller);
    let task = reached(&admin, &caller, &id).await?;
    let now = admin.clock.now();
    let live = admin.grants.task(&task.id);
    let live = live.filter(|live| live.ended(now).is_none());
    let live = live.ok_or_else(|| ApiError::conflict(format!("task `{id}` has ended")))?;
    live.renew(now);
    Ok(Answer(view(&admin, live.task())))
}

/// Ends a task that is done.
#[utoipa::path(post, path = "/v1/tasks/{id}/complete", operation_id = "complete_task",
    responses((status = 200, body = ReceiptView, description = "It has ended; this is the receipt")))]
pub(super) async fn complete(
    state: State<Arc<Admin>>,
    caller: Caller,
    id: Path<String>,
) -> Result<Answer<ReceiptView>, ApiError> {
    end(state, caller, id, EndReason::Completed).await
}

/// Ends a task that did not succeed.
#[utoipa::path(post, path = "/v1/tasks/{id}/fail", operation_id = "fail_task",
    responses((status = 200, body = ReceiptView, description = "It has ended; this is the receipt")))]
pub(super) async fn fail(
    state: State<Arc<Admin>>,
    caller: Caller,
    id: Path<String>,
) -> Result<Answer<ReceiptView>, ApiError> {
    end(state, caller, id, EndReason::Failed).await
}

/// Gives a task up.
#[utoipa::path(post, path = "/v1/tasks/{id}/cancel", operation_id = "cancel_task",
    responses((status = 200, body = ReceiptView, description = "It has ended; this is the receipt")))]
pub(super) async fn cancel(
    state: State<Arc<Admin>>,
    caller: Caller,
    id: Path<String>,
) -> Result<Answer<ReceiptView>, ApiError> {
    end(state, caller, id, EndReason::Cancelled).await
}

async fn end(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Path(id): Path<String>,
    reason: EndReason,
) -> Result<Answer<ReceiptView>, ApiError> {
    let task = reached(&admin, &caller, &id).await?;
    let place = admin.place_for_end()?;
    let mut record = Record::new(RecordKind::Task, admin.clock.wall());
    record.agent = Some(task.agent.clone());
    record.person = person_id(&caller);
    record.task = Some(task.id.clone());
    record.end = Some(reason);
    let ended = admin.grants.end_task(&task.id, reason).await;
    if let Err(error) = &ended {
        record.detail = Some(error.to_string());
    }
    place.write(record);
    let ending = ended?;
    admin.end_is_recorded()?;
    Ok(Answer(ReceiptView::new(&ending.task, &ending.receipt)))
}

/// A task that the caller may see and end. What is another's looks like what is not there.
async fn reached(admin: &Admin, caller: &Caller, id: &str) -> Result<Task, ApiError> {
    let missing = || caller.missing("task", id);
    let id: TaskId = id.parse().map_err(|_| missing())?;
    let Some(task) = admin.grants.find_task(&id).await? else {
        let operator = matches!(caller, Caller::Person(known) if known.is_operator());
        if operator && admin.grants.was_forgotten(&id).await? {
            let detail =
                format!("task `{id}` has ended and is not kept any longer: the audit log knows it");
            return Err(ApiError::not_found(detail));
        }
        return Err(missing());
    };
    let reached = match caller {
        Caller::Agent(agent) => agent.reaches(admin, &task).await?,
        Caller::Person(person) => is_of(person, &task),
    };
    if reached { Ok(task) } else { Err(missing()) }
}

async fn by_agent(
    admin: &Admin,
    caller: &AgentCaller,
    body: OpenBody,
) -> Result<OpenTask, ApiError> {
    let agent = match &body.agent {
        None => caller.id().clone(),
        Some(named) if named == caller.id().as_str() => caller.id().clone(),
        Some(named) => {
            let other = named.parse::<AgentId>().ok();
            let may = |id: &AgentId| caller.agent.agent.may_open_for.contains(id);
            let other = other.filter(may).ok_or_else(|| {
                ApiError::forbidden(format!("this agent may not open tasks for `{named}`"))
            })?;
            enrolled(admin, &other)?;
            other
        }
    };
    // An open task's token opens spans of it; one whose task has ended opens nothing.
    caller.identity(admin, admin.clock.now())?;
    let open = draft(body, agent, caller.id().to_string())?;
    if let Some(parent) = &open.parent {
        reached_parent(admin, caller, parent).await?;
    }
    Ok(open)
}

async fn reached_parent(
    admin: &Admin,
    caller: &AgentCaller,
    parent: &TaskId,
) -> Result<(), ApiError> {
    let missing = || ApiError::not_found(format!("no task `{parent}` of yours"));
    let live = admin.grants.task(parent).ok_or_else(missing)?;
    if caller.reaches(admin, live.task()).await? {
        Ok(())
    } else {
        Err(missing())
    }
}

fn by_person(admin: &Admin, person: &Known, body: OpenBody) -> Result<OpenTask, ApiError> {
    let named = body.agent.as_deref();
    let named = named.ok_or_else(|| ApiError::malformed("say which `agent` the task is for"))?;
    let agent = named.parse::<AgentId>();
    let agent = agent.map_err(|error| ApiError::malformed(format!("`agent`: {error}")))?;
    enrolled(admin, &agent)?;
    let open = draft(body, agent, person.id().to_string())?;
    if let Some(parent) = &open.parent {
        let live = admin.grants.task(parent);
        if !live.is_some_and(|live| is_of(person, live.task())) {
            let detail = format!("no task `{parent}` of yours");
            return Err(ApiError::not_found(detail));
        }
    }
    Ok(open)
}

/// Whether a person has to do with a task: has opened it, or operates the gateway.
fn is_of(person: &Known, task: &Task) -> bool {
    person.is_operator() || task.opened_by == person.id().as_str()
}

fn enrolled(admin: &Admin, agent: &AgentId) -> Result<(), ApiError> {
    let snapshot = admin.snapshot.current();
    let found = snapshot.agent(agent.as_str());
    let missing = || ApiError::malformed(format!("there is no agent `{agent}`"));
    found.map(|_| ()).ok_or_else(missing)
}

fn draft(body: OpenBody, agent: AgentId, opened_by: String) -> Result<OpenTask, ApiError> {
    let id = |name: &str, text: Option<String>| {
        let parsed = text.map(|text| text.parse::<TaskId>()).transpose();
        parsed.map_err(|error| ApiError::malformed(format!("`{name}`: {error}")))
    };
    let short = |name: &str, text: Option<String>, most: usize| match text {
        Some(text) if text.chars().count() > most => {
            let detail = format!("`{name}` has at most {most} characters");
            Err(ApiError::malformed(detail))
        }
        text => Ok(text),
    };
    let lease = match body.lease_seconds {
        None => None,
        Some(seconds @ 1..) => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(_) => {
            let detail = "`lease_seconds` is a positive whole number";
            return Err(ApiError::malformed(detail));
        }
    };
    Ok(OpenTask {
        id: id("id", body.id)?,
        agent,
        kind: short("kind", body.kind, LONGEST_KIND)?,
        description: short("description", body.description, LONGEST_DESCRIPTION)?,
        parent: id("parent", body.parent)?,
        opened_by,
        lease,
    })
}

fn view(admin: &Admin, task: &Task) -> TaskView {
    let live = admin.grants.task(&task.id).filter(|_| task.is_open());
    let lapses = live.as_ref().map(|live| {
        let left = live.lapses().min(live.oldest()) - admin.clock.now();
        let at = admin.clock.wall().checked_add(left);
        at.unwrap_or(jiff::Timestamp::MAX)
    });
    TaskView::new(task, live.as_deref(), lapses)
}

fn person_id(caller: &Caller) -> Option<crate::model::PersonId> {
    match caller {
        Caller::Agent(_) => None,
        Caller::Person(person) => Some(person.id().clone()),
    }
}
