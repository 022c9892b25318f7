//! `portcullis grants …`: what is in use, and taking it back.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::connection::Connection;
use super::control::Binding;
use super::listing::{Filter, show_list};
use super::output::fields;
use crate::model::GrantId;

/// What `grants` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum GrantsCommand {
    /// List grants
    List(Filter),
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

pub(super) async fn run(
    command: GrantsCommand,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let control = connection.as_operator()?;
    let answer = match command {
        GrantsCommand::List(filter) => {
            let columns = ["id", "state", "agent", "task", "entitlement", "expires_at"];
            show_list(&control, "/v1/grants", &filter, columns, connection.output).await?;
            return Ok(ExitCode::SUCCESS);
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
