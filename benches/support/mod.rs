//! A gateway on loopback, with an agent enrolled and a grant in force, and what measures it.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use portcullis::app::{Running, Sockets, StartOptions, start};
use portcullis::base::Clock;
use portcullis::cli::{Enrolment, enroll};
use portcullis::config::Settings;
use portcullis::tokens::{SigningKey, sign_assertion};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// What the upstream answers with.
pub(crate) const ANSWER: &[u8] = &[b'a'; 200];

const AGENT: &str = "bench-bot";

/// A connection that requests are sent over, one after the other.
pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
        self.0.ready().await.unwrap();
        let response = self.0.send_request(request).await.unwrap();
        let status = response.status();
        (
            status,
            response.into_body().collect().await.unwrap().to_bytes(),
        )
    }

    /// A call that has to succeed.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Bytes {
        let (status, answer) = self.send(request(method, path, token, body)).await;
        assert!(status.is_success(), "{path}: {status} {answer:?}");
        answer
    }

    pub(crate) async fn json(
        &mut self,
        path: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Value {
        let answer = self.call(Method::POST, path, token, body).await;
        serde_json::from_slice(&answer).unwrap()
    }
}

pub(crate) fn request(
    method: Method,
    path: &str,
    token: Option<&str>,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path);
    builder = builder.header(header::HOST, "localhost");
    if let Some(token) = token {
        builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = body.into();
    let kind = match body.first() {
        Some(b'{') => "application/json",
        _ => "application/x-www-form-urlencoded",
    };
    let builder = builder.header(header::CONTENT_TYPE, kind);
    builder.body(Full::new(body)).unwrap()
}

/// A gateway with one worker, over plain HTTP, and the directory of everything that it has.
pub(crate) struct Gateway {
    running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) directory: TempDir,
    key: SigningKey,
}

impl Gateway {
    /// Starts one in front of `upstream`, with `rules` beside the two that it needs.
    pub(crate) async fn start(upstream: SocketAddr, rules: &[String]) -> Self {
        let directory = TempDir::new().unwrap();
        let policies = directory.path().join("policies");
        write_policies(&policies, upstream, rules);
        let key_file = directory.path().join("bench-bot.jwk");
        enroll(&Enrolment {
            name: AGENT.parse().unwrap(),
            groups: vec!["benches".parse().unwrap()],
            owner: None,
            directory: policies,
            key_file: key_file.clone(),
        })
        .unwrap();
        let text = "[gateway]\nworkers = 1\n[[gateway.listen]]\naddress = \"127.0.0.1:0\"\n\
                    [control]\nlisten = \"127.0.0.1:0\"\n[limits]\nlease = \"10m\"\n";
        let parsed = Settings::parse("bench", text, directory.path(), []);
        let (settings, _) = parsed.unwrap();
        let sockets = Sockets::bind(&settings).unwrap();
        let options = StartOptions {
            store_patience: None,
            clock: Clock::system(),
            sources: settings.sources(),
            operator_key: directory.path().join("operator.key"),
            drain: Duration::from_millis(100),
        };
        let running = start(settings, sockets, options).await.unwrap();
        Self {
            address: running.gateway_addresses()[0],
            control: running.control_address(),
            running,
            key: SigningKey::read(&key_file).unwrap(),
            directory,
        }
    }

    pub(crate) async fn token(&self, task: Option<&str>) -> String {
        let mut control = Client::connect(self.control).await;
        let answer = control
            .call(
                Method::GET,
                "/.well-known/oauth-authorization-server",
                None,
                "",
            )
            .await;
        let metadata: Value = serde_json::from_slice(&answer).unwrap();
        let issuer = metadata["issuer"].as_str().unwrap();
        let now = Clock::system().wall();
        let assertion = sign_assertion(&self.key, AGENT, issuer, now, Duration::from_secs(60));
        let assertion = assertion.unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let mut form = format!(
            "grant_type=client_credentials&client_assertion_type={kind}&client_assertion={}",
            assertion.expose()
        );
        if let Some(task) = task {
            form.push_str("&task=");
            form.push_str(task);
        }
        let answer = control.json("/oauth/token", None, form).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Opens a task and returns a token for it.
    pub(crate) async fn task(&self) -> (String, String) {
        let identity = self.token(None).await;
        let mut control = Client::connect(self.control).await;
        let task = control.json("/v1/tasks", Some(&identity), "{}").await;
        let task = task["id"].as_str().unwrap().to_owned();
        let token = self.token(Some(&task)).await;
        (task, token)
    }

    /// Brings a grant into force.
    pub(crate) async fn grant(control: &mut Client, task: &str, token: &str) {
        let ask = json!({ "task": task, "entitlement": "everything" }).to_string();
        let request = control.json("/v1/requests", Some(token), ask).await;
        assert_eq!(request["state"], "active", "{request}");
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await.unwrap();
        self.directory.close().unwrap();
    }
}

fn write_policies(directory: &PathBuf, upstream: SocketAddr, rules: &[String]) {
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

/// Serves [`ANSWER`] until it is dropped.
pub(crate) async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let answer = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async {
            let _ = request.into_body().collect().await;
            let body = Full::new(Bytes::from_static(ANSWER));
            Ok::<_, Infallible>(Response::new(body))
        });
        let server = hyper::server::conn::http1::Builder::new();
        tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
    }
}
