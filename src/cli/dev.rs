//! `portcullis dev`: everything on one machine, nothing to configure.

pub mod example;
pub mod walkthrough;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::output::Output;

/// What `dev` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct DevArgs {
    /// Serve plain HTTP on the same ports
    #[arg(long)]
    pub(super) plain: bool,
    /// Start with an empty store
    #[arg(long)]
    pub(super) reset: bool,
    /// The gateway's port; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub(super) port: u16,
    /// The control side's port; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8444)]
    pub(super) control_port: u16,
    /// Where store, audit log and the overlay of policies go
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(super) data: PathBuf,
    /// Where the development authority and certificates are, or go
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub(super) certs: PathBuf,
    /// The policies directory; it is only read
    #[arg(long, value_name = "DIR", default_value = "policies")]
    pub(super) policies: PathBuf,
}

pub(super) fn run(args: DevArgs, _output: Output) -> anyhow::Result<ExitCode> {
    let DevArgs { policies, .. } = args;
    bail!(
        "`{}` can't be served: the gateway is wired at integration",
        policies.display()
    );
}
