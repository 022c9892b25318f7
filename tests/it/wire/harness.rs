//! A gateway with one service and one operation that needs no grant.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis::app::{Running, Sockets, StartOptions, start};
use portcullis::base::Clock;
use portcullis::cli::{Enrolment, enroll};
use portcullis::config::Settings;
use portcullis::tls::mint::{DevelopmentIdentity, development_identity};
use portcullis::tokens::{SigningKey, sign_assertion};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::client::Raw;
use super::upstream::Upstream;

const OPERATIONS: &str = r#"
[[operation]]
id = "any.call"
service = "any"
route = "ANY /{*rest}"
groups = ["read"]
risk = "low"
baseline = true
"#;

const RULES: &str = "permit(principal, action in Action::\"baseline\", resource);\n";

/// A running gateway, the upstream behind it, and a token for it.
pub(super) struct Gateway {
    runtime: Runtime,
    running: Running,
    directory: TempDir,
    /// Plain HTTP.
    pub(super) address: SocketAddr,
    /// TLS, with a certificate that `ca` has signed.
    pub(super) secure_address: SocketAddr,
    /// Plain HTTP, in what the client begins with.
    pub(super) either_address: SocketAddr,
    pub(super) ca: PathBuf,
    pub(super) token: String,
    pub(super) upstream: Upstream,
}

impl Gateway {
    pub(super) fn start() -> Self {
        Self::with_limits("")
    }

    /// `limits` are lines of `[limits]`.
    pub(super) fn with_limits(limits: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let upstream = Upstream::start();
        let key = write_policies(&directory, upstream.address());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let certificates = directory.path().join("certs");
        let identity = development_identity(&certificates, &Clock::system()).unwrap();
        let (running, issuer) = runtime.block_on(launch(&directory, &identity, limits));
        let (address, secure_address, either_address) = match running.gateway_addresses() {
            [address, secure, either] => (*address, *secure, *either),
            addresses => panic!("{addresses:?}"),
        };
        let token = fetch_token(running.control_address(), &issuer, &key);
        Self {
            runtime,
            running,
            directory,
            address,
            secure_address,
            either_address,
            ca: identity.ca.certificate,
            token,
            upstream,
        }
    }

    /// Runs something that needs a runtime.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(super) fn connect(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// Stops, and gives the records of calls.
    pub(super) fn stop(self) -> Vec<Value> {
        self.runtime.block_on(self.running.stop()).unwrap();
        let mut records = Vec::new();
        for entry in fs::read_dir(self.directory.path().join("audit")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            records.extend(lines.filter(|record: &Value| record["kind"] == "call"));
        }
        records
    }
}

fn write_policies(directory: &TempDir, upstream: SocketAddr) -> SigningKey {
    let policies = directory.path().join("policies");
    fs::create_dir_all(policies.join("conditions")).unwrap();
    let services = format!(
        "[[service]]\nname = \"any\"\nmatch = {{ path = \"/\" }}\n\
         upstreams = [\"http://{upstream}\"]\n"
    );
    fs::write(policies.join("services.toml"), services).unwrap();
    fs::write(policies.join("operations.toml"), OPERATIONS).unwrap();
    fs::write(policies.join("conditions/all.cedar"), RULES).unwrap();
    let key_file = directory.path().join("agent.jwk");
    enroll(&Enrolment {
        name: "bot".parse().unwrap(),
        groups: Vec::new(),
        owner: None,
        directory: policies,
        key_file: key_file.clone(),
    })
    .unwrap();
    SigningKey::read(&key_file).unwrap()
}

async fn launch(
    directory: &TempDir,
    identity: &DevelopmentIdentity,
    limits: &str,
) -> (Running, String) {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (certificate, key) = (&identity.gateway.certificate, &identity.gateway.key);
    let text = |port: u16, control: u16| {
        format!(
            "[gateway]\npublic_url = \"http://localhost:{port}\"\nworkers = 1\n\
             [[gateway.listen]]\naddress = \"127.0.0.1:{port}\"\n\
             [[gateway.listen]]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificate = {certificate:?}, key = {key:?} }}\n\
             [[gateway.listen]]\naddress = \"127.0.0.1:0\"\n\
             protocols = [\"h2\", \"http/1.1\"]\n\
             [control]\nlisten = \"127.0.0.1:{control}\"\n\
             public_url = \"http://localhost:{control}\"\n\
             [policies]\ndirectory = \"{}\"\n[store]\npath = \"{}\"\n\
             [audit]\ndirectory = \"{}\"\n[tokens]\nsigning_key_directory = \"{}\"\n\
             [limits]\n{limits}\n",
            path("policies"),
            path("store.db"),
            path("audit"),
            path("keys"),
        )
    };
    let parse = |port, control| {
        let text = text(port, control);
        let parsed = Settings::parse("the test's settings", &text, directory.path(), []);
        parsed.unwrap_or_else(|problems| panic!("{problems}")).0
    };
    // The URLs are known once the ports are.
    let sockets = Sockets::bind(&parse(0, 0)).unwrap();
    let port = sockets.gateway_addresses()[0].port();
    let settings = parse(port, sockets.control_address().port());
    let issuer = settings.control.public_url.to_string();
    let options = StartOptions {
        store_patience: None,
        clock: Clock::system(),
        sources: settings.sources(),
        operator_key: directory.path().join("operator.key"),
        drain: Duration::from_secs(1),
    };
    (start(settings, sockets, options).await.unwrap(), issuer)
}

fn fetch_token(control: SocketAddr, issuer: &str, key: &SigningKey) -> String {
    let now = Clock::system().wall();
    let assertion = sign_assertion(key, "bot", issuer, now, Duration::from_secs(60)).unwrap();
    let form = format!(
        "grant_type=client_credentials&client_assertion_type=\
         urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={}",
        assertion.expose()
    );
    let mut control = Raw::connect(control);
    control.send(
        format!(
            "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        )
        .as_bytes(),
    );
    let answer = control.answer().expect("an answer of the token endpoint");
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    let token = document["access_token"].as_str();
    token.unwrap_or_else(|| panic!("{document}")).to_owned()
}
