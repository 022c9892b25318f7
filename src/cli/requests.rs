//! `portcullis requests …`: what agents have asked for.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::connection::Connection;
use super::control::Binding;
use super::listing::{Filter, show_list};
use super::request::describe;
use crate::model::RequestId;

/// What `requests` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum RequestsCommand {
    /// List requests
    List(Filter),
    /// Show a request
    Show(Named),
}

/// A request by its id.
#[derive(Clone, Debug, Args)]
pub(super) struct Named {
    /// The request's id
    id: RequestId,
}

pub(super) async fn run(
    command: RequestsCommand,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let control = connection.as_operator()?;
    match command {
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
    }
    Ok(ExitCode::SUCCESS)
}
