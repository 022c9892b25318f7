//! `portcullis keys …`: the keys that sign tokens.

use std::process::ExitCode;

use clap::Subcommand;

use super::connection::Connection;
use super::control::Binding;
use super::output::fields;

/// What `keys` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a new key that signs from now on; the one before verifies until its tokens have ended
    Rotate,
}

pub(super) async fn run(command: KeysCommand, connection: &Connection) -> anyhow::Result<ExitCode> {
    let control = connection.as_operator()?;
    let answer = match command {
        KeysCommand::Rotate => control.post(Binding::None, "/v1/keys/rotate", None).await?,
    };
    connection
        .output
        .show(&answer, |answer| fields(answer, &["kid", "removed"]))?;
    Ok(ExitCode::SUCCESS)
}
