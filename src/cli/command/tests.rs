use std::path::Path;

use super::*;
use crate::config::Settings;

#[test]
fn the_command_line_is_consistent() {
    CommandLine::command().debug_assert();
}

const LINES: &[(&str, bool)] = &[
    ("dev --plain --reset --port 0 --control-port 0", true),
    ("dev --data d --certs c --policies p --output json", true),
    ("serve --config portcullis.toml", true),
    ("check", true),
    ("check policies", true),
    ("agent enroll demo-bot --group support --group night", true),
    ("agent list --directory policies", true),
    ("token", true),
    (
        "token --task tsk_1 --scope orders-read --scope refunds",
        true,
    ),
    (
        "request refunds --task tsk_1 --for 10m --reason x --wait",
        true,
    ),
    (
        "request refunds --task t --input a=1 b:=2 --input c=3",
        true,
    ),
    (
        "task open --kind refund --lease 10m --parent t --id t2",
        true,
    ),
    ("task complete tsk_1", true),
    ("task fail tsk_1", true),
    ("task cancel tsk_1", true),
    ("task heartbeat tsk_1", true),
    ("task show tsk_1 --output json", true),
    ("grants list --state active --task t --of-agent a", true),
    ("grants show grt_1", true),
    ("grants revoke grt_1 --operator-key k", true),
    ("requests list", true),
    ("requests show req_1", true),
    ("requests approve req_1 req_2 --yes --totp 123456", true),
    ("requests approve req_1 --for 5m --comment x", true),
    ("requests deny req_1 --reason no", true),
    ("requests withdraw req_1", true),
    ("requests approve", false),
    ("requests deny req_1", false),
    ("grants renew grt_1 --for 10m", true),
    (
        "grants delegate grt_1 --task t --operation o --max-calls 3",
        true,
    ),
    ("grants delegate grt_1", false),
    ("agent revoke demo-bot", true),
    ("agent restore demo-bot", true),
    ("people show ana@example.com", true),
    ("people keys make ana@example.com --out ana.key", true),
    ("people keys remove ana@example.com key_1", true),
    ("people totp enrol ana@example.com", true),
    ("people totp confirm ana@example.com 123456", true),
    ("people reset ask ana@example.com --of totp", true),
    ("people reset ask ana@example.com --of nothing", false),
    ("people reset confirm ana@example.com", true),
    ("completions bash", true),
    ("completions tcsh", false),
    ("policy reload --control http://localhost:1", true),
    ("policy status", true),
    ("audit verify", true),
    ("audit verify data/audit", true),
    ("", false),
    ("frobnicate", false),
    ("token --scope orders-read", false),
    ("request refunds", false),
    ("request refunds --task t --for soon", false),
    ("task open --lease 0s", false),
    ("task complete ../../policies", false),
    ("policy status --control localhost:8444", false),
    ("policy status --control https://gate/console", false),
    ("policy status --output yaml", false),
];

#[test]
fn lines_are_understood_or_are_usage_errors() {
    for (line, understood) in LINES {
        let words = std::iter::once("portcullis").chain(line.split_whitespace());
        let parsed = CommandLine::try_parse_from(words);
        match parsed {
            Ok(_) => assert!(*understood, "{line}"),
            Err(error) => {
                assert!(!understood, "{line}: {error}");
                assert_eq!(error.exit_code(), 2, "{line}");
            }
        }
    }
}

/// The settings would call a variable that they do not know a mistake.
#[test]
fn the_settings_leave_variables_of_the_command_line_alone() {
    let mut variables = Vec::new();
    let mut commands = vec![CommandLine::command()];
    while let Some(command) = commands.pop() {
        let named = command.get_arguments().filter_map(clap::Arg::get_env);
        variables.extend(named.map(|name| name.to_string_lossy().into_owned()));
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(variables.contains(&"PORTCULLIS_CONFIG".to_owned()));
    let text =
        "[[gateway.listen]]\naddress = \"127.0.0.1:0\"\n[control]\nlisten = \"127.0.0.1:0\"\n";
    let set = variables.into_iter().map(|name| (name, "x".to_owned()));
    let parsed = Settings::parse("t", text, Path::new(""), set);
    assert_eq!(parsed.unwrap().1.to_string(), "");
}
