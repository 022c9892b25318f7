//! The program, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard};
use std::thread::spawn;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use portcullis::tokens::SigningKey;

use super::wire;

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that runs, or has run.
pub(super) struct Process {
    child: Mutex<Child>,
    id: u32,
    facts: Value,
    pub(super) operator: String,
    pub(super) key: SigningKey,
    /// A token of the demo agent that names no task.
    pub(super) token: String,
}

impl Process {
    /// Starts one in `place`.
    pub(super) fn start(place: &Path) -> Self {
        Self::start_with(place, &[])
    }

    pub(super) fn start_with(place: &Path, more: &[&str]) -> Self {
        Self::spawn(&mut command(place, ["0", "0"], more))
    }

    /// Starts it again where it was, under the same URLs.
    pub(super) fn again(&self, place: &Path) -> Self {
        let ports = [self.port("gateway"), self.port("control")].map(|port| port.to_string());
        let [gateway, control] = &ports;
        Self::spawn(&mut command(place, [gateway, control], &[]))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let facts: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("it does not start: {error}: {line}");
        });
        let file = |file: &Value| file.as_str().unwrap().to_owned();
        let operator = std::fs::read_to_string(file(&facts["operator_key"])).unwrap();
        let key = file(&facts["agents"]["demo-bot"]);
        let mut process = Self {
            id: child.id(),
            child: Mutex::new(child),
            facts,
            operator: operator.trim().to_owned(),
            key: SigningKey::read(Path::new(&key)).unwrap(),
            token: String::new(),
        };
        process.token = wire::token(&process, None).unwrap();
        process
    }

    /// Makes a person's first key.
    pub(super) fn key_for(&self, person: &str) -> String {
        let path = format!("/v1/people/{person}/keys");
        let made = wire::post(self, &path, &self.operator, &Value::Null).unwrap();
        assert_eq!(made.status, 201, "{made:?}");
        made.text("key")
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// The port in one of its URLs.
    pub(super) fn port(&self, url: &str) -> u16 {
        let url = self.facts[url].as_str().unwrap();
        url.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub(super) fn control_url(&self) -> &str {
        self.facts["control"].as_str().unwrap()
    }

    /// Kills it: it can't do anything about it.
    pub(super) fn kill(&self) {
        let mut child = self.child();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop.
    pub(super) fn stop(&self) -> ExitStatus {
        let mut child = self.child();
        let id = Pid::from_child(&child);
        kill_process(id, Signal::TERM).unwrap();
        child.wait().unwrap()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // It may be gone.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// What a gateway says that can't start there.
pub(super) fn refused(place: &Path, more: &[&str]) -> String {
    let child = command(place, ["0", "0"], more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = Pid::from_child(&child);
    let (ended, waits) = sync_channel::<()>(0);
    let guard = spawn(move || {
        // One that starts all the same would never end by itself.
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            kill_process(id, Signal::KILL).unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    guard.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn command(place: &Path, [gateway, control]: [&str; 2], more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .args(["dev", "--plain", "--port", gateway])
        .args(["--control-port", control])
        .args(["--output", "json", "--data"])
        .arg(place.join("data"))
        .arg("--policies")
        .arg(place.join("policies"))
        .args(more)
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}
