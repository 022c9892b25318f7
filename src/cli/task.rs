//! `portcullis task …`: units of work, from opening to the receipt.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::connection::Connection;
use super::control::Binding;
use super::output::{Table, field, fields};
use super::span::Seconds;
use crate::model::{AgentId, TaskId};

/// What `task` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// End a task that is no longer wanted; prints the receipt
    Cancel(Named),
    /// End a task that is done; prints the receipt
    Complete(Named),
    /// End a task that did not succeed; prints the receipt
    Fail(Named),
    /// Say that a task is still being worked on
    Heartbeat(Named),
    /// Open a task; prints its id
    Open(OpenArgs),
    /// Show a task
    Show(Named),
}

/// A task by its id.
#[derive(Clone, Debug, Args)]
pub(super) struct Named {
    /// The task's id
    id: TaskId,
}

/// What `task open` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct OpenArgs {
    /// The id it shall have, never used before; a random one if absent
    #[arg(long)]
    id: Option<TaskId>,
    /// What kind of work it is; conditions can ask for it
    #[arg(long, value_name = "WORD")]
    kind: Option<String>,
    /// What it is about, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The task it is a part of; it ends with that one
    #[arg(long, value_name = "ID")]
    parent: Option<TaskId>,
    /// How long it lives without a sign of life
    #[arg(long, value_name = "SPAN")]
    lease: Option<Seconds>,
    /// The agent that is to work on it, where that is not the caller
    #[arg(long, value_name = "AGENT")]
    for_agent: Option<AgentId>,
}

pub(super) async fn run(command: TaskCommand, connection: &Connection) -> anyhow::Result<ExitCode> {
    let control = connection.as_agent()?;
    let (binding, path, text): (_, _, fn(&Value) -> String) = match &command {
        TaskCommand::Open(args) => {
            let binding = args.parent.as_ref().map_or(Binding::None, Binding::Task);
            let answer = control
                .post(binding, "/v1/tasks", Some(&opening(args)))
                .await?;
            connection.output.show(&answer, |task| field(task, "id"))?;
            return Ok(ExitCode::SUCCESS);
        }
        TaskCommand::Show(Named { id }) => {
            let answer = control
                .get(Binding::TaskIfOpen(id), &format!("/v1/tasks/{id}"))
                .await?;
            connection.output.show(&answer, describe)?;
            return Ok(ExitCode::SUCCESS);
        }
        TaskCommand::Heartbeat(Named { id }) => {
            let path = format!("/v1/tasks/{id}/heartbeat");
            (Binding::Task(id), path, describe)
        }
        TaskCommand::Cancel(Named { id }) => ending(id, "cancel"),
        TaskCommand::Complete(Named { id }) => ending(id, "complete"),
        TaskCommand::Fail(Named { id }) => ending(id, "fail"),
    };
    let answer = control.post(binding, &path, None).await?;
    connection.output.show(&answer, text)?;
    Ok(ExitCode::SUCCESS)
}

/// An end can be asked for again, for the same receipt, when the task is over.
fn ending<'a>(id: &'a TaskId, step: &str) -> (Binding<'a>, String, fn(&Value) -> String) {
    let path = format!("/v1/tasks/{id}/{step}");
    (Binding::TaskIfOpen(id), path, receipt)
}

fn opening(args: &OpenArgs) -> Value {
    let mut document = Map::new();
    let members = [
        ("id", args.id.as_ref().map(|id| id.as_str().into())),
        (
            "agent",
            args.for_agent.as_ref().map(|id| id.as_str().into()),
        ),
        ("kind", args.kind.as_deref().map(Value::from)),
        ("description", args.description.as_deref().map(Value::from)),
        ("parent", args.parent.as_ref().map(|id| id.as_str().into())),
        ("lease_seconds", args.lease.map(Seconds::to_json)),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            document.insert(name.to_owned(), value);
        }
    }
    document.into()
}

fn describe(task: &Value) -> String {
    fields(
        task,
        &[
            "id",
            "state",
            "end_reason",
            "kind",
            "description",
            "agent",
            "parent",
            "opened_by",
            "opened_at",
            "lease_seconds",
            "lease_expires_at",
            "grants",
        ],
    )
}

/// What a task's end has ended.
fn receipt(document: &Value) -> String {
    let grants = document.get("grants").and_then(Value::as_array);
    let Some(grants) = grants.filter(|grants| !grants.is_empty()) else {
        return "ended; there were no grants to close".to_owned();
    };
    let mut table = Table::new([
        "GRANT",
        "STATE",
        "STREAMS CUT",
        "CALLS FINISHED",
        "MICROSECONDS",
    ]);
    for grant in grants {
        table.row(
            ["id", "state", "streams_cut", "calls_finished", "micros"]
                .map(|name| field(grant, name)),
        );
    }
    table.render()
}
