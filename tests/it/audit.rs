//! The audit log: one line for every decision, in an unbroken chain, and no secret in it.

mod shown;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Response;
use portcullis::audit::verify;
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{DevDirectories, Es256, Plan, Process, eventually, full, pipe, program, run};

/// The lines of a kind.
fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[test]
fn every_decision_is_one_line_that_says_all_about_it() {
    run(async {
        let mut gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        gate.upstream.answer(|_| Response::new(full("0123456789")));
        let mut ids = Vec::new();
        {
            let answers = [
                gate.call("GET", "/shop/items").send().await,
                gate.call("GET", "/shop/%2e%2e")
                    .bearer(&work.token)
                    .send()
                    .await,
                gate.call("GET", "/nowhere")
                    .bearer(&work.token)
                    .send()
                    .await,
                gate.call("GET", "/shop/dpop")
                    .bearer(&work.token)
                    .send()
                    .await,
                gate.call("POST", "/shop/pay")
                    .bearer(&work.token)
                    .json(&json!({ "amount": 101 }))
                    .send()
                    .await,
                gate.call("PUT", "/shop/data/x?secret=in-the-query")
                    .bearer(&work.token)
                    .bytes("12345")
                    .send()
                    .await,
                gate.call("GET", "/shop/status")
                    .bearer(&work.token)
                    .send()
                    .await,
            ];
            for answer in answers {
                ids.push(answer.header("portcullis-request-id").unwrap().to_owned());
            }
        }
        let (passed, upstream_id) = (ids[5].clone(), gate.upstream.recorded()[0].clone());
        assert_eq!(
            upstream_id.header("portcullis-request-id"),
            Some(passed.as_str())
        );
        let trace = upstream_id.header("traceparent").unwrap().to_owned();
        let generation = gate.status().generation.to_string();
        let lines = gate.stop().await;
        let calls = of_kind(&lines, "call");
        let found: Vec<_> = calls
            .iter()
            .map(|line| line["request_id"].as_str().unwrap())
            .collect();
        assert_eq!(found.len(), ids.len(), "one line each: {calls:?}");
        let by_id: BTreeMap<_, _> = found
            .iter()
            .zip(&calls)
            .map(|(id, line)| (*id, *line))
            .collect();
        let line = |number: usize| by_id[ids[number].as_str()];
        let denied = [
            (0, "token_missing", 401),
            (1, "path_ambiguous", 400),
            (2, "operation_unknown", 404),
            (3, "grant_required", 403),
            (4, "condition_denied", 403),
        ];
        for (number, code, status) in denied {
            let line = line(number);
            assert_eq!(line["verdict"], "deny", "{line}");
            assert_eq!(line["code"], code, "{line}");
            assert_eq!(line["status"], status, "{line}");
            assert_eq!(line["source"], "127.0.0.1", "{line}");
        }
        assert_eq!(line(0)["agent"], Value::Null);
        assert_eq!(line(2)["agent"], "bot");
        assert_eq!(line(3)["operation"], "shop.dpop");
        assert_eq!(line(4)["rules"], json!(["small-payments"]));

        let allowed = line(5);
        for (member, value) in [
            ("verdict", json!("allow")),
            ("agent", json!("bot")),
            ("task", json!(work.task)),
            ("grant", json!(work.grant)),
            ("entitlement", json!("work")),
            ("operation", json!("shop.data")),
            ("service", json!("shop")),
            ("rules", json!(["open"])),
            ("generation", json!(generation)),
            ("method", json!("PUT")),
            ("path", json!("/shop/data/x")),
            ("status", json!(200)),
            ("bytes_in", json!(5)),
            ("bytes_out", json!(10)),
            ("trace_id", json!(&trace[3..35])),
        ] {
            assert_eq!(allowed[member], value, "`{member}` of {allowed}");
        }
        assert!(allowed["duration_micros"].is_u64(), "{allowed}");
        assert!(
            allowed["time"].as_str().unwrap().ends_with('Z'),
            "{allowed}"
        );
        assert_eq!(
            line(6)["grant"],
            Value::Null,
            "a baseline call uses no grant"
        );
        assert!(
            !gate.audit_text().contains("in-the-query"),
            "queries carry secrets"
        );
        verify(&gate.audit_directory()).unwrap();
    });
}

#[test]
fn the_life_of_a_grant_is_on_record_from_the_token_to_the_end() {
    run(async {
        let mut gate = Plan::new().start().await;
        let work = gate.agent("bot").works("items").await;
        let refused = gate.control("POST", "/v1/requests").bearer(&work.token);
        let refused = refused.json(&json!({ "task": work.task, "entitlement": "nothing" }));
        refused.send().await.problem(403, "condition_denied");
        let path = format!("/v1/grants/{}/revoke", work.grant);
        gate.control("POST", &path)
            .bearer(&gate.operator())
            .send()
            .await
            .expect(200);
        work.completes(&gate).await;
        gate.edit_policy("rules.cedar", "> 100", "> 90");
        gate.publish().await;
        let generation = gate.status().generation.to_string();
        let lines = gate.stop().await;
        assert_eq!(lines.first().unwrap()["kind"], "start");
        assert_eq!(lines.last().unwrap()["kind"], "stop");
        let tokens = of_kind(&lines, "token");
        assert_eq!(tokens.len(), 2, "{tokens:?}");
        assert!(tokens.iter().all(|line| line["agent"] == "bot"));
        assert_eq!(tokens[1]["task"], work.task);
        let tasks = of_kind(&lines, "task");
        assert_eq!(tasks.len(), 2, "{tasks:?}");
        assert!(tasks.iter().all(|line| line["task"] == work.task));
        assert_eq!(tasks[1]["end"], "completed");
        let grants = of_kind(&lines, "grant");
        assert_eq!(grants.len(), 2, "{grants:?}");
        assert!(grants.iter().all(|line| line["grant"] == work.grant));
        assert_eq!(grants[0]["verdict"], "allow");
        assert_eq!(grants[0]["rules"], json!(["bots-may-ask"]));
        assert_eq!(grants[1]["end"], "revoked");
        assert_eq!(grants[1]["person"], "operator");
        let requests = of_kind(&lines, "request");
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert_eq!(requests[0]["verdict"], "deny");
        let policies = of_kind(&lines, "policy");
        let published = policies
            .iter()
            .any(|line| line["generation"] == generation.as_str());
        assert!(published, "{policies:?}");
        verify(&gate.audit_directory()).unwrap();
    });
}

#[test]
fn a_long_exchange_is_on_record_while_it_runs() {
    run(async {
        let mut gate = Plan::new().manual_clock().start().await;
        let work = gate.agent("bot").works("work").await;
        let (feed, body) = pipe();
        gate.upstream.answer_next(Response::new(body));
        let call = gate.call("GET", "/shop/stream").bearer(&work.token);
        let mut opened = call.open().await;
        feed.send("data: 1\n\n").await;
        opened.text().await;
        gate.advance(Duration::from_secs(1));
        let open = eventually("an `open` line", || {
            of_kind(&gate.audit(), "open")
                .first()
                .map(|line| (*line).clone())
        })
        .await;
        let id = opened.head.headers["portcullis-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(open["request_id"], id);
        assert_eq!(open["verdict"], "allow");
        assert_eq!(open["grant"], work.grant);
        assert!(of_kind(&gate.audit(), "call").is_empty());
        let (_, _) = tokio::join!(work.completes(&gate), opened.cut());
        let lines = gate.stop().await;
        assert_eq!(of_kind(&lines, "open").len(), 1);
        let calls = of_kind(&lines, "call");
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0]["request_id"], id);
        assert_eq!(calls[0]["end"], "completed");
        assert_eq!(calls[0]["bytes_out"], 9);
        assert_eq!(calls[0]["duration_micros"], 1_000_000);
        verify(&gate.audit_directory()).unwrap();
    });
}

#[test]
fn a_line_that_was_changed_is_found() {
    run(async {
        let mut gate = Plan::new().start().await;
        let work = gate.agent("bot").works("items").await;
        for _ in 0..5 {
            gate.call("GET", "/shop/items")
                .bearer(&work.token)
                .send()
                .await
                .expect(200);
        }
        gate.stop().await;
        verify(&gate.audit_directory()).unwrap();
        let check = || {
            let command = Command::new(program())
                .arg("audit")
                .arg("verify")
                .arg(gate.audit_directory())
                .output();
            command.unwrap()
        };
        assert_eq!(check().status.code(), Some(0));
        let segments = std::fs::read_dir(gate.audit_directory()).unwrap();
        let segment = segments
            .map(|file| file.unwrap().path())
            .find(|path| path.file_name().is_some_and(|name| name != "lock"))
            .unwrap();
        let text = std::fs::read_to_string(&segment).unwrap();
        let line = text
            .lines()
            .position(|line| line.contains("\"call\""))
            .unwrap()
            + 1;
        std::fs::write(
            &segment,
            text.replacen("\"status\":200", "\"status\":201", 1),
        )
        .unwrap();
        let output = check();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        let said = format!("{said}{}", String::from_utf8_lossy(&output.stdout));
        assert!(said.contains(&format!(":{line}")), "{said}");
    });
}

/// Everything that is logged in this process, by whichever test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Log {
    type Writer = Self;

    fn make_writer(&'l self) -> Self {
        self.clone()
    }
}

#[test]
fn no_secret_is_written_anywhere() {
    let log = Log::default();
    let logged = tracing_subscriber::fmt()
        .with_env_filter("portcullis=trace")
        .with_writer(log.clone())
        .try_init();
    logged.expect("the first log of this process");
    let log = log.clone();
    run(async move {
        let directory = tempfile::tempdir().unwrap();
        let injected = "Basic c2hvcDpzM2NyM3Q=";
        std::fs::write(directory.path().join("shop"), injected).unwrap();
        let services = format!(
            "[[service]]\nname = \"shop\"\nmatch = {{ path = \"/shop\" }}\n\
             upstreams = [\"http://{{upstream}}\"]\n\
             inject = {{ header = \"Authorization\", value_from = \"file:{}/shop\" }}\n",
            directory.path().display()
        );
        let allow = format!(
            "[credentials]\nallow = [\"file:{}/*\"]\n",
            directory.path().display()
        );
        let plan = Plan::new()
            .file("services.toml", &services)
            .settings(&allow);
        let mut gate = plan.start().await;
        let bot = gate.agent("bot");
        let work = bot.works("work").await;
        let assertion = bot.assertion();
        let forged = Es256::generate().sign(
            &json!({ "alg": "ES256", "kid": "x", "typ": "at+jwt" }),
            &json!({ "iss": gate.control_url, "sub": "bot" }),
        );
        let wrong_key = "pk_no-such-key-of-anybody";
        let body = json!({ "amount": 7, "card": "4111-1111-1111-1111" });
        gate.call("POST", "/shop/pay")
            .bearer(&work.token)
            .json(&body)
            .send()
            .await
            .expect(200);
        assert_eq!(gate.upstream.only().header("authorization"), Some(injected));
        gate.call("GET", "/shop/items")
            .bearer(&forged)
            .send()
            .await
            .expect(401);
        gate.call("GET", "/shop/items")
            .bearer(&assertion)
            .send()
            .await
            .expect(401);
        let copied = gate
            .call("GET", "/shop/items")
            .bearer(&work.token)
            .header("x-copy", &work.token);
        copied.send().await.expect(400);
        let query = format!("/shop/find?most=1&access_token={}", &work.token);
        gate.call("GET", &query)
            .bearer(&work.token)
            .send()
            .await
            .expect(400);
        gate.control("GET", "/v1/grants")
            .bearer(wrong_key)
            .send()
            .await
            .expect(401);
        let operator = gate.operator();
        gate.control("GET", "/v1/policies")
            .bearer(&operator)
            .send()
            .await
            .expect(200);
        bot.ask_for_token(&[("task", "no/task")]).await.expect(400);
        work.completes(&gate).await;
        let signing = Es256::from_jwk(&gate.signing_key()).private_number();
        gate.stop().await;

        let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(logged.contains("portcullis::"), "something was logged");
        let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
        let secrets = [
            ("the token", signature(&work.token)),
            ("the assertion", signature(&assertion)),
            ("a forged token", signature(&forged)),
            ("the injected credential", "c2hvcDpzM2NyM3Q".to_owned()),
            ("the operator's key", operator),
            ("a wrong key", wrong_key.to_owned()),
            ("the signing key", signing),
            ("a body", "4111-1111".to_owned()),
        ];
        for (name, secret) in secrets {
            assert!(
                !gate.audit_text().contains(&secret),
                "{name} is in the audit log"
            );
            assert!(!logged.contains(&secret), "{name} is in the log");
        }
    });
}

/// A disk that takes no more bytes: the largest size of a file stands for it.
#[test]
fn what_cannot_be_recorded_is_refused_and_nothing_is_lost() {
    let mut disk = FullDisk::start();
    let (gateway, control) = (disk.plain("gateway"), disk.plain("control"));
    assert_eq!(gateway.get("/orders").0, 401);
    assert_eq!(control.get("/readyz").0, 200);
    let (answered, refused) = disk.fill(1);
    assert_eq!(refused.0, 503, "{}", refused.1);
    assert!(
        refused.1.contains("\"code\":\"audit_unavailable\""),
        "{}",
        refused.1
    );
    let (status, why) = control.get("/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("audit_unavailable"), "{why}");

    disk.free();
    assert_eq!(gateway.get("/orders").0, 401);
    let segment = disk.stop();
    let calls = segment
        .lines()
        .filter(|line| line.contains("\"kind\":\"call\""))
        .count() as u64;
    assert_eq!(
        calls,
        answered + 1,
        "one line for each answer, none for a refusal that nobody could record"
    );
}

/// Who is taken back their rights must not keep them because the disk is full.
#[test]
fn an_end_does_not_wait_for_the_audit_log() {
    let mut disk = FullDisk::start();
    let control = disk.plain("control");
    let operator = std::fs::read_to_string(disk.ready["operator_key"].as_str().unwrap()).unwrap();
    let operator = operator.trim();
    let open = r#"{"agent":"demo-bot"}"#;
    let opened = control.post("/v1/tasks", operator, open);
    assert_eq!(opened.0, 201, "{}", opened.1);
    disk.fill(0);
    let revoked = control.post("/v1/agents/demo-bot/revoke", operator, "{}");
    assert_eq!(revoked.0, 503, "{}", revoked.1);
    let (_, told) = revoked.1.split_once("\r\n\r\n").unwrap();
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!(told["code"], "audit_unavailable");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.starts_with("it has ended"), "{detail}");

    disk.free();
    let refused = control.post("/v1/tasks", operator, open);
    assert_eq!(refused.0, 409, "{}", refused.1);
    let segment = disk.stop();
    assert!(
        segment.contains("revoked, with 1 tasks"),
        "what was done is on record: {segment}"
    );
}

/// A gateway on a disk that takes no more bytes, for as long as it is full.
struct FullDisk {
    directories: DevDirectories,
    process: Process,
    ready: Value,
}

impl FullDisk {
    const LIMIT: u64 = 256 << 10;

    fn start() -> Self {
        let directories = DevDirectories::new();
        let dev = directories.dev(["--plain", "--output", "json"]);
        // Beyond the limit a write has to fail, as on a full disk, and not to kill.
        let mut shell = Command::new("bash");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        shell.arg(dev.get_program()).args(dev.get_args());
        shell.current_dir(dev.get_current_dir().unwrap());
        let mut process = Process::start(shell);
        let ready: Value = serde_json::from_str(&process.line()).unwrap();
        Self {
            directories,
            process,
            ready,
        }
    }

    fn plain(&self, url: &str) -> Plain {
        let url = self.ready[url].as_str().unwrap();
        Plain(url.replace("http://localhost", "127.0.0.1"))
    }

    fn limit(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(self.process.pid()), Resource::Fsize, limit).unwrap();
    }

    /// Fills it with refusals, of which there were so many; how many there are then, and the first that was
    /// not recorded.
    fn fill(&mut self, mut answered: u64) -> (u64, (u16, String)) {
        self.limit(Some(Self::LIMIT));
        let gateway = self.plain("gateway");
        loop {
            match gateway.get("/orders") {
                (401, _) => answered += 1,
                other => return (answered, other),
            }
            assert!(answered < 10_000, "{} bytes are never full", Self::LIMIT);
        }
    }

    /// Makes room, and waits until that is seen.
    fn free(&mut self) {
        self.limit(None);
        let control = self.plain("control");
        let deadline = Duration::from_secs(15);
        let naps = deadline.as_millis() / 20;
        let recovered = (0..naps).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            control.get("/readyz").0 == 200
        });
        assert!(recovered, "not ready after {deadline:?}");
    }

    /// Stops in order, and gives what is on record.
    fn stop(&mut self) -> String {
        self.process.signal(rustix::process::Signal::TERM);
        assert!(self.process.ends().success(), "{}", self.process.said());
        let log = self.directories.path("data/audit");
        verify(&log).unwrap();
        std::fs::read_to_string(log.join(first_segment(&log))).unwrap()
    }
}

fn first_segment(directory: &std::path::Path) -> std::ffi::OsString {
    let files = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name())
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names.remove(0)
}

/// A client for a program of its own, without a runtime.
struct Plain(String);

impl Plain {
    fn get(&self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), "")
    }

    fn post(&self, path: &str, key: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        self.send(&head, body)
    }

    fn send(&self, head: &str, body: &str) -> (u16, String) {
        use std::io::Read as _;
        let mut stream = std::net::TcpStream::connect(&self.0).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let request = format!("{head}Host: localhost\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (status.expect("a status"), answer)
    }
}
