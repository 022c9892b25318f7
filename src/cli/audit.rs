//! `portcullis audit …`: the audit log, read offline.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{Output, fields};
use crate::audit::verify;

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

pub(super) fn run(command: AuditCommand, output: Output) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify(VerifyArgs { directory }) = command;
    let summary = verify(&directory)
        .with_context(|| format!("the audit log `{}` does not hold", directory.display()))?;
    let document = json!({
        "segments": summary.segments,
        "records": summary.records,
        "head": summary.head.to_string(),
    });
    output.show(&document, |document| {
        fields(document, &["segments", "records", "head"])
    })?;
    Ok(ExitCode::SUCCESS)
}
