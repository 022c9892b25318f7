//! One request on one connection, answered whole or not at all.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use portcullis::base::Clock;
use portcullis::tokens::sign_assertion;

use super::process::Process;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

const JWT_BEARER: &str = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

const FORM: &str = "application/x-www-form-urlencoded";

/// An answer that came whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The nonce for the next proof of possession.
    pub(super) nonce: Option<String>,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap().to_owned()
    }
}

pub(super) fn get(process: &Process, path: &str, bearer: Option<&str>) -> io::Result<Answer> {
    let port = process.port("control");
    exchange(port, "GET", path, bearer, "application/json", "")
}

pub(super) fn post(
    process: &Process,
    path: &str,
    bearer: &str,
    body: &Value,
) -> io::Result<Answer> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let port = process.port("control");
    exchange(port, "POST", path, Some(bearer), "application/json", &body)
}

/// As [`post`], with an `Idempotency-Key`.
pub(super) fn post_once(
    process: &Process,
    path: &str,
    bearer: &str,
    key: &str,
    body: &Value,
) -> io::Result<Answer> {
    let kind = format!("application/json\r\nidempotency-key: {key}");
    let port = process.port("control");
    exchange(port, "POST", path, Some(bearer), &kind, &body.to_string())
}

/// A call through the gateway.
pub(super) fn call(process: &Process, path: &str, bearer: &str) -> io::Result<Answer> {
    let port = process.port("gateway");
    exchange(port, "GET", path, Some(bearer), "application/json", "")
}

/// An assertion of the demo agent, good for a minute.
pub(super) fn assertion(process: &Process) -> String {
    let now = Clock::system().wall();
    let ttl = Duration::from_secs(60);
    let signed = sign_assertion(&process.key, "demo-bot", process.control_url(), now, ttl);
    signed.unwrap().expose().clone()
}

/// Asks for a token of the demo agent by an assertion that was made before, with a proof of possession.
pub(super) fn token_by(
    process: &Process,
    assertion: &str,
    proof: Option<&str>,
) -> io::Result<Answer> {
    let kind = match proof {
        Some(proof) => format!("{FORM}\r\ndpop: {proof}"),
        None => FORM.to_owned(),
    };
    let port = process.port("control");
    exchange(port, "POST", "/oauth/token", None, &kind, &form(assertion))
}

fn form(assertion: &str) -> String {
    format!(
        "grant_type=client_credentials&client_assertion_type={JWT_BEARER}&client_assertion={assertion}"
    )
}

/// A token of the demo agent, for a task if one is named.
pub(super) fn token(process: &Process, task: Option<&str>) -> io::Result<String> {
    let mut form = form(&assertion(process));
    if let Some(task) = task {
        form.push_str("&task=");
        form.push_str(task);
    }
    let port = process.port("control");
    let answer = exchange(port, "POST", "/oauth/token", None, FORM, &form)?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("no token: {answer:?}")));
    }
    Ok(answer.text("access_token"))
}

pub(super) fn exchange(
    port: u16,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    kind: &str,
    body: &str,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\n");
    if let Some(bearer) = bearer {
        request.push_str(&format!("authorization: Bearer {bearer}\r\n"));
    }
    if !body.is_empty() {
        let length = body.len();
        request.push_str(&format!(
            "content-type: {kind}\r\ncontent-length: {length}\r\n"
        ));
    }
    request.push_str("connection: close\r\n\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other("the answer broke off"))
}

/// The answer, if all of it is there.
fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |wanted: &str| {
        lines.clone().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.eq_ignore_ascii_case(wanted);
            is_it.then(|| value.trim().to_owned())
        })
    };
    let length = match header("content-length") {
        Some(length) => length.parse::<usize>().ok()?,
        // It has no body (RFC 9110 §15.3.5).
        None if status == 204 => 0,
        None => return None,
    };
    if length != body.len() {
        return None;
    }
    let nonce = header("dpop-nonce");
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    Some(Answer {
        status,
        nonce,
        body,
    })
}
