//! A gateway on loopback within this process, with an agent enrolled.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use portcullis::app::{Running, Sockets, StartOptions, start};
use portcullis::base::Clock;
use portcullis::config::Settings;
use portcullis::tokens::SigningKey;
use tempfile::TempDir;

use crate::control::{Control, enrolled};

/// A gateway with one worker, over plain HTTP, and the directory of everything that it has.
pub(crate) struct Gateway {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) control: Control,
    pub(crate) directory: TempDir,
}

impl Gateway {
    /// Starts one in front of `upstream`, with `rules` beside the two that it needs.
    pub(crate) async fn start(upstream: SocketAddr, rules: &[String]) -> Self {
        let directory = TempDir::new().unwrap();
        let key = prepare(directory.path(), upstream, rules);
        let running = run(directory.path(), "").await;
        Self {
            address: running.gateway_addresses()[0],
            control: Control {
                address: running.control_address(),
                key,
            },
            running,
            directory,
        }
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await.unwrap();
        self.directory.close().unwrap();
    }
}

/// Writes the policies of a gateway in front of `upstream`, and the key of its agent.
pub(crate) fn prepare(directory: &Path, upstream: SocketAddr, rules: &[String]) -> SigningKey {
    let policies = directory.join("policies");
    write_policies(&policies, upstream, rules);
    enrolled(&policies, &directory.join(KEY))
}

/// The file of the agent's key.
pub(crate) const KEY: &str = "bench-bot.jwk";

/// What a gateway in `directory` is told; `listen` is more of how it listens.
pub(crate) fn settings(directory: &Path, listen: &str) -> Settings {
    let text = format!(
        "[gateway]\nworkers = 1\n[[gateway.listen]]\naddress = \"127.0.0.1:0\"\n{listen}\n\
         [control]\nlisten = \"127.0.0.1:0\"\n\
         [limits]\nlease = \"10m\"\nconnections = 20000\nconnections_per_source = 20000\n"
    );
    let parsed = Settings::parse("bench", &text, directory, []);
    parsed.unwrap().0
}

/// Runs a gateway in a directory that is prepared.
pub(crate) async fn run(directory: &Path, listen: &str) -> Running {
    let settings = settings(directory, listen);
    let sockets = Sockets::bind(&settings).unwrap();
    let options = StartOptions {
        store_patience: None,
        clock: Clock::system(),
        sources: settings.sources(),
        operator_key: directory.join("operator.key"),
        drain: Duration::from_millis(100),
    };
    start(settings, sockets, options).await.unwrap()
}

fn write_policies(directory: &Path, upstream: SocketAddr, rules: &[String]) {
    fs::create_dir_all(directory).unwrap();
    let table = format!(
        "[[service]]\nname = \"things\"\nmatch = {{ path = \"/things\" }}\n\
         upstreams = [\"http://{upstream}\"]\n\
         [[operation]]\nid = \"things.read\"\nservice = \"things\"\nroute = \"GET /things/{{id}}\"\n\
         groups = [\"read\"]\nrisk = \"low\"\ninput = {{ id = \"path:String\" }}\n\
         [[operation]]\nid = \"things.write\"\nservice = \"things\"\nroute = \"PUT /things/{{id}}\"\n\
         groups = [\"write\"]\nrisk = \"high\"\ninput = {{ id = \"path:String\" }}\n\
         [[entitlement]]\nid = \"everything\"\ngroups = [\"things:read\"]\nmax_ttl = \"1h\"\n"
    );
    fs::write(directory.join("things.toml"), table).unwrap();
    let first = r#"@id("all") permit (principal in AgentGroup::"benches", action, resource);
        @id("limits") forbid (principal, action in Action::"read", resource == Service::"things")
        unless { context.source.ip.isLoopback() && context has grant && context.input.id != "0" };
    "#;
    fs::write(directory.join("first.cedar"), first).unwrap();
    for (number, rules) in rules.chunks(100).enumerate() {
        fs::write(directory.join(format!("{number}.cedar")), rules.concat()).unwrap();
    }
}
