//! `portcullis audit …`: the audit log, read offline.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::output::Output;

/// What `audit` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check the chain; exit 1 with the first bad segment:line
    Verify(VerifyArgs),
}

/// What `audit verify` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct VerifyArgs {
    /// The audit directory
    #[arg(value_name = "DIR", default_value = "data/audit")]
    pub(super) directory: PathBuf,
}

pub(super) fn run(command: AuditCommand, _output: Output) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify(VerifyArgs { directory }) = command;
    bail!(
        "`{}` can't be verified: the audit log is wired at integration",
        directory.display()
    );
}
