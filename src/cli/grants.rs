//! `portcullis grants …`: what is in use, making it last, handing it down, and taking it back.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::Connection;
use super::control::Binding;
use super::listing::{Filter, show_list};
use super::output::fields;
use super::span::Seconds;
use crate::model::{GrantId, OperationId, TaskId};

/// What `grants` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum GrantsCommand {
    /// Hand a part of a grant down to a task below, as an agent
    Delegate(DelegateArgs),
    /// List grants
    List(Filter),
    /// Move the end of a grant, as an agent
    Renew(RenewArgs),
    /// End a grant now; what runs under it is cut
    Revoke(Named),
    /// Show a grant
    Show(Named),
}

/// A grant by its id.
#[derive(Clone, Debug, Args)]
pub(super) struct Named {
    /// The grant's id
    id: GrantId,
}

/// What `grants renew` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct RenewArgs {
    /// The grant's id
    id: GrantId,
    /// For how long from now; as long as was asked for if absent
    #[arg(long = "for", value_name = "SPAN")]
    duration: Option<Seconds>,
}

/// What `grants delegate` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct DelegateArgs {
    /// The grant's id
    id: GrantId,
    /// The receiving task: one's own, or one opened for another agent
    #[arg(long, value_name = "ID")]
    task: TaskId,
    /// An operation that is handed down; may be given several times; all if absent
    #[arg(long = "operation", value_name = "OPERATION")]
    operations: Vec<OperationId>,
    /// For how long from now; as long as the grant if absent
    #[arg(long = "for", value_name = "SPAN")]
    duration: Option<Seconds>,
    /// A share of its calls; needed where they are limited
    #[arg(long, value_name = "NUMBER")]
    max_calls: Option<u64>,
    /// A share of its bytes; needed where they are limited
    #[arg(long, value_name = "NUMBER")]
    max_bytes: Option<u64>,
}

pub(super) async fn run(
    command: GrantsCommand,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let control = match command {
        GrantsCommand::Delegate(_) | GrantsCommand::Renew(_) => connection.as_agent()?,
        GrantsCommand::List(_) | GrantsCommand::Revoke(_) | GrantsCommand::Show(_) => {
            connection.as_operator()?
        }
    };
    let answer = match command {
        GrantsCommand::Delegate(args) => {
            let path = format!("/v1/grants/{}/delegate", args.id);
            let part = part(&args);
            control.post(Binding::None, &path, Some(&part)).await?
        }
        GrantsCommand::List(filter) => {
            let columns = ["id", "state", "agent", "task", "entitlement", "expires_at"];
            show_list(&control, "/v1/grants", &filter, columns, connection.output).await?;
            return Ok(ExitCode::SUCCESS);
        }
        GrantsCommand::Renew(RenewArgs { id, duration }) => {
            let path = format!("/v1/grants/{id}/renew");
            let body = json!({ "duration_seconds": duration.map(Seconds::to_json) });
            control.post(Binding::None, &path, Some(&body)).await?
        }
        GrantsCommand::Revoke(Named { id }) => {
            let path = format!("/v1/grants/{id}/revoke");
            control.post(Binding::None, &path, None).await?
        }
        GrantsCommand::Show(Named { id }) => {
            control
                .get(Binding::None, &format!("/v1/grants/{id}"))
                .await?
        }
    };
    connection.output.show(&answer, describe)?;
    Ok(ExitCode::SUCCESS)
}

fn part(args: &DelegateArgs) -> Value {
    let operations: Vec<&str> = args.operations.iter().map(OperationId::as_str).collect();
    json!({
        "task": args.task.as_str(),
        "operations": (!operations.is_empty()).then_some(operations),
        "duration_seconds": args.duration.map(Seconds::to_json),
        "max_calls": args.max_calls,
        "max_bytes": args.max_bytes,
    })
}

fn describe(grant: &Value) -> String {
    if grant.is_null() {
        return "done".to_owned();
    }
    fields(
        grant,
        &[
            "id",
            "state",
            "end_reason",
            "agent",
            "task",
            "entitlement",
            "operations",
            "starts_at",
            "expires_at",
            "calls_left",
            "bytes_left",
            "parent",
            "streams_cut",
        ],
    )
}
