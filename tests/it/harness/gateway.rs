//! The gateway that a test talks to.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch::Receiver;
use tokio::task::block_in_place;

use portcullis::app::Running;
use portcullis::base::{Clock, ManualClock};
use portcullis::config::{Outcome, Status};
use portcullis::tls::mint::DevelopmentIdentity;
use portcullis::tls::{ClientFiles, Connector};

use super::client::Side;
use super::{Agent, Call, Plan, Upstream, within};

/// A gateway that runs, with everything around it. It stops in order when it is dropped.
pub(crate) struct Gateway {
    pub(crate) upstream: Upstream,
    pub(crate) clock: Clock,
    pub(crate) public_url: String,
    pub(crate) control_url: String,
    directory: TempDir,
    time: Option<ManualClock>,
    ca: Option<PathBuf>,
    address: SocketAddr,
    control: SocketAddr,
    plan: Plan,
    running: Option<Running>,
}

impl Gateway {
    pub(super) fn new(
        directory: TempDir,
        upstream: Upstream,
        (plan, running): (Plan, Running),
        (clock, time): (Clock, Option<ManualClock>),
        [public_url, control_url]: [String; 2],
        identity: Option<&DevelopmentIdentity>,
    ) -> Self {
        Self {
            upstream,
            clock,
            public_url,
            control_url,
            directory,
            time,
            ca: identity.map(|identity| identity.ca.certificate.clone()),
            address: running.gateway_addresses()[0],
            control: running.control_address(),
            plan,
            running: Some(running),
        }
    }

    /// A call of the gateway itself.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call::new(self, Side::Gateway, method.parse::<Method>().unwrap(), path)
    }

    /// A call of the control side.
    pub(crate) fn control(&self, method: &str, path: &str) -> Call<'_> {
        Call::new(self, Side::Control, method.parse::<Method>().unwrap(), path)
    }

    /// An agent that is enrolled here.
    pub(crate) fn agent(&self, name: &str) -> Agent<'_> {
        Agent::open(self, name)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn control_address(&self) -> SocketAddr {
        self.control
    }

    /// What clients trust; none where the gateway speaks plain HTTP.
    pub(crate) fn connector(&self, http2: bool) -> Option<Connector> {
        let files = ClientFiles {
            ca: Some(self.ca.clone()?),
            client: None,
        };
        Some(Connector::open(&files, http2, self.clock.clone()).unwrap())
    }

    /// The first operator's key.
    pub(crate) fn operator(&self) -> String {
        let key = fs::read_to_string(self.root().join("data/operator.key")).unwrap();
        key.trim().to_owned()
    }

    /// The directory that everything is in.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.root().join("policies")
    }

    /// A key pair of the token authority, as it lies on the disk.
    pub(crate) fn signing_key(&self) -> Value {
        let mut files = fs::read_dir(self.root().join("data/keys")).unwrap();
        let file = files
            .find_map(|file| {
                let path = file.unwrap().path();
                path.extension().is_some_and(|e| e == "jwk").then_some(path)
            })
            .expect("a signing key");
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    }

    /// Moves the clock of a gateway that has a manual one.
    pub(crate) fn advance(&self, by: Duration) {
        let time = self.time.as_ref().expect("a manual clock");
        time.advance(by);
    }

    pub(crate) fn time(&self) -> &ManualClock {
        self.time.as_ref().expect("a manual clock")
    }

    /// Replaces a policy file, as an editor does.
    pub(crate) fn write_policy(&self, name: &str, text: &str) {
        let file = self.policies().join(name);
        let draft = self.policies().join(format!("{name}.draft"));
        let text = text.replace("{upstream}", &self.upstream.address().to_string());
        fs::write(&draft, text).unwrap();
        fs::rename(draft, file).unwrap();
    }

    /// Changes a policy file in one place.
    pub(crate) fn edit_policy(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.policies().join(name)).unwrap();
        assert!(text.contains(from), "`{from}` is not in {text}");
        self.write_policy(name, &text.replace(from, to));
    }

    /// Looks at the files now; what they say is live when this returns.
    pub(crate) async fn reload(&self) -> Outcome {
        let reload = self.running().reloader().reload();
        within("a reload", reload).await.unwrap()
    }

    /// As [`reload`](Self::reload), for files that have to be accepted.
    pub(crate) async fn publish(&self) {
        match self.reload().await {
            Outcome::Published(_) | Outcome::Unchanged => {}
            Outcome::Refused(problems) => panic!("{problems}"),
            Outcome::Held(held) => panic!("{held:?}"),
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.running().reloader().status()
    }

    /// Waits until the gateway notices by itself what `wanted` says of its status.
    pub(crate) async fn notices(&self, what: &str, wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.running().reloader().watch_status();
        let noticed = within(what, status.wait_for(wanted)).await;
        noticed.unwrap().clone()
    }

    /// Every change of where the configuration stands from now on.
    pub(crate) fn watch_status(&self) -> Receiver<Status> {
        self.running().reloader().watch_status()
    }

    /// The policy files whose writers the gateway waits for.
    pub(crate) fn being_written(&self) -> Receiver<Vec<String>> {
        self.running().reloader().being_written()
    }

    /// The lines of the audit log that are on the disk now.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = self.audit_text();
        let whole = text.lines().filter(|line| line.ends_with('}'));
        whole.map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    pub(crate) fn audit_text(&self) -> String {
        let mut segments: Vec<_> = fs::read_dir(self.audit_directory())
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
            .collect();
        segments.sort();
        let texts = segments
            .iter()
            .map(|path| fs::read_to_string(path).unwrap());
        texts.collect()
    }

    pub(crate) fn audit_directory(&self) -> PathBuf {
        self.root().join("data/audit")
    }

    /// Stops the gateway, and returns its whole audit log.
    pub(crate) async fn stop(&mut self) -> Vec<Value> {
        if let Some(running) = self.running.take() {
            within("the gateway stops", running.stop()).await.unwrap();
        }
        self.audit()
    }

    /// Stops the gateway, and starts it again as it was started before.
    pub(crate) async fn restart(&mut self) {
        if let Err(error) = self.try_restart().await {
            panic!("{error:#}");
        }
    }

    /// The same, where that may fail.
    pub(crate) async fn try_restart(&mut self) -> anyhow::Result<()> {
        self.stop().await;
        let ports = [self.address.port(), self.control.port()];
        let started = self.plan.start_again(self.root(), &self.clock, ports).await;
        self.running = Some(started?);
        Ok(())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the gateway runs")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let stopped = block_in_place(|| {
            Handle::current().block_on(within("the gateway stops", running.stop()))
        });
        // A test that has failed already says more than this would.
        if !std::thread::panicking() {
            stopped.unwrap();
        }
    }
}
