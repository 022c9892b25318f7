//! The program as a process of its own, what it is told, and what it holds.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis::base::Clock;
use portcullis::cli::{Enrolment, enroll};
use portcullis::tls::mint::development_identity;
use portcullis::tokens::{SigningKey, sign_assertion};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::harness::{DevDirectories, eventually, serve, within};

const JWT_BEARER: &str = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

/// How long what has ended is kept, in seconds: as long as a token lives, which has to last for a task.
pub(super) const KEPT: u64 = 30;

/// So many of the last lines of its log are kept.
const LINES: usize = 200;

/// The gateway that is soaked.
pub(super) struct Stage {
    directories: DevDirectories,
    child: Mutex<Child>,
    id: u32,
    said: Arc<Mutex<Said>>,
    pub(super) gateway: SocketAddr,
    control: SocketAddr,
    pub(super) ca: PathBuf,
    key: SigningKey,
    operator: String,
}

/// What it said on its standard error output.
#[derive(Debug, Default)]
struct Said {
    last: Vec<String>,
    /// A worker or a task that panicked.
    panics: Vec<String>,
}

/// A task with a token for it and a grant.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) task: String,
    pub(super) token: String,
    pub(super) grant: String,
}

/// What the process holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Memory, in KiB.
    pub(super) resident: u64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    /// Of its own accounts.
    pub(super) connections: u64,
    pub(super) exchanges: u64,
    /// Of its tables in memory, but for the tokens: what lives.
    pub(super) entries: u64,
    /// Ended tasks in its store.
    pub(super) ended: u64,
    /// The store, in KiB.
    pub(super) store: u64,
}

impl Stage {
    pub(super) async fn start([shop, calls]: [SocketAddr; 2]) -> Self {
        let directories = DevDirectories::new();
        let policies = directories.path("policies");
        fs::remove_dir_all(&policies).unwrap();
        fs::create_dir(&policies).unwrap();
        fs::write(policies.join("services.toml"), services(shop, calls)).unwrap();
        fs::write(policies.join("operations.toml"), OPERATIONS).unwrap();
        fs::write(policies.join("rules.cedar"), rules(0)).unwrap();
        let key_file = directories.path("bot.jwk");
        enroll(&Enrolment {
            name: "bot".parse().unwrap(),
            groups: vec!["bots".parse().unwrap()],
            owner: None,
            directory: policies,
            key_file: key_file.clone(),
        })
        .unwrap();
        let identity = development_identity(&directories.path("certs"), &Clock::system()).unwrap();
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (gateway_socket, control_socket) = (bind(), bind());
        let gateway = gateway_socket.local_addr().unwrap();
        let control = control_socket.local_addr().unwrap();
        let settings = format!(
            "[gateway]\nworkers = 2\npublic_url = \"https://localhost:{}\"\n\
             [[gateway.listen]]\naddress = \"{gateway}\"\n\
             tls = {{ certificate = {:?}, key = {:?} }}\n\
             [control]\nlisten = \"{control}\"\npublic_url = \"http://localhost:{}\"\n\
             [limits]\ndrain = \"2s\"\n\
             [store]\nkeep_ended = \"{KEPT}s\"\n[tokens]\nttl = \"{KEPT}s\"\n",
            gateway.port(),
            identity.gateway.certificate,
            identity.gateway.key,
            control.port(),
        );
        fs::write(directories.path("portcullis.toml"), settings).unwrap();
        let mut child = serve(&directories, [&gateway_socket, &control_socket], "");
        let id = child.id();
        let said = Arc::<Mutex<Said>>::default();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let hears = Arc::clone(&said);
        thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                hears.lock().unwrap().hear(line);
            }
        });
        let operator_key = directories.path("data/operator.key");
        let mut stage = Self {
            directories,
            child: Mutex::new(child),
            id,
            said,
            gateway,
            control,
            ca: identity.ca.certificate,
            key: SigningKey::read(&key_file).unwrap(),
            operator: String::new(),
        };
        let key = eventually("the operator's key", || {
            let key = fs::read_to_string(&operator_key).ok()?;
            (!key.trim().is_empty()).then(|| key.trim().to_owned())
        });
        stage.operator = key.await;
        stage.expect("GET", "/livez", "", &Value::Null, 200).await;
        stage
    }

    /// An agent's token for a task, or for none.
    async fn token(&self, task: Option<&str>) -> String {
        // Each is remembered until its end, and only so many are of one agent.
        let (now, ttl) = (Clock::system().wall(), Duration::from_secs(10));
        let issuer = format!("http://localhost:{}", self.control.port());
        let assertion = sign_assertion(&self.key, "bot", &issuer, now, ttl).unwrap();
        let mut form = format!(
            "grant_type=client_credentials&client_assertion_type={JWT_BEARER}&client_assertion={}",
            assertion.expose()
        );
        if let Some(task) = task {
            form.push_str("&task=");
            form.push_str(task);
        }
        let kind = "application/x-www-form-urlencoded";
        let (status, body) = self.ask("POST", "/oauth/token", "", (kind, form)).await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// A new task with a grant.
    pub(super) async fn opens(&self) -> Work {
        let identity = self.token(None).await;
        let opened = json!({ "lease_seconds": 3600 });
        let opened = self
            .expect("POST", "/v1/tasks", &identity, &opened, 201)
            .await;
        let task = opened["id"].as_str().unwrap().to_owned();
        let token = self.token(Some(&task)).await;
        let request = json!({ "task": task, "entitlement": "work" });
        let granted = self
            .expect("POST", "/v1/requests", &token, &request, 201)
            .await;
        let grant = granted["grant"].as_str().unwrap().to_owned();
        Work { task, token, grant }
    }

    pub(super) async fn completes(&self, work: &Work) {
        let path = format!("/v1/tasks/{}/complete", work.task);
        self.expect("POST", &path, &work.token, &Value::Null, 200)
            .await;
    }

    pub(super) async fn revokes(&self, work: &Work) -> Value {
        let path = format!("/v1/grants/{}/revoke", work.grant);
        self.expect("POST", &path, &self.operator, &Value::Null, 200)
            .await
    }

    /// Changes the rules, and has them looked at.
    pub(super) async fn reloads(&self, number: u64) {
        let file = self.directories.path("policies/rules.cedar");
        let draft = self.directories.path("rules.draft");
        fs::write(&draft, rules(number)).unwrap();
        fs::rename(draft, file).unwrap();
        let operator = &self.operator;
        let path = "/v1/policies/reload";
        self.expect("POST", path, operator, &Value::Null, 200).await;
    }

    async fn expect(
        &self,
        method: &str,
        path: &str,
        bearer: &str,
        body: &Value,
        status: u16,
    ) -> Value {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let (own, text) = self
            .ask(method, path, bearer, ("application/json", body))
            .await;
        assert_eq!(own, status, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        bearer: &str,
        (kind, body): (&str, String),
    ) -> (u16, String) {
        let stream = TcpStream::connect(self.control).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let running = tokio::spawn(connection);
        let request = Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(path)
            .header("host", format!("localhost:{}", self.control.port()))
            .header("content-type", kind)
            .header("connection", "close");
        let request = if bearer.is_empty() {
            request
        } else {
            request.header("authorization", format!("Bearer {bearer}"))
        };
        let request = request.body(Full::new(bytes::Bytes::from(body))).unwrap();
        let what = format!("the answer of the control side to {path}");
        let response = within(&what, sender.send_request(request)).await.unwrap();
        let status = response.status().as_u16();
        let body = within(&what, response.into_body().collect()).await.unwrap();
        running.abort();
        let body = body.to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(super) async fn holds(&self) -> Held {
        let (_, metrics) = self
            .ask("GET", "/metrics", &self.operator, ("", String::new()))
            .await;
        let gauge = |name: &str| {
            let value = metrics.lines().find_map(|line| line.strip_prefix(name));
            let value = value.unwrap_or_else(|| panic!("no {name} in {metrics}"));
            value.trim().parse().unwrap()
        };
        let tables = metrics.lines().filter_map(|line| {
            let (table, count) = line.strip_prefix("portcullis_entries{")?.split_once("} ")?;
            (table != "table=\"tokens\"").then(|| count.parse::<u64>().unwrap())
        });
        let entries = tables.sum();
        let store = fs::metadata(self.directories.path("data/portcullis.db"));
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap();
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let mut words = line.unwrap().split_whitespace();
            words.next().unwrap().parse::<u64>().unwrap()
        };
        let open = fs::read_dir(format!("/proc/{}/fd", self.id)).unwrap();
        Held {
            resident: line("VmRSS:"),
            descriptors: open.count(),
            threads: line("Threads:") as usize,
            connections: gauge("portcullis_connections "),
            exchanges: gauge("portcullis_exchanges "),
            entries,
            ended: gauge("portcullis_ended_tasks "),
            store: store.unwrap().len() >> 10,
        }
    }

    /// Stops it in order; what it said is judged, and so are its records.
    pub(super) fn stops(self) {
        let status = self.stop();
        let said = self.said.lock().unwrap();
        assert!(status.success(), "{status}: {:#?}", said.last);
        assert!(said.panics.is_empty(), "{:#?}", said.panics);
        let audit = self.directories.path("data/audit");
        let verified = std::process::Command::new(crate::harness::program())
            .args(["audit", "verify"])
            .arg(audit)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success(), "{told}");
        print!("{}", String::from_utf8_lossy(&verified.stdout));
    }

    fn stop(&self) -> ExitStatus {
        let mut child = self.child.lock().unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        child.wait().unwrap()
    }
}

impl Said {
    fn hear(&mut self, line: String) {
        if line.contains("panicked") {
            self.panics.push(line.clone());
        }
        if self.last.len() == LINES {
            self.last.remove(0);
        }
        self.last.push(line);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn services(shop: SocketAddr, calls: SocketAddr) -> String {
    format!(
        "[[service]]\nname = \"shop\"\nmatch = {{ path = \"/shop\" }}\n\
         upstreams = [\"http://{shop}\"]\n\
         [[service]]\nname = \"calls\"\nmatch = {{ path = \"/calls\" }}\n\
         upstreams = [\"http://{calls}\"]\nprotocol = \"http2\"\n"
    )
}

/// Rules that permit the same whatever their number.
fn rules(number: u64) -> String {
    format!(
        "@id(\"open\")\npermit (principal, action in Action::\"open\", resource);\n\
         @id(\"bots-may-ask\")\npermit (principal in AgentGroup::\"bots\", \
         action == Action::\"request\", resource);\n\
         @id(\"changing\")\nforbid (principal, action in Action::\"open\", resource)\n\
         when {{ context.local.hour > {} }};\n",
        24 + number
    )
}

const OPERATIONS: &str = r#"
[[operation]]
id = "shop.read"
service = "shop"
route = "GET /shop/items/{id}"
groups = ["open"]
input = { id = "path:String" }

[[operation]]
id = "shop.data"
service = "shop"
route = "ANY /shop/data/{id}"
groups = ["open"]

[[operation]]
id = "shop.endless"
service = "shop"
route = "GET /shop/endless/{id}"
groups = ["open"]

[[operation]]
id = "shop.stream"
service = "shop"
route = "GET /shop/stream/{id}"
groups = ["open"]
protocol = "sse"

[[operation]]
id = "shop.socket"
service = "shop"
route = "GET /shop/socket/{id}"
groups = ["open"]
protocol = "websocket"

[[operation]]
id = "calls.call"
service = "calls"
route = "POST /calls/call/{id}"
groups = ["open"]
protocol = "grpc"

[[entitlement]]
id = "work"
operations = ["shop.read", "shop.data", "shop.endless", "shop.stream", "shop.socket", "calls.call"]
max_ttl = "1h"
"#;
