//! What is said of agents, over a kill: the scores that were pushed, and those of transmitters of security events,
//! with their order and which events were taken already.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Child;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use portcullis::base::Clock;

use super::wire;
use crate::harness::{DevDirectories, Es256, now_seconds, serve};

const ISSUER: &str = "https://idp.example";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_secs(30);

const AGENT: &str = r#"
[[agent]]
id = "watched-bot"
subject = "watched-bot"
"#;

/// A gateway that takes events, and is killed.
struct World {
    directories: DevDirectories,
    sockets: [TcpListener; 2],
    key: Es256,
    child: Child,
}

impl World {
    fn start() -> Self {
        let directories = DevDirectories::new();
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let key = Es256::generate();
        let [gateway, control] = [0, 1].map(|one| sockets[one].local_addr().unwrap());
        let settings = format!(
            "[gateway]\npublic_url = \"http://{gateway}\"\n\
             [[gateway.listen]]\naddress = \"{gateway}\"\n\
             [control]\nlisten = \"{control}\"\npublic_url = \"http://{control}\"\n\
             [[ssf_transmitter]]\nissuer = \"{ISSUER}\"\njwks_file = \"idp.json\"\n\
             audience = \"https://gate.example\"\n"
        );
        fs::write(directories.path("portcullis.toml"), settings).unwrap();
        let jwks = json!({ "keys": [key.public_jwk("sets")] }).to_string();
        fs::write(directories.path("idp.json"), jwks).unwrap();
        fs::write(directories.path("policies/watched.toml"), AGENT).unwrap();
        let child = spawn(&directories, &sockets);
        let world = Self {
            directories,
            sockets,
            key,
            child,
        };
        world.is_up();
        world
    }

    fn kill_and_start(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.directories, &self.sockets);
        self.is_up();
    }

    /// Waits until it takes events: the key set is read beside the start.
    fn is_up(&self) {
        let id = self.child.id();
        let verification = json!({ "state": "x" });
        let mut number = 0;
        until("it takes events", || {
            number += 1;
            let jti = format!("up-{id}-{number}");
            self.push(&jti, 0, VERIFICATION, &verification) == 202
        });
    }

    /// The status for an event that was made so many seconds ago.
    fn push(&self, jti: &str, ago: i64, uri: &str, payload: &Value) -> u16 {
        let header = json!({ "alg": "ES256", "kid": "sets", "typ": "secevent+jwt" });
        let claims = json!({
            "iss": ISSUER, "aud": "https://gate.example", "iat": now_seconds() - ago, "jti": jti,
            "sub_id": { "format": "opaque", "id": "watched-bot" }, "events": { uri: payload },
        });
        let token = self.key.sign(&header, &claims);
        let kind = "application/secevent+jwt";
        let pushed = wire::exchange(self.control(), "POST", "/ssf/events", None, kind, &token);
        pushed.map_or(0, |answer| answer.status)
    }

    fn level(&self, jti: &str, ago: i64, level: &str) {
        let uri = format!("{CAEP}/risk-level-change");
        let payload = json!({ "principal": "USER", "current_level": level });
        assert_eq!(self.push(jti, ago, &uri, &payload), 202);
    }

    fn score(&self) -> Value {
        let path = "/v1/agents/watched-bot/risk";
        let operator = self.operator();
        let risk = wire::exchange(self.control(), "GET", path, Some(&operator), "", "");
        risk.unwrap().body["score"].clone()
    }

    /// Somebody who watches says so.
    fn says(&self, source: &str, score: i64, seconds: u64) {
        let body = json!({
            "agent": "watched-bot", "source": source, "score": score, "expires_in": seconds,
        });
        let (kind, body) = ("application/json", body.to_string());
        let operator = self.operator();
        let path = "/v1/signals";
        let said = wire::exchange(self.control(), "POST", path, Some(&operator), kind, &body);
        assert_eq!(said.unwrap().status, 204);
    }

    fn operator(&self) -> String {
        let key = fs::read_to_string(self.directories.path("data/operator.key")).unwrap();
        key.trim().to_owned()
    }

    fn control(&self) -> u16 {
        self.sockets[1].local_addr().unwrap().port()
    }

    /// How often it is recorded that an event was taken.
    fn recorded(&self, jti: &str) -> usize {
        let files = fs::read_dir(self.directories.path("data/audit")).unwrap();
        let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap_or_default());
        let wanted = format!("jti \\\"{jti}\\\"");
        texts.map(|text| text.matches(&wanted).count()).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directories: &DevDirectories, [gateway, control]: &[TcpListener; 2]) -> Child {
    let mut child = serve(directories, [gateway, control], "");
    // Read to the end, so that it never waits for a reader.
    let errors = BufReader::new(child.stderr.take().unwrap());
    thread::spawn(move || errors.lines().map_while(Result::ok).for_each(drop));
    child
}

/// Looks again and again at what another process does.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    let clock = Clock::system();
    let end = clock.now() + PATIENCE;
    while !look() {
        assert!(clock.now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_older_event_does_not_overtake_a_newer_one_over_a_kill() {
    let mut world = World::start();
    world.level("new", 60, "HIGH");
    let high = world.score();
    assert!(high.as_i64() > Some(50), "{high}");
    world.kill_and_start();
    assert_eq!(world.score(), high, "the score is still there");
    world.level("old", 120, "LOW");
    assert_eq!(world.score(), high, "an older event is no news");
    world.kill_and_start();
    world.level("older", 180, "LOW");
    assert_eq!(world.score(), high);
    world.level("newest", 0, "LOW");
    let low = world.score();
    assert!(low.as_i64() < high.as_i64(), "{low}");
    world.kill_and_start();
    assert_eq!(world.score(), low);
    world.level("new again", 60, "HIGH");
    assert_eq!(world.score(), low);
}

#[test]
fn a_pushed_score_counts_over_a_kill_and_no_longer_than_it_would_have() {
    let mut world = World::start();
    world.says("siem", 85, 3600);
    world.says("proxy", 40, 3600);
    world.says("brief", 99, 5);
    world.kill_and_start();
    until("it has ended", || world.score() == 85);
    world.says("siem", 10, 3600);
    assert_eq!(world.score(), 40);
    world.kill_and_start();
    assert_eq!(world.score(), 40);
}

#[test]
fn an_event_is_taken_once_over_a_kill() {
    let mut world = World::start();
    let uri = format!("{CAEP}/session-revoked");
    let payload = json!({});
    assert_eq!(world.push("cut", 0, &uri, &payload), 202);
    until("it is recorded", || world.recorded("cut") > 0);
    assert_eq!(world.recorded("cut"), 1);
    for mark in ["mark", "another mark"] {
        world.kill_and_start();
        assert_eq!(world.push("cut", 0, &uri, &payload), 202);
        // What comes after it in the log is there, so it would be.
        assert_eq!(world.push(mark, 0, &uri, &payload), 202);
        until("it is recorded", || world.recorded(mark) > 0);
        assert_eq!(world.recorded("cut"), 1);
    }
}
