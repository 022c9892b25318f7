//! `portcullis serve`: the gateway, as a configuration file describes it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::output::Output;
use super::{check, exit};
use crate::app::{HandedOver, Running, Signals, Sockets, StartOptions, start};
use crate::base::Clock;
use crate::config::{Settings, Sources, variables};
use crate::telemetry::{LogFormat, start_log};

/// How long whoever starts a successor may take to stop the gateway before it.
const STOPPER: Duration = Duration::from_mins(1);

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

    /// Wait for the gateway that has the store now: start this one, then stop that one
    ///
    /// Both need the same listening sockets, handed over by systemd or whoever starts them.
    #[arg(long)]
    pub(super) take_over: bool,
}

pub(super) fn run(args: &ServeArgs, output: Output) -> anyhow::Result<ExitCode> {
    start_log(log_format(output), &log_filter("info"));
    let loaded = Settings::load(&args.config, variables());
    let (settings, warnings) = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => return check::show(&problems, output),
    };
    if !warnings.is_empty() {
        check::show(&warnings, output)?;
    }
    let operator_key = operator_key(&settings.store);
    let sources = settings.sources();
    // Before there are threads: the variables that tell of it are removed.
    let handed_over = HandedOver::from_environment()?;
    runtime()?.block_on(async {
        // First: as process 1 of a container it would not hear an uncaught SIGTERM at all, and an uncaught SIGHUP
        // would end it.
        let mut signals = Signals::catch()?;
        let sockets = Sockets::take_or_bind(&settings, handed_over)?;
        let drain = settings.limits.drain;
        let mut options = options(sources, operator_key, drain);
        options.store_patience = args.take_over.then_some(drain + STOPPER);
        let started = tokio::select! {
            started = start(settings, sockets, options) => started,
            () = signals.stop() => {
                tracing::info!("stopped before it was ready");
                return Ok(ExitCode::SUCCESS);
            }
        };
        let running = match started {
            Ok(running) => running,
            Err(error) => return check::explain(error, output),
        };
        announce(&running, output);
        running.until_signal(signals).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Where the first operator's key goes: beside the store.
fn operator_key(store: &Path) -> PathBuf {
    let directory = store.parent().unwrap_or(Path::new(""));
    directory.join("operator.key")
}

/// Says that it serves: beside log lines that programs read, as one of those.
fn announce(running: &Running, output: Output) {
    let say = |text: String| match output {
        Output::Json => tracing::info!("{text}"),
        Output::Text => exit::tell(&text),
    };
    for address in running.gateway_addresses() {
        say(format!("the gateway listens on {address}"));
    }
    let control = running.control_address();
    say(format!("the control side listens on {control}"));
}

/// What a gateway on the machine's own clock starts with.
pub(super) fn options(sources: Sources, operator_key: PathBuf, drain: Duration) -> StartOptions {
    StartOptions {
        clock: Clock::system(),
        sources,
        operator_key,
        drain,
        store_patience: None,
    }
}

/// The runtime of everything but the data plane, which has threads of its own.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("no runtime could be started")
}

/// `PORTCULLIS_LOG`, or `default`.
pub(super) fn log_filter(default: &str) -> String {
    std::env::var("PORTCULLIS_LOG").unwrap_or_else(|_| default.to_owned())
}

pub(super) const fn log_format(output: Output) -> LogFormat {
    match output {
        Output::Json => LogFormat::Json,
        Output::Text => LogFormat::Text,
    }
}
