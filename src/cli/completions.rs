//! `portcullis completions`: what makes a shell complete the lines of this program.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::output::print;

/// What `completions` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, command: &mut Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    generate(args.shell, command, "portcullis", &mut script);
    print(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
