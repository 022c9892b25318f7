//! `portcullis request`: an agent asks for an entitlement.

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use super::client::ClientError;
use super::connection::Connection;
use super::control::{Binding, Control};
use super::exit::PENDING;
use super::output::{field, fields};
use super::span::Seconds;
use super::spinner::spin;
use crate::model::{EntitlementId, RequestId, TaskId};

/// How long one look at a waiting request is held open by the gateway, and by us.
const LOOK: &str = "30s";
const LOOK_WITHIN: Duration = Duration::from_secs(45);
/// The time between two looks that are answered at once, or not at all.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// How often in a row a look may fail, as while the gateway restarts.
const FAILURES: u32 = 15;

/// What `request` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct RequestArgs {
    /// What to ask for
    entitlement: EntitlementId,
    /// The task it is for
    #[arg(long, value_name = "ID")]
    task: TaskId,
    /// Why, for the people and rules that decide
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// For how long
    #[arg(long = "for", value_name = "SPAN")]
    duration: Option<Seconds>,
    /// Ties the grant to these inputs: `order_id=1003` is text, `amount:=120` is JSON
    #[arg(long, value_name = "NAME=VALUE", num_args = 1..)]
    input: Vec<InputArg>,
    /// Follow the request until it is decided
    #[arg(long)]
    wait: bool,
}

/// One input of a request.
#[derive(Clone, Debug, PartialEq)]
struct InputArg {
    name: String,
    value: Value,
}

impl FromStr for InputArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("write it as `name=text` or `name:=json`")?;
        let (name, value) = match name.strip_suffix(':') {
            None => (name, Value::from(value)),
            Some(name) => {
                let value = serde_json::from_str(value)
                    .map_err(|_| format!("`{value}` is not JSON; text is written `name=text`"))?;
                (name, value)
            }
        };
        if name.is_empty() {
            return Err("an input has a name".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

pub(super) async fn run(args: RequestArgs, connection: &Connection) -> anyhow::Result<ExitCode> {
    let control = connection.as_agent()?;
    let binding = Binding::Task(&args.task);
    let asked = control
        .post(binding, "/v1/requests", Some(&document(&args)?))
        .await?;
    let mut request = asked;
    if args.wait {
        let what = format!("`{}` waits for approval", args.entitlement);
        let decided = follow(&control, binding, request, BETWEEN_LOOKS);
        request = Box::pin(spin(connection.output, &what, decided)).await?;
    }
    connection.output.show(&request, describe)?;
    Ok(ExitCode::from(exit_code(&request)))
}

fn document(args: &RequestArgs) -> anyhow::Result<Value> {
    let mut document = Map::new();
    document.insert("task".into(), args.task.as_str().into());
    document.insert("entitlement".into(), args.entitlement.as_str().into());
    if let Some(reason) = &args.reason {
        document.insert("reason".into(), reason.as_str().into());
    }
    if let Some(duration) = args.duration {
        document.insert("duration_seconds".into(), duration.to_json());
    }
    if !args.input.is_empty() {
        let mut input = Map::new();
        for one in &args.input {
            if input.insert(one.name.clone(), one.value.clone()).is_some() {
                anyhow::bail!("the input `{}` is given twice", one.name);
            }
        }
        document.insert("input".into(), input.into());
    }
    Ok(document.into())
}

/// Looks until the request is decided. A gateway that is away for a moment is waited for.
async fn follow(
    control: &Control,
    binding: Binding<'_>,
    mut request: Value,
    between_looks: Duration,
) -> anyhow::Result<Value> {
    let id = request
        .get("id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // The id becomes part of a path: it has to be one.
    let id: RequestId = id.parse()?;
    let path = format!("/v1/requests/{id}?wait={LOOK}");
    let mut failures = 0;
    while is_pending(&request) {
        let paced = tokio::time::sleep(between_looks);
        match control.get_within(binding, &path, LOOK_WITHIN).await {
            Ok(answer) => {
                failures = 0;
                request = answer;
            }
            Err(error) if may_pass(&error) && failures < FAILURES => failures += 1,
            Err(error) => return Err(error),
        }
        if is_pending(&request) {
            paced.await;
        }
    }
    Ok(request)
}

/// Whether trying again can help.
fn may_pass(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(refusal)) => refusal.status.is_server_error(),
        Some(ClientError::Broken(..) | ClientError::Timeout(..) | ClientError::Unreachable(..)) => {
            true
        }
        _ => false,
    }
}

fn is_pending(request: &Value) -> bool {
    state(request) == "pending"
}

fn state(request: &Value) -> &str {
    request.get("state").and_then(Value::as_str).unwrap_or("")
}

fn exit_code(request: &Value) -> u8 {
    match state(request) {
        "active" => 0,
        "pending" => PENDING,
        _ => 1,
    }
}

/// The request, for people.
pub(super) fn describe(request: &Value) -> String {
    let mut request = request.clone();
    // Where the whole grant is shown, its id will do.
    if let Some(grant) = request.get_mut("grant").filter(|one| one.is_object()) {
        *grant = field(grant, "id").into();
    }
    fields(
        &request,
        &[
            "id",
            "state",
            "agent",
            "task",
            "entitlement",
            "reason",
            "duration_seconds",
            "requested_at",
            "expires_at",
            "digest",
            "grant",
        ],
    )
}
