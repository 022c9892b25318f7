//! What those who watch the agents say of them.

mod kept;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use self::kept::NotTaken;
pub use self::kept::{KeptError, KeptScores};
use super::caller::PersonCaller;
use super::error::ApiError;
use super::json::Json;
use super::state::Admin;
use crate::access::Known;
use crate::audit::{Record, RecordKind};
use crate::base::ErrorChain;
use crate::model::{AgentId, TaskId};
use crate::signals::{Pushed, Score};

/// The group of those who may say how risky agents look, besides operators.
const GROUP: &str = "signals";

/// How long a score counts that does not say so.
const LIFE: Duration = Duration::from_hours(1);

/// How long a score can count.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// The longest name of a source, in characters.
const LONGEST_SOURCE: usize = 64;

/// How much of a reason is kept to be shown, in characters; all of it is recorded.
const SHOWN_REASON: usize = 200;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;

/// How risky an agent looks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalBody {
    /// The agent.
    agent: String,
    /// The open task of the agent that it is about; else it is about the agent in all it does.
    task: Option<String>,
    /// From 0, harmless, to 100.
    #[schema(minimum = 0, maximum = 100)]
    score: i64,
    /// Who says so, such as `siem`. It takes the place of what the same source said before.
    #[schema(max_length = 64)]
    source: String,
    /// Why; it is recorded.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// For how many seconds it counts: an hour if absent, a day at most.
    #[schema(minimum = 1, maximum = 86_400)]
    expires_in: Option<u64>,
}

/// Takes a score, and keeps it over a restart. Calls, requests and running exchanges whose rules read the risk
/// are judged by it from now on: what they no longer allow is cut.
#[utoipa::path(post, path = "/v1/signals", operation_id = "push_signal", request_body = SignalBody, responses(
    (status = 204, description = "It counts"),
    (status = 403, description = "The caller is neither an operator nor in the group `signals`"),
    (status = 404, description = "There is no such agent, or it has no such open task"),
    (status = 503, description = "It counts, and can't be kept over a restart")))]
pub(super) async fn push(
    State(admin): State<Arc<Admin>>,
    PersonCaller(person): PersonCaller,
    Json(body): Json<SignalBody>,
) -> Result<StatusCode, ApiError> {
    if !may_push(&person) {
        let detail = "this is for the people of `operators` and of `signals`";
        return Err(ApiError::forbidden(detail));
    }
    let reason = body
        .reason
        .as_deref()
        .map(|text| line("reason", text, LONGEST_REASON));
    let reason = reason.transpose()?;
    let pushed = Pushed {
        agent: agent(&admin, &body.agent)?,
        task: None,
        score: Score::try_from(body.score)
            .map_err(|error| ApiError::malformed(error.to_string()))?,
        source: line("source", &body.source, LONGEST_SOURCE)?.into(),
        reason: reason.map(|reason| {
            let shown: String = reason.chars().take(SHOWN_REASON).collect();
            shown.into()
        }),
        life: life(body.expires_in)?,
    };
    let task = body
        .task
        .as_deref()
        .map(|id| task(&admin, &pushed.agent, id));
    let pushed = Pushed {
        task: task.transpose()?,
        ..pushed
    };
    let place = admin.place()?;
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(person.id().clone());
    record.agent = Some(pushed.agent.clone());
    record.task = pushed.task.clone();
    let said = format!("risk {} by `{}`", body.score, pushed.source);
    let why = reason.map(|reason| format!(": {reason}"));
    let signals = admin.grants.signals();
    let taken = admin.scores.push(signals, pushed, admin.clock.wall()).await;
    record.detail = Some(match &taken {
        Ok(()) => said + &why.unwrap_or_default(),
        Err(why) => format!("{said} not taken: {}", ErrorChain(why)),
    });
    place.write(record);
    match taken {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(NotTaken::Full(full)) => Err(ApiError::conflict(full.to_string())),
        Err(why @ NotTaken::Store(_)) => {
            let detail = ErrorChain(&why).to_string();
            Err(ApiError::unavailable("store_unavailable", detail))
        }
    }
}

fn may_push(person: &Known) -> bool {
    let mut groups = person.person.groups.iter();
    person.is_operator() || groups.any(|group| group.as_str() == GROUP)
}

fn agent(admin: &Admin, id: &str) -> Result<AgentId, ApiError> {
    let missing = || ApiError::not_found(format!("there is no agent `{id}`"));
    let agent: AgentId = id.parse().map_err(|_| missing())?;
    let enrolled = admin.snapshot.current().agent(id).is_some();
    enrolled.then_some(agent).ok_or_else(missing)
}

/// An open task of the agent.
pub(super) fn task(admin: &Admin, agent: &AgentId, id: &str) -> Result<TaskId, ApiError> {
    let missing = || ApiError::not_found(format!("the agent `{agent}` has no open task `{id}`"));
    let task: TaskId = id.parse().map_err(|_| missing())?;
    let open = admin.grants.task(&task);
    let own = open.is_some_and(|open| open.task().agent == *agent);
    own.then_some(task).ok_or_else(missing)
}

fn life(seconds: Option<u64>) -> Result<Duration, ApiError> {
    let life = seconds.map_or(LIFE, Duration::from_secs);
    if life.is_zero() || life > LONGEST_LIFE {
        let longest = LONGEST_LIFE.as_secs();
        return Err(ApiError::malformed(format!(
            "`expires_in` is a number of seconds from 1 to {longest}"
        )));
    }
    Ok(life)
}

/// One line of text that can be shown and recorded.
fn line<'t>(name: &str, text: &'t str, longest: usize) -> Result<&'t str, ApiError> {
    let fits = !text.trim().is_empty() && text.chars().count() <= longest;
    if fits && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Err(ApiError::malformed(format!(
        "`{name}` is one line of 1 to {longest} characters"
    )))
}
