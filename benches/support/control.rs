//! The control side of a gateway, as its agent uses it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use portcullis::base::Clock;
use portcullis::cli::{Enrolment, enroll};
use portcullis::tokens::{SigningKey, sign_assertion};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The agent that all calls come from.
pub(crate) const AGENT: &str = "bench-bot";

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

/// Enrols [`AGENT`] in `policies`; its key is what proves who it is.
pub(crate) fn enrolled(policies: &Path, key_file: &Path) -> SigningKey {
    enroll(&Enrolment {
        name: AGENT.parse().unwrap(),
        groups: vec!["benches".parse().unwrap()],
        owner: None,
        directory: policies.to_owned(),
        key_file: key_file.to_owned(),
    })
    .unwrap();
    SigningKey::read(key_file).unwrap()
}

/// The control address of a gateway, and the key of its agent.
pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    pub(crate) key: SigningKey,
}

impl Control {
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// What the authorization server says of itself.
    pub(crate) async fn metadata(&self) -> Value {
        let path = "/.well-known/oauth-authorization-server";
        let answer = self.connect().await.call(Method::GET, path, None, "").await;
        serde_json::from_slice(&answer).unwrap()
    }

    pub(crate) async fn token(&self, task: Option<&str>) -> String {
        let metadata = self.metadata().await;
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
        let mut client = self.connect().await;
        let answer = client.json("/oauth/token", None, form).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Opens a task and returns a token for it.
    pub(crate) async fn task(&self) -> (String, String) {
        let identity = self.token(None).await;
        let mut client = self.connect().await;
        let task = client.json("/v1/tasks", Some(&identity), "{}").await;
        let task = task["id"].as_str().unwrap().to_owned();
        let token = self.token(Some(&task)).await;
        (task, token)
    }
}

/// Brings a grant into force.
pub(crate) async fn grant(client: &mut Client, task: &str, token: &str) {
    let ask = json!({ "task": task, "entitlement": "everything" }).to_string();
    let request = client.json("/v1/requests", Some(token), ask).await;
    assert_eq!(request["state"], "active", "{request}");
}
