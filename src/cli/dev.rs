//! `portcullis dev`: everything on one machine, nothing to configure.
//!
//! The demo agents live in an overlay under the data directory, so that nothing tracked changes and no
//! production gateway ever reads them.

pub mod example;
mod prepare;
pub mod walkthrough;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::output::Output;
use super::{check, exit, serve};
use crate::app::{Signals, Sockets, start};
use crate::base::Clock;
use crate::telemetry::start_log;
use prepare::{Layout, settings, stand_in};
use walkthrough::{Facts, commands, render};

/// How long running exchanges may go on after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(2);

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

pub(super) fn run(args: &DevArgs, output: Output) -> anyhow::Result<ExitCode> {
    start_log(serve::log_format(output), &serve::log_filter("warn"));
    serve::runtime()?.block_on(run_all(args, output))
}

async fn run_all(args: &DevArgs, output: Output) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let layout = Layout::prepare(args, &clock)?;
    // The ports are taken first: with port 0 the URLs are known only then.
    let wanted = settings(&layout, args.port, args.control_port)?;
    let sockets = Sockets::bind(&wanted)?;
    let port = sockets.gateway_addresses().first().map(SocketAddr::port);
    let settings = settings(
        &layout,
        port.unwrap_or(args.port),
        sockets.control_address().port(),
    )?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (upstream, example) = example::start(anywhere, clock).await?;
    let mut sources = settings.sources();
    sources.directories.push(layout.overlay.clone());
    sources.stand_in = stand_in(upstream).await;
    let facts = Facts {
        program: std::env::current_exe()?,
        gateway: settings.gateway.public_url.to_string(),
        control: settings.control.public_url.to_string(),
        ca: layout
            .identity
            .as_ref()
            .map(|one| one.ca.certificate.clone()),
        agent_key: layout.agent_key.clone(),
        operator_key: layout.operator_key.clone(),
        policies: layout.policies.clone(),
    };
    let options = serve::options(sources, layout.operator_key.clone(), DRAIN);
    let running = match start(settings, sockets, options).await {
        Ok(running) => running,
        Err(error) => return check::explain(error, output),
    };
    let example = tokio::spawn(example);
    let signals = Signals::catch()?;
    announce(&facts, upstream, output)?;
    let stopped = running.until_signal(signals).await;
    example.abort();
    stopped?;
    Ok(ExitCode::SUCCESS)
}

fn announce(facts: &Facts, upstream: SocketAddr, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => {
            let line = json!({
                "gateway": facts.gateway,
                "control": facts.control,
                "ca": facts.ca,
                "upstream": format!("http://{upstream}"),
                "agents": { prepare::DEMO_AGENT: facts.agent_key },
                "operator_key": facts.operator_key,
            });
            super::output::print(&line.to_string())
        }
        Output::Text => {
            exit::tell(&format!("the gateway is at {}", facts.gateway));
            exit::tell(&format!("the control side is at {}", facts.control));
            exit::tell("paste the lines below into another shell; Ctrl-C here stops everything");
            super::output::print(&render(&commands(facts)))
        }
    }
}
