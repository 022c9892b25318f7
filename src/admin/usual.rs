//! What is usual for an agent: operators see it, begin it anew, and pin it.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::agents::named;
use super::caller::Operator;
use super::decisions::NoBody;
use super::error::ApiError;
use super::extract::Path;
use super::json::Json;
use super::state::Admin;
use crate::audit::{Record, RecordKind};
use crate::model::AgentId;
use crate::signals::{Baseline, Habit, HabitRules, Signals};

/// What is usual for an agent, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsualView {
    agent: String,
    /// Whether an operator has pinned it: it learns nothing.
    pinned: bool,
    /// Whether the agent looks so risky at this moment that nothing is learnt.
    frozen: bool,
    rules: RulesView,
    networks: Vec<NetworkView>,
    hours: Vec<HourView>,
    operations: Vec<OperationView>,
    inputs: Vec<InputView>,
    /// How many calls the agent makes in a minute in which it calls; null until enough was seen.
    calls_per_minute: Option<f64>,
}

/// How something becomes usual.
#[derive(Debug, Serialize, ToSchema)]
struct RulesView {
    /// On how many different days (UTC) it has to be seen.
    days: u32,
    /// How many of a kind can become usual in one day.
    new_per_day: u32,
    /// The risk from which on nothing is learnt.
    frozen_at: u32,
}

/// A network that the agent called from.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkView {
    /// A /24 or a /48.
    network: String,
    #[serde(flatten)]
    seen: HabitView,
}

/// An hour of the week (UTC) in which the agent called.
#[derive(Debug, Serialize, ToSchema)]
struct HourView {
    /// 1 is Monday.
    weekday: u8,
    /// 0 to 23.
    hour: u8,
    #[serde(flatten)]
    seen: HabitView,
}

/// An operation that the agent called.
#[derive(Debug, Serialize, ToSchema)]
struct OperationView {
    operation: String,
    #[serde(flatten)]
    seen: HabitView,
}

/// A numeric input that the agent sent: the range that is usual, and the magnitudes that were seen.
#[derive(Debug, Serialize, ToSchema)]
struct InputView {
    operation: String,
    input: String,
    /// The smallest number that is usual; null while none is.
    from: Option<i64>,
    /// The largest.
    to: Option<i64>,
    magnitudes: Vec<MagnitudeView>,
}

/// Numbers of one magnitude: about half as large again as those of the one before.
#[derive(Debug, Serialize, ToSchema)]
struct MagnitudeView {
    from: i64,
    to: i64,
    #[serde(flatten)]
    seen: HabitView,
}

/// How often and when something was seen.
#[derive(Debug, Serialize, ToSchema)]
struct HabitView {
    usual: bool,
    /// Calls that were allowed and succeeded.
    calls: u64,
    /// On how many different days (UTC).
    days: u32,
    first_seen: String,
    last_seen: String,
    /// Since when it is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    usual_since: Option<String>,
}

/// Shows what is usual for an agent, and what was seen but is not usual yet.
#[utoipa::path(get, path = "/v1/agents/{id}/usual", operation_id = "show_usual", responses(
    (status = 200, body = UsualView, description = "What is usual"),
    (status = 404, description = "There is no such agent")))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Answer<UsualView>, ApiError> {
    let agent = named(&admin, &id)?;
    Ok(Answer(view(&admin, &agent)))
}

/// Forgets what was learnt of an agent: nothing is usual for it until it is learnt anew.
#[utoipa::path(post, path = "/v1/agents/{id}/usual/reset", operation_id = "reset_usual",
    responses((status = 200, description = "It is forgotten")))]
pub(super) async fn reset(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<Answer<Value>, ApiError> {
    let what = "what is usual is forgotten";
    alter(&admin, &operator, &id, what, Signals::reset_baseline).await
}

/// Freezes what is usual for an agent: nothing is learnt until it is unpinned.
#[utoipa::path(post, path = "/v1/agents/{id}/usual/pin", operation_id = "pin_usual",
    responses((status = 200, description = "Nothing is learnt from now on")))]
pub(super) async fn pin(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<Answer<Value>, ApiError> {
    let what = "what is usual is pinned";
    let pin = |signals: &Signals, agent: &AgentId| signals.pin_baseline(agent, true);
    alter(&admin, &operator, &id, what, pin).await
}

/// Lets it be learnt again what is usual for an agent.
#[utoipa::path(post, path = "/v1/agents/{id}/usual/unpin", operation_id = "unpin_usual",
    responses((status = 200, description = "It is learnt again")))]
pub(super) async fn unpin(
    State(admin): State<Arc<Admin>>,
    operator: Operator,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<Answer<Value>, ApiError> {
    let what = "what is usual is learnt again";
    let unpin = |signals: &Signals, agent: &AgentId| signals.pin_baseline(agent, false);
    alter(&admin, &operator, &id, what, unpin).await
}

/// Changes a baseline, and keeps and records it.
async fn alter(
    admin: &Admin,
    operator: &Operator,
    id: &str,
    what: &str,
    alter: impl FnOnce(&Signals, &AgentId),
) -> Result<Answer<Value>, ApiError> {
    let agent = named(admin, id)?;
    let place = admin.place()?;
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(operator.id().clone());
    record.agent = Some(agent.clone());
    alter(admin.grants.signals(), &agent);
    let kept = admin.grants.write_habits().await;
    record.detail = Some(match &kept {
        Ok(()) => what.to_owned(),
        Err(error) => format!("{what}, in memory: {error}"),
    });
    place.write(record);
    kept?;
    let pinned = admin.grants.signals().baseline(&agent).pinned;
    Ok(Answer(json!({ "agent": agent.as_str(), "pinned": pinned })))
}

fn view(admin: &Admin, agent: &AgentId) -> UsualView {
    let signals = admin.grants.signals();
    let baseline = signals.baseline(agent);
    let now = admin.clock.wall();
    let seen = |habit: &Habit| HabitView {
        usual: habit.is_usual(now),
        calls: habit.calls,
        days: habit.days,
        first_seen: habit.first.to_string(),
        last_seen: habit.last.to_string(),
        usual_since: habit.usual_since.map(|since| since.to_string()),
    };
    let HabitRules {
        days,
        new_per_day,
        frozen_at,
    } = signals.habit_rules();
    let networks = baseline
        .networks
        .iter()
        .map(|(network, habit)| NetworkView {
            network: network.to_string(),
            seen: seen(habit),
        });
    let hours = baseline.hours.iter().map(|(hour, habit)| HourView {
        weekday: hour.weekday(),
        hour: hour.hour(),
        seen: seen(habit),
    });
    let operations = baseline.operations.iter();
    let operations = operations.map(|(operation, habit)| OperationView {
        operation: operation.to_string(),
        seen: seen(habit),
    });
    UsualView {
        agent: agent.to_string(),
        pinned: baseline.pinned,
        frozen: signals.is_frozen(agent, None),
        rules: RulesView {
            days,
            new_per_day,
            frozen_at,
        },
        networks: networks.collect(),
        hours: hours.collect(),
        operations: operations.collect(),
        inputs: inputs(&baseline, now, seen),
        calls_per_minute: baseline.pace.per_minute(),
    }
}

/// The magnitudes, which are in the order of operations and inputs, by input.
fn inputs(
    baseline: &Baseline,
    now: Timestamp,
    seen: impl Fn(&Habit) -> HabitView,
) -> Vec<InputView> {
    let mut inputs: Vec<InputView> = Vec::new();
    for (one, habit) in baseline.inputs.iter() {
        let (from, to) = one.step.bounds();
        let magnitude = MagnitudeView {
            from,
            to,
            seen: seen(habit),
        };
        match inputs.last_mut() {
            Some(last) if last.operation == one.operation.as_str() && last.input == *one.input => {
                last.magnitudes.push(magnitude);
            }
            _ => {
                let range = baseline.range(&one.operation, &one.input, now);
                inputs.push(InputView {
                    operation: one.operation.to_string(),
                    input: one.input.as_ref().to_owned(),
                    from: range.map(|(lowest, _)| lowest.bounds().0),
                    to: range.map(|(_, highest)| highest.bounds().1),
                    magnitudes: vec![magnitude],
                });
            }
        }
    }
    inputs
}
