//! `portcullis dev` as a newcomer meets it: what it prints works when pasted, and it stops when told to.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{DevDirectories, Process, program};

/// A line of the walk-through, and what it has to show.
#[derive(Debug)]
struct Step {
    line: String,
    shows: Option<String>,
}

/// The last line of the walk-through shows what an operator sees.
fn is_last(line: &str) -> bool {
    line == "#   → ended"
}

/// What a reader of the printed text takes from it: lines to paste, and below some what to look for.
fn read(printed: &[String]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in printed {
        if let Some(shows) = line.strip_prefix("#   → ") {
            steps.last_mut().expect("a line before it").shows = Some(shows.to_owned());
        } else if !line.is_empty() && !line.starts_with('#') {
            let line = line.clone();
            steps.push(Step { line, shows: None });
        }
    }
    steps
}

/// Pastes all lines into one shell, and returns for each what it printed and its exit code.
fn paste(steps: &[Step], directory: &Path) -> Vec<(String, i32)> {
    const MARK: &str = "=== end of step";
    let mut script = String::from("exec 2>&1\n");
    for step in steps {
        script.push_str(&step.line);
        script.push_str(&format!("\nprintf '\\n{MARK} %s\\n' $?\n"));
    }
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(directory)
        .env_remove("PORTCULLIS_LOG")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut results = Vec::new();
    let mut shown = String::new();
    for line in text.lines() {
        match line.strip_prefix(MARK) {
            Some(code) => {
                results.push((std::mem::take(&mut shown), code.trim().parse().unwrap()));
            }
            None => {
                shown.push_str(line);
                shown.push('\n');
            }
        }
    }
    results
}

/// Every file below a directory, with what is in it.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let below = contents(&path).into_iter();
            found.extend(below.map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

fn walk(more: &[&str]) {
    let directories = DevDirectories::new();
    let before = contents(&directories.path("policies"));
    let mut dev = Process::start(directories.dev(more));
    let steps = read(&dev.lines_until(is_last));
    assert!(steps.len() > 15, "{steps:?}");
    let elsewhere = tempfile::tempdir().unwrap();
    let results = paste(&steps, elsewhere.path());
    assert_eq!(
        results.len(),
        steps.len(),
        "the shell got through all: {results:?}"
    );
    for (step, (shown, code)) in steps.iter().zip(&results) {
        assert_eq!(*code, 0, "`{}` printed {shown}", step.line);
        if let Some(wanted) = &step.shows {
            assert!(
                shown.contains(wanted),
                "`{}` does not show `{wanted}`: {shown}",
                step.line
            );
        }
    }
    assert_eq!(
        contents(&directories.path("policies")),
        before,
        "no tracked file is changed"
    );
    dev.signal(Signal::INT);
    assert!(dev.ends().success(), "{}", dev.said());
}

#[test]
fn the_printed_walk_through_works_line_by_line() {
    walk(&[]);
}

#[test]
fn the_walk_through_works_without_tls_too() {
    walk(&["--plain"]);
}

/// The line that says where everything is, once it runs.
fn ready(dev: &mut Process) -> Value {
    serde_json::from_str(&dev.line()).expect("one line of JSON")
}

#[test]
fn a_program_is_told_in_one_line_where_everything_is() {
    let directories = DevDirectories::new();
    let mut dev = Process::start(directories.dev(["--output", "json"]));
    let line = ready(&mut dev);
    let members = line.as_object().unwrap().keys();
    let mut members: Vec<_> = members.map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "agents",
            "ca",
            "control",
            "gateway",
            "operator_key",
            "upstream"
        ]
    );
    for (member, scheme) in [
        ("gateway", "https"),
        ("control", "https"),
        ("upstream", "http"),
    ] {
        let url = line[member].as_str().unwrap();
        let (found, rest) = url.split_once("://").unwrap();
        assert_eq!(found, scheme, "{line}");
        let (_, port) = rest.rsplit_once(':').unwrap();
        assert_ne!(port.parse::<u16>().unwrap(), 0, "{line}");
    }
    let agents = line["agents"].as_object().unwrap();
    let keys = agents.values().chain([&line["operator_key"]]);
    for key in keys.map(|key| Path::new(key.as_str().unwrap())) {
        let mode = fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", key.display());
    }
    assert!(!agents.is_empty());

    // What it names is enough for the commands, in a directory that knows nothing.
    let agent = agents.values().next().unwrap().as_str().unwrap();
    let token = Command::new(program())
        .args(["token", "--output", "json"])
        .env("PORTCULLIS_CONTROL", line["control"].as_str().unwrap())
        .env("PORTCULLIS_CA", line["ca"].as_str().unwrap())
        .env("PORTCULLIS_AGENT_KEY", agent)
        .output()
        .unwrap();
    assert!(
        token.status.success(),
        "{}",
        String::from_utf8_lossy(&token.stderr)
    );
}

#[test]
fn it_stops_on_ctrl_c_and_starts_again_where_it_was() {
    let directories = DevDirectories::new();
    let mut dev = Process::start(directories.dev(["--output", "json"]));
    let first = ready(&mut dev);
    let ca = fs::read(directories.path("certs/ca.pem")).unwrap();
    let key = fs::read(first["operator_key"].as_str().unwrap()).unwrap();
    dev.signal(Signal::INT);
    assert_eq!(dev.ends().code(), Some(0), "{}", dev.said());

    let mut again = Process::start(directories.dev(["--output", "json"]));
    let second = ready(&mut again);
    assert_eq!(second["agents"], first["agents"]);
    assert_eq!(fs::read(directories.path("certs/ca.pem")).unwrap(), ca);
    assert_eq!(
        fs::read(second["operator_key"].as_str().unwrap()).unwrap(),
        key
    );
    again.signal(Signal::TERM);
    assert_eq!(again.ends().code(), Some(0), "{}", again.said());

    let verified = Command::new(program())
        .args(["audit", "verify"])
        .arg(directories.path("data/audit"))
        .output()
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let directories = DevDirectories::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for option in ["--port", "--control-port"] {
        let mut command = Command::new(program());
        command.args(["dev", option, &port]);
        let other = if option == "--port" {
            "--control-port"
        } else {
            "--port"
        };
        command.args([other, "0"]);
        for name in ["data", "certs", "policies"] {
            command.arg(format!("--{name}")).arg(directories.path(name));
        }
        let mut dev = Process::start(command);
        assert_eq!(dev.ends().code(), Some(1));
        let said = dev.said();
        assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
        assert!(said.contains("taken"), "{said}");
    }
}

#[test]
fn what_is_missing_or_cannot_be_written_is_said_so() {
    let directories = DevDirectories::new();
    fs::write(directories.path("a-file"), "").unwrap();
    fs::create_dir(directories.path("broken")).unwrap();
    fs::write(
        directories.path("broken/rules.cedar"),
        "permitt (principal);",
    )
    .unwrap();
    for (option, value, wanted) in [
        ("--policies", "nowhere", "nowhere"),
        ("--policies", "broken", "rules.cedar:1:1"),
        ("--data", "a-file", "a-file"),
        ("--certs", "a-file", "a-file"),
    ] {
        let mut command = Command::new(program());
        command.args(["dev", "--port", "0", "--control-port", "0"]);
        for name in ["data", "certs", "policies"] {
            let own = format!("--{name}");
            let place = if own == option { value } else { name };
            command.arg(own).arg(directories.path(place));
        }
        let mut dev = Process::start(command);
        assert_eq!(dev.ends().code(), Some(1), "{option} {value}");
        let said = dev.said();
        assert!(said.contains(wanted), "{option} {value}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
