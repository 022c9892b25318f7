//! Our own gate, as its own program with everything on.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::Method;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::control::{AGENT, Control, enrolled, grant};
use crate::peers::Issuer;
use crate::process::Process;

/// A gate that runs, and what an agent with a live grant sends to it.
pub(crate) struct Ours {
    pub(crate) process: Process,
    pub(crate) listen: SocketAddr,
    /// TLS with HTTP/2.
    pub(crate) secure: SocketAddr,
    pub(crate) token: String,
    control: Control,
    _directory: TempDir,
}

/// A certificate for `localhost` that was made for this run.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    certificate: PathBuf,
    key: PathBuf,
    /// Both in one file, as haproxy wants it.
    pub(crate) both: PathBuf,
}

impl Certificate {
    pub(crate) fn new(directory: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        Self {
            der: made.cert.der().clone(),
            certificate: write("gate.pem", &certificate),
            both: write("both.pem", &format!("{certificate}{key}")),
            key: write("gate.key", &key),
        }
    }
}

/// The program that is measured.
pub(crate) fn program() -> PathBuf {
    let other = env::var_os("PORTCULLIS");
    other.map_or_else(|| env!("CARGO_BIN_EXE_portcullis").into(), PathBuf::from)
}

impl Ours {
    /// Starts one on `cores` in front of `upstream`, with a grant in force and a pushed risk.
    pub(crate) async fn start(
        cores: &str,
        workers: usize,
        upstream: SocketAddr,
        certificate: &Certificate,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let policies = directory.path().join("policies");
        fs::create_dir_all(&policies).unwrap();
        let things = include_str!("policies/things.toml");
        let things = things.replace("@UPSTREAM@", &upstream.to_string());
        fs::write(policies.join("things.toml"), things).unwrap();
        let rules = include_str!("policies/rules.cedar");
        fs::write(policies.join("rules.cedar"), rules).unwrap();
        let key = enrolled(&policies, &directory.path().join("bench-bot.jwk"));
        let (listen, secure, address) = (free(), free(), free());
        let tls = format!(
            "[[gateway.listen]]\naddress = \"{secure}\"\n\
             tls = {{ certificate = {:?}, key = {:?} }}",
            certificate.certificate, certificate.key
        );
        let config = include_str!("portcullis.toml")
            .replace("@WORKERS@", &workers.to_string())
            .replace("@LISTEN@", &listen.to_string())
            .replace("@CONTROL@", &address.to_string())
            .replace("@TLS@", &tls);
        let file = directory.path().join("portcullis.toml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(program());
        command.arg("serve").arg("--config").arg(&file);
        let mut process = Process::start(cores, &command, &directory.path().join("log"));
        process.ready(address).unwrap();
        let control = Control { address, key };
        ready(&control).await;
        let (task, token) = control.task().await;
        let mut client = control.connect().await;
        // The rules read a risk that is there.
        let operator = fs::read_to_string(directory.path().join("data/operator.key")).unwrap();
        let risk = json!({ "agent": AGENT, "score": 10, "source": "bench", "expires_in": 3600 });
        let _nothing = client
            .call(
                Method::POST,
                "/v1/signals",
                Some(operator.trim()),
                risk.to_string(),
            )
            .await;
        grant(&mut client, &task, &token).await;
        Self {
            process,
            listen,
            secure,
            token,
            control,
            _directory: directory,
        }
    }

    /// Whose tokens those are.
    pub(crate) async fn issuer(&self) -> Issuer {
        let metadata = self.control.metadata().await;
        let mut client = self.control.connect().await;
        let keys = client.call(Method::GET, "/oauth/jwks", None, "").await;
        let keys: Value = serde_json::from_slice(&keys).unwrap();
        Issuer {
            issuer: metadata["issuer"].as_str().unwrap().to_owned(),
            audience: format!("http://{}", self.listen),
            jwks: keys,
        }
    }

    /// How many requests each worker has had, in the order of their numbers.
    pub(crate) async fn requests_by_worker(&self) -> Vec<f64> {
        let mut client = self.control.connect().await;
        let metrics = client.call(Method::GET, "/metrics", None, "").await;
        let metrics = String::from_utf8(metrics.to_vec()).unwrap();
        let lines = metrics.lines();
        lines
            .filter(|line| line.starts_with("portcullis_worker_requests_total{"))
            .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
            .collect()
    }
}

async fn ready(control: &Control) {
    let mut client = control.connect().await;
    for _ in 0..500 {
        let request = crate::control::request(Method::GET, "/readyz", None, "");
        if client.send(request).await.0.is_success() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the gate does not get ready");
}

/// An address that nothing listens on.
pub(crate) fn free() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}
