//! The command line as a whole, and which file runs what.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};

use super::agent::{self, AgentCommand};
use super::audit::{self, AuditCommand};
use super::check::{self, CheckArgs};
use super::completions::{self, CompletionsArgs};
use super::connection::Connection;
use super::dev::{self, DevArgs};
use super::exit;
use super::explain::{self, ExplainArgs};
use super::grants::{self, GrantsCommand};
use super::keys::{self, KeysCommand};
use super::listing::ListOr;
use super::people::{self, PeopleCommand};
use super::policy::{self, PolicyCommand};
use super::replay::{self, ReplayArgs};
use super::request::{self, RequestArgs};
use super::requests::{self, RequestsCommand};
use super::serve::{self, ServeArgs};
use super::suggest::{self, SuggestArgs};
use super::task::{self, TaskCommand};
use super::test::{self, TestArgs};
use super::token::{self, TokenArgs};

/// A just-in-time access gateway for AI agents: no standing privilege, and the gate falls the
/// moment the task ends.
#[derive(Clone, Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 100)]
#[command(after_help = exit::EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run everything on this machine, with nothing to configure, and print a walk-through
    Dev(DevArgs),
    /// Run the gateway
    Serve(ServeArgs),
    /// Say everything that is wrong with configuration and policies
    Check(CheckArgs),
    /// Run the decision tables of a policy directory
    Test(TestArgs),
    /// Put recorded decisions to candidate policies; exit 3 if one differs
    Replay(ReplayArgs),
    /// Tell from recorded calls which operations an entitlement could do without
    Suggest(SuggestArgs),
    /// Enrol, revoke and restore agents
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Print a token for an agent
    Token(TokenArgs),
    /// Ask for an entitlement, as an agent
    Request(RequestArgs),
    /// Open, watch and end tasks
    #[command(subcommand)]
    Task(TaskCommand),
    /// See, renew, hand down and revoke grants
    Grants(ListOr<GrantsCommand>),
    /// See what agents have asked for, and decide
    Requests(ListOr<RequestsCommand>),
    /// Tell whether a call would pass, which rule decides, and what would help
    Explain(ExplainArgs),
    /// Rotate the keys that sign tokens
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Make people's keys and second factors
    #[command(subcommand)]
    People(PeopleCommand),
    /// See and reload the rules
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Check, follow and export the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print what makes a shell complete the lines of this program
    Completions(CompletionsArgs),
}

/// Reads the command line and runs what it says. Never panics; the exit code is the command's.
#[must_use]
pub fn main() -> ExitCode {
    match CommandLine::try_parse() {
        Ok(line) => {
            let output = line.connection.output;
            run(line).unwrap_or_else(|error| exit::report(&error, output))
        }
        // Help and version are "errors" with code 0.
        Err(error) => {
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

fn run(line: CommandLine) -> anyhow::Result<ExitCode> {
    let connection = &line.connection;
    let output = connection.output;
    match line.command {
        Command::Agent(command) => complete(agent::run(command, connection)),
        Command::Audit(command) => audit::run(command, output),
        Command::Check(args) => check::run(args, output),
        Command::Completions(args) => completions::run(&args, &mut CommandLine::command()),
        Command::Dev(args) => dev::run(&args, output),
        Command::Explain(args) => complete(explain::run(args, connection)),
        Command::Grants(command) => {
            let command = command.or_list(GrantsCommand::List);
            complete(grants::run(command, connection))
        }
        Command::Keys(command) => complete(keys::run(command, connection)),
        Command::People(command) => complete(people::run(command, connection)),
        Command::Policy(command) => complete(policy::run(command, connection)),
        Command::Replay(args) => replay::run(args, output),
        Command::Request(args) => complete(request::run(args, connection)),
        Command::Requests(command) => {
            let command = command.or_list(RequestsCommand::List);
            complete(requests::run(command, connection))
        }
        Command::Serve(args) => serve::run(&args, output),
        Command::Suggest(args) => suggest::run(args, output),
        Command::Task(command) => complete(task::run(command, connection)),
        Command::Test(args) => test::run(args, output),
        Command::Token(args) => complete(token::run(args, connection)),
    }
}

/// Runs a command that talks to the control side, on this thread.
fn complete(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime could be started")?
        .block_on(command)
}
