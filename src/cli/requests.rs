//! `portcullis requests …`: what agents have asked for, and what people say to it.

mod approve;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use self::approve::ApproveArgs;
use super::connection::Connection;
use super::control::Binding;
use super::listing::{Filter, show_list};
use super::request::describe;
use crate::model::RequestId;

/// What `requests` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum RequestsCommand {
    /// Agree to requests, having been shown what they are
    Approve(ApproveArgs),
    /// Say no to a request
    Deny(DenyArgs),
    /// List requests
    List(Filter),
    /// Show a request
    Show(Named),
    /// Take one's own request back, as an agent
    Withdraw(Named),
}

/// A request by its id.
#[derive(Clone, Debug, Args)]
pub(super) struct Named {
    /// The request's id
    id: RequestId,
}

/// What `requests deny` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct DenyArgs {
    /// The request's id
    id: RequestId,
    /// Why; the agent is told
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn run(
    command: RequestsCommand,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let control = match command {
        RequestsCommand::Withdraw(_) => connection.as_agent()?,
        RequestsCommand::Approve(_)
        | RequestsCommand::Deny(_)
        | RequestsCommand::List(_)
        | RequestsCommand::Show(_) => connection.as_operator()?,
    };
    match command {
        RequestsCommand::Approve(args) => {
            return approve::run(&args, &control, connection.output).await;
        }
        RequestsCommand::Deny(DenyArgs { id, reason }) => {
            let path = format!("/v1/requests/{id}/deny");
            let body = json!({ "reason": reason });
            let answer = control.post(Binding::None, &path, Some(&body)).await?;
            connection.output.show(&answer, describe)?;
        }
        RequestsCommand::List(filter) => {
            let columns = ["id", "state", "agent", "task", "entitlement", "reason"];
            show_list(
                &control,
                "/v1/requests",
                &filter,
                columns,
                connection.output,
            )
            .await?;
        }
        RequestsCommand::Show(Named { id }) => {
            let path = format!("/v1/requests/{id}");
            let answer = control.get(Binding::None, &path).await?;
            connection.output.show(&answer, describe)?;
        }
        RequestsCommand::Withdraw(Named { id }) => {
            let path = format!("/v1/requests/{id}/withdraw");
            let answer = control.post(Binding::None, &path, None).await?;
            connection.output.show(&answer, describe)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
