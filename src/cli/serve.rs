//! `portcullis serve`: the gateway, as a configuration file describes it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::output::Output;

/// What `serve` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ServeArgs {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_CONFIG",
        default_value = "portcullis.toml"
    )]
    pub(super) config: PathBuf,
}

pub(super) fn run(args: ServeArgs, _output: Output) -> anyhow::Result<ExitCode> {
    let ServeArgs { config } = args;
    bail!(
        "`{}` can't be served: the gateway is wired at integration",
        config.display()
    );
}
