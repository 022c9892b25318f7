//! `portcullis agent …`: enrolment, who is enrolled, how an agent looks, and taking one out of the game.

mod enroll;
mod list;
mod signals;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

pub use self::enroll::{Enrolment, enroll};
use self::signals::{RiskArgs, UsualArgs};
use super::connection::Connection;
use super::control::Binding;
use super::output::{Output, Table, field, fields};
use crate::model::{AgentId, GroupName};

/// What `agent` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Make a key pair for an agent, and make the public part known to the gateway
    Enroll(EnrollArgs),
    /// List the agents of a policies directory
    List(ListArgs),
    /// Let a revoked agent begin anew
    Restore(NameArgs),
    /// End everything of an agent, and refuse it until it is restored
    Revoke(NameArgs),
    /// Show how risky an agent looks, and what that is made of
    Risk(RiskArgs),
    /// Show what is usual for an agent, forget it, freeze it, or learn it again
    Usual(UsualArgs),
}

/// What `agent enroll` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct EnrollArgs {
    /// The agent's name
    name: AgentId,
    /// The policies directory; the agent goes into `agents/NAME.toml` there
    #[arg(long, value_name = "DIR", default_value = "policies")]
    directory: PathBuf,
    /// A group of agents it belongs to; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<GroupName>,
    /// The person, or group of people, that answers for it
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    /// Where the private key goes (a new file, mode 0600); `NAME.jwk` here if absent
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// What `agent list` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ListArgs {
    /// The policies directory
    #[arg(long, value_name = "DIR", default_value = "policies")]
    directory: PathBuf,
}

/// An agent by its name.
#[derive(Clone, Debug, Args)]
pub(super) struct NameArgs {
    /// The agent's name
    name: AgentId,
}

pub(super) async fn run(
    command: AgentCommand,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let output = connection.output;
    let (name, step) = match command {
        AgentCommand::Enroll(args) => return run_enroll(args, output),
        AgentCommand::List(args) => return run_list(&args, output),
        AgentCommand::Restore(NameArgs { name }) => (name, "restore"),
        AgentCommand::Revoke(NameArgs { name }) => (name, "revoke"),
        AgentCommand::Risk(args) => {
            signals::risk(&args, &connection.as_operator()?, output).await?;
            return Ok(ExitCode::SUCCESS);
        }
        AgentCommand::Usual(args) => {
            signals::usual(&args, &connection.as_operator()?, output).await?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let control = connection.as_operator()?;
    let path = format!("/v1/agents/{name}/{step}");
    let answer = control.post(Binding::None, &path, None).await?;
    output.show(&answer, |answer| {
        fields(answer, &["agent", "state", "tasks"])
    })?;
    Ok(ExitCode::SUCCESS)
}

fn run_enroll(args: EnrollArgs, output: Output) -> anyhow::Result<ExitCode> {
    let key_file = args
        .key_file
        .unwrap_or_else(|| PathBuf::from(format!("{}.jwk", args.name)));
    let enrolment = Enrolment {
        name: args.name,
        groups: args.groups,
        owner: args.owner,
        directory: args.directory,
        key_file,
    };
    let policy_file = enroll(&enrolment)?;
    let document = json!({
        "agent": enrolment.name.as_str(),
        "key_file": enrolment.key_file.display().to_string(),
        "policy_file": policy_file.display().to_string(),
    });
    output.show(&document, |document| {
        format!(
            "enrolled {}\n  private key: {} (give it to the agent, and to nobody else)\n  \
             public part: {} (the gateway notices by itself, or on `portcullis policy reload`)",
            field(document, "agent"),
            field(document, "key_file"),
            field(document, "policy_file"),
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn run_list(args: &ListArgs, output: Output) -> anyhow::Result<ExitCode> {
    let found = list::read(&args.directory)?;
    for problem in &found.problems {
        super::exit::warn(problem);
    }
    let items: Vec<_> = found.agents.iter().map(list::Listed::to_json).collect();
    let document = json!({ "items": items, "next": null });
    output.show(&document, |_| {
        if found.agents.is_empty() {
            return "none".to_owned();
        }
        let mut table = Table::new(["AGENT", "GROUPS", "OWNER", "KEYS", "FILE"]);
        for item in &items {
            table.row(["id", "groups", "owner", "keys", "file"].map(|name| field(item, name)));
        }
        table.render()
    })?;
    Ok(ExitCode::from(u8::from(!found.problems.is_empty())))
}
