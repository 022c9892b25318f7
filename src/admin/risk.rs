//! How risky an agent looks, and why: for operators.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::agents::named;
use super::caller::Operator;
use super::error::ApiError;
use super::extract::Path;
use super::signals::task;
use super::state::Admin;
use crate::model::{AgentId, TaskId};
use crate::signals::{Combine, Component, Signals};

/// Which task it is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RiskQuery {
    task: Option<String>,
}

/// How risky an agent looks, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RiskView {
    agent: String,
    /// The task, where one was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    /// As conditions see it: 0 to 100.
    score: i64,
    /// As conditions see it.
    age_seconds: i64,
    /// Whether anything is known; if not, the score shows 100.
    known: bool,
    /// What becomes of the computed score and the pushed ones; absent where no score is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    combine: Option<&'static str>,
    /// The computed score; null where none is, or it is stale.
    computed: Option<u32>,
    /// What the scores are made of.
    components: Vec<ComponentView>,
}

/// A part of a score.
#[derive(Debug, Serialize, ToSchema)]
struct ComponentView {
    /// `network`, `hour`, `operation`, `input`, `refusals`, `velocity`, or `pushed` for a score from outside.
    name: &'static str,
    /// What was measured; null where there is nothing to measure by yet.
    value: Option<f64>,
    /// The most points that it can give.
    weight: u32,
    /// The points that it gives.
    points: u32,
    /// Why.
    reason: String,
    /// Who pushed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The task that it was pushed of.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    /// For how long it still counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
}

/// Shows how risky an agent looks, and what that is made of.
#[utoipa::path(get, path = "/v1/agents/{id}/risk", operation_id = "show_risk", params(
    ("task" = Option<String>, Query, description = "An open task of the agent")), responses(
    (status = 200, body = RiskView, description = "The risk, with its parts"),
    (status = 404, description = "There is no such agent, or it has no such open task")))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    _: Operator,
    Path(id): Path<String>,
    Query(query): Query<RiskQuery>,
) -> Result<Answer<RiskView>, ApiError> {
    let agent = named(&admin, &id)?;
    let task = query.task.map(|id| task(&admin, &agent, &id)).transpose()?;
    Ok(Answer(view(admin.grants.signals(), &agent, task.as_ref())))
}

/// How risky an agent looks, in a task where one is named.
pub(super) fn view(signals: &Signals, agent: &AgentId, task: Option<&TaskId>) -> RiskView {
    let report = signals.report(agent, task);
    let component = |part: Component| ComponentView {
        name: part.name,
        value: part.value,
        weight: part.weight,
        points: part.points,
        reason: part.reason,
        source: part.source.map(|source| source.as_ref().to_owned()),
        task: part.task.map(|task| task.to_string()),
        age_seconds: part.age.map(|age| age.as_secs()),
        expires_in: part.left.map(|left| left.as_secs()),
    };
    RiskView {
        agent: agent.to_string(),
        task: task.map(ToString::to_string),
        score: report.facts.score,
        age_seconds: report.facts.age_seconds,
        known: report.facts.known,
        combine: report.combine.map(|combine| match combine {
            Combine::Highest => "highest",
            Combine::Sum => "sum",
        }),
        computed: report.computed,
        components: report.components.into_iter().map(component).collect(),
    }
}
