//! What `deploy/` promises about the program, where it can be told without an init system, a container engine or a
//! cluster.

mod image;
mod kubernetes;

use std::path::Path;
use std::process::Command;

use portcullis::config::Settings;

use crate::harness::program;

const DOCKERFILE: &str = include_str!("../../deploy/Dockerfile");
const SHIPPED: &str = include_str!("../../portcullis.toml");
const UNIT: &str = include_str!("../../deploy/portcullis.service");

/// The system calls of the program that systemd's group `@resources` has, which the unit takes away.
const NEEDED: [&str; 1] = ["setpriority"];

#[test]
fn the_unit_allows_what_the_program_calls() {
    let filters: Vec<_> = after(UNIT, "SystemCallFilter=").collect();
    // A later line counts (systemd.exec(5)).
    let taken = filters.iter().position(|filter| filter.starts_with('~'));
    let taken = taken.expect("the unit takes calls away");
    let given: Vec<_> = filters[taken + 1..]
        .iter()
        .filter(|filter| !filter.starts_with('~'))
        .flat_map(|filter| filter.split(' '))
        .collect();
    for call in NEEDED {
        assert!(given.contains(&call), "`{call}` would end the gateway");
    }
    assert!(
        !UNIT.contains("ProcSubset=pid"),
        "the start of the machine could not be told"
    );
}

#[test]
fn the_unit_runs_what_the_program_understands() {
    for key in ["ExecStartPre=", "ExecStart="] {
        let line = after(UNIT, key).next().unwrap();
        is_understood(line.split(' ').skip(1));
    }
}

#[test]
fn the_unit_gives_the_program_the_time_to_drain() {
    let given = after(UNIT, "TimeoutStopSec=").next().unwrap();
    let given: u64 = given.trim_end_matches('s').parse().unwrap();
    let drain = settings(SHIPPED).limits.drain.as_secs();
    assert!(given >= drain + 10, "{given} s for {drain} s");
}

/// systemd closes sockets whose service has failed too often.
#[test]
fn a_gateway_that_can_not_start_keeps_its_sockets() {
    assert_eq!(after(UNIT, "StartLimitIntervalSec=").next(), Some("0"));
}

#[test]
fn the_sockets_are_those_of_the_shipped_configuration() {
    let settings = settings(SHIPPED);
    let socket = include_str!("../../deploy/portcullis.socket");
    let listeners = settings.gateway.listeners.iter();
    let listeners = listeners.chain([&settings.control.listener]);
    let addresses: Vec<_> = listeners.map(|one| one.address.to_string()).collect();
    assert_eq!(
        after(socket, "ListenStream=").collect::<Vec<_>>(),
        addresses
    );
}

/// What stands behind `words` where a line has them first, or first in a list.
fn after<'t>(text: &'t str, words: &str) -> impl Iterator<Item = &'t str> {
    let lines = text.lines().map(str::trim);
    lines.filter_map(move |line| line.trim_start_matches("- ").strip_prefix(words))
}

/// The members of a list of texts, as Dockerfiles write it.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap()
}

/// Lets the program read a command line, without doing what it says.
fn is_understood(arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) {
    let asked = Command::new(program())
        .args(arguments)
        .arg("--help")
        .output();
    let asked = asked.unwrap();
    assert!(asked.status.success(), "{asked:?}");
}

/// What `text` says, as `/etc/portcullis/portcullis.toml`, without a warning.
fn settings(text: &str) -> Settings {
    settings_with(text, Vec::new())
}

fn settings_with(text: &str, environment: Vec<(String, String)>) -> Settings {
    let directory = Path::new("/etc/portcullis");
    let parsed = Settings::parse("portcullis.toml", text, directory, environment);
    let (settings, warnings) = parsed.unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    settings
}
