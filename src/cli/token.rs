//! `portcullis token`: a token on the standard output, and nothing else there.

use std::process::ExitCode;

use clap::Args;

use super::connection::Connection;
use super::output::{Output, print};
use crate::model::{EntitlementId, TaskId};

/// What `token` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct TokenArgs {
    /// The task it is bound to; without one it reaches baseline operations only
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    /// An entitlement to ask for in the same step; may be given several times
    #[arg(long, value_name = "ENTITLEMENT", requires = "task")]
    scope: Vec<EntitlementId>,
}

pub(super) async fn run(args: TokenArgs, connection: &Connection) -> anyhow::Result<ExitCode> {
    let identity = connection.identity()?;
    let answer = identity.token(args.task.as_ref(), &args.scope).await?;
    match connection.output {
        Output::Json => print(&format!("{:#}", answer.document))?,
        Output::Text => print(answer.token.expose())?,
    }
    Ok(ExitCode::SUCCESS)
}
