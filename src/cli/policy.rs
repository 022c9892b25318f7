//! `portcullis policy …`: which rules are live, and making edited ones so.

mod diff;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::diagnostic;
use super::connection::Connection;
use super::control::Binding;
use super::output::{clean, field, fields};

/// What `policy` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Tell what a candidate would change: who gains, who loses; exit 3 on a difference
    Diff(diff::DiffArgs),
    /// Read the policy files now; exit 1 if they were refused
    Reload(ReloadArgs),
    /// Show the live generation, and why the last edit was refused if it was
    Status,
}

/// What `policy reload` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ReloadArgs {
    /// The generation that is held: let it go live all the same
    #[arg(long, value_name = "GENERATION")]
    accept: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", requires = "accept")]
    reason: Option<String>,
}

pub(super) async fn run(
    command: PolicyCommand,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let (answer, must_be_live) = match command {
        PolicyCommand::Diff(args) => return diff::run(args, connection).await,
        PolicyCommand::Reload(ReloadArgs { accept, reason }) => {
            let (control, path) = (connection.as_operator()?, "/v1/policies/reload");
            let body = json!({ "accept": accept, "reason": reason });
            (control.post(Binding::None, path, Some(&body)).await?, true)
        }
        PolicyCommand::Status => {
            let control = connection.as_operator()?;
            (control.get(Binding::None, "/v1/policies").await?, false)
        }
    };
    connection.output.show(&answer, describe)?;
    let failed = must_be_live && refused(&answer).is_some();
    Ok(ExitCode::from(u8::from(failed)))
}

fn refused(status: &Value) -> Option<&Value> {
    status.get("last_refused").filter(|value| !value.is_null())
}

fn describe(status: &Value) -> String {
    let mut text = fields(status, &["generation", "since", "rules"]);
    if let Some(held) = status.get("held").filter(|held| !held.is_null()) {
        let generation = clean(&field(held, "generation"));
        text.push_str(&format!(
            "\ngeneration {generation} waits; `portcullis policy reload --accept {generation}` lets it \
             go live:\n"
        ));
        let reasons = held.get("reasons").and_then(Value::as_array);
        for reason in reasons.into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(&format!("  {}\n", clean(reason)));
        }
    }
    if let Some(refused) = refused(status) {
        let at = clean(&field(refused, "at"));
        text.push_str(&format!(
            "\nthe files as they were at {at} were refused; the generation above is still live:\n"
        ));
        let diagnostics = refused.get("diagnostics").and_then(Value::as_array);
        for one in diagnostics.into_iter().flatten() {
            text.push_str("  ");
            text.push_str(&diagnostic(one));
            text.push('\n');
        }
    }
    text
}
