//! What a development gateway needs on disk, and the settings that are made of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::DevArgs;
use crate::app::forget_mark;
use crate::base::Clock;
use crate::cli::{Enrolment, enroll};
use crate::config::{Settings, StandIn};
use crate::model::UpstreamAddress;
use crate::store::SqliteStore;
use crate::tls::mint::{DevelopmentIdentity, development_identity};

/// The agent that the walk-through plays.
pub(super) const DEMO_AGENT: &str = "demo-bot";

/// Its groups: those that the shipped rules speak of.
const DEMO_GROUPS: [&str; 2] = ["support", "release"];

/// The address that the shipped policies name, which the example service takes the place of.
const NAMED_UPSTREAM: &str = "127.0.0.1:9000";

/// The store, in the data directory.
const STORE: &str = "portcullis.db";

/// The audit log's directory, there too.
const AUDIT: &str = "audit";

/// How long a service on this machine may take to accept.
const PROBE: Duration = Duration::from_millis(500);

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) policies: PathBuf,
    pub(super) overlay: PathBuf,
    pub(super) agent_key: PathBuf,
    pub(super) operator_key: PathBuf,
    /// None where everything is plain HTTP.
    pub(super) identity: Option<DevelopmentIdentity>,
    data: PathBuf,
}

impl Layout {
    /// Makes what is not there yet. Paths are absolute, so that printed lines work in any directory.
    pub(super) fn prepare(args: &DevArgs, clock: &Clock) -> anyhow::Result<Self> {
        let data = absolute(&args.data)?;
        let policies = absolute(&args.policies)?;
        anyhow::ensure!(
            policies.is_dir(),
            "there is no policies directory `{}`: run this where the project is, or name one with \
             --policies",
            policies.display()
        );
        let overlay = data.join("dev/policies");
        let keys = data.join("dev/agents");
        for directory in [&overlay, &keys] {
            fs::create_dir_all(directory)
                .with_context(|| format!("can't make the directory `{}`", directory.display()))?;
        }
        if args.reset {
            // The audit log stays, as it always does.
            SqliteStore::remove(&data.join(STORE))?;
            forget_mark(&data.join(AUDIT)).context("the mark of the old store can't be removed")?;
        }
        let agent_key = keys.join(format!("{DEMO_AGENT}.jwk"));
        enroll_demo_agent(&overlay, &agent_key)?;
        let identity = if args.plain {
            None
        } else {
            let certs = absolute(&args.certs)?;
            let minted = development_identity(&certs, clock);
            Some(minted.with_context(|| {
                format!(
                    "can't make development certificates in `{}`",
                    certs.display()
                )
            })?)
        };
        Ok(Self {
            policies,
            overlay,
            agent_key,
            operator_key: data.join("operator.key"),
            identity,
            data,
        })
    }
}

/// Enrols the demo agent, unless both halves of its key are there. One half alone is of no use.
fn enroll_demo_agent(overlay: &Path, key_file: &Path) -> anyhow::Result<()> {
    let policy_file = overlay.join(format!("agents/{DEMO_AGENT}.toml"));
    if key_file.exists() && policy_file.exists() {
        return Ok(());
    }
    for half in [key_file, policy_file.as_path()] {
        if half.exists() {
            fs::remove_file(half).with_context(|| format!("can't replace `{}`", half.display()))?;
        }
    }
    let groups = DEMO_GROUPS.iter().map(|group| group.parse());
    enroll(&Enrolment {
        name: DEMO_AGENT.parse()?,
        groups: groups.collect::<Result<_, _>>()?,
        owner: None,
        directory: overlay.to_owned(),
        key_file: key_file.to_owned(),
    })?;
    Ok(())
}

/// The settings of a development gateway, in the form that a production one has.
pub(super) fn settings(layout: &Layout, port: u16, control_port: u16) -> anyhow::Result<Settings> {
    let quoted = |path: &Path| toml::Value::from(path.to_string_lossy().into_owned()).to_string();
    let tls = layout.identity.as_ref().map(|identity| {
        format!(
            "tls = {{ certificate = {}, key = {}, client_ca = {}, client_auth = \"optional\" }}",
            quoted(&identity.gateway.certificate),
            quoted(&identity.gateway.key),
            quoted(&identity.ca.certificate),
        )
    });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let tls = tls.unwrap_or_default();
    let data = |name: &str| quoted(&layout.data.join(name));
    let text = format!(
        "[gateway]\npublic_url = \"{scheme}://localhost:{port}\"\n\
         [[gateway.listen]]\naddress = \"127.0.0.1:{port}\"\n{tls}\n\
         [control]\nlisten = \"127.0.0.1:{control_port}\"\n\
         public_url = \"{scheme}://localhost:{control_port}\"\n{tls}\n\
         [policies]\ndirectory = {policies}\n\
         [store]\npath = {store}\n[audit]\ndirectory = {audit}\n\
         [tokens]\nsigning_key_directory = {keys}\n",
        policies = quoted(&layout.policies),
        store = data(STORE),
        audit = data(AUDIT),
        keys = data("keys"),
    );
    let parsed = Settings::parse("the settings of dev", &text, &layout.data, []);
    let (settings, _) = parsed.map_err(|problems| anyhow::anyhow!("{problems}"))?;
    Ok(settings)
}

/// The example service takes the place of the address that the shipped policies name, unless something
/// listens there: then the policies mean that.
pub(super) async fn stand_in(example: SocketAddr) -> Option<StandIn> {
    let named: SocketAddr = NAMED_UPSTREAM.parse().ok()?;
    if let Ok(Ok(_)) = timeout(PROBE, TcpStream::connect(named)).await {
        return None;
    }
    let address = |address: SocketAddr| {
        let authority = address.to_string().parse().ok()?;
        Some(UpstreamAddress {
            tls: false,
            authority,
            socket: None,
        })
    };
    Some(StandIn {
        named: address(named)?,
        used: address(SocketAddr::from((Ipv4Addr::LOCALHOST, example.port())))?,
    })
}
