//! What the README says is so: its tables are those of the program, its examples work.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis::config::{Allowed, Settings, Sources, compile, reference};
use portcullis::model::{DenyReason, EndReason};
use portcullis::pdp::Memory;
use portcullis::telemetry::Metrics;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let readme = file("README.md");
    let fence = format!("```{language}\n");
    let blocks = readme.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_configuration_reference_is_the_program_s() {
    let table = reference();
    assert!(
        file("README.md").contains(&table),
        "README.md has another table than this:\n{table}"
    );
}

#[test]
fn every_refusal_is_explained_and_nothing_else() {
    let readme = file("README.md");
    let (_, section) = readme.split_once("### Refusals").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let explained: BTreeSet<_> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split_whitespace())
        .map(|code| code.trim_matches('`').to_owned())
        .collect();
    let codes = DenyReason::ALL.iter().map(|code| code.as_str().to_owned());
    assert_eq!(explained, codes.collect());
}

#[test]
fn every_metric_is_explained_and_nothing_else() {
    let codes = |codes: &[DenyReason]| codes.iter().map(|one| one.as_str()).collect::<Vec<_>>();
    let ends = EndReason::ALL.iter().map(|one| one.as_str());
    let metrics = Metrics::new(codes(DenyReason::ALL).into_iter(), ends);
    metrics.reload("published");
    metrics.live_generation("0");
    metrics.entries("tasks", 0);
    let _counters = (metrics.upstream("shop"), metrics.worker(0));
    let exposed = metrics.expose();
    let described = exposed
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let exposed: BTreeSet<_> = described
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let readme = file("README.md");
    let (_, section) = readme.split_once("### Metrics").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let named = section
        .split('`')
        .filter(|text| text.starts_with("portcullis_"));
    let named: BTreeSet<_> = named
        .map(|text| text.split('{').next().unwrap())
        .map(|text| text.trim_end_matches("_total").to_owned())
        .collect();
    assert_eq!(named, exposed);
}

#[test]
fn every_command_is_listed() {
    let program = env!("CARGO_BIN_EXE_portcullis");
    let help = Command::new(program).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let readme = file("README.md");
    let (_, section) = readme.split_once("### Command line").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    for line in commands.lines() {
        let command = line.split_whitespace().next().unwrap();
        let listed = [format!("portcullis {command}"), format!("· `{command} ")];
        let listed = listed.iter().any(|text| section.contains(text));
        assert!(listed || command == "help", "`{command}` is not listed");
    }
}

#[test]
fn the_examples_of_policies_are_a_sound_set() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: String, text: &str| fs::write(directory.path().join(name), text).unwrap();
    for (number, text) in blocks("toml").iter().enumerate() {
        write(format!("{number}.toml"), text);
    }
    for (number, text) in blocks("cedar").iter().enumerate() {
        write(format!("{number}.cedar"), text);
    }
    check(vec![directory.path().to_owned()]);
}

/// What only `tests/real/run.sh` would notice.
#[test]
fn the_policies_of_the_run_against_real_servers_are_sound() {
    let directory = tempfile::tempdir().unwrap();
    let services = file("tests/real/policies/services.toml");
    let ports = ["@HTTPBIN@", "@PROMETHEUS@", "@BLOBS@"]
        .into_iter()
        .zip(9001..);
    let services = ports.fold(services, |text, (name, port)| {
        text.replace(name, &port.to_string())
    });
    let agent = "[[agent]]\nid = \"tester\"\ngroups = [\"testers\"]\nsubject = \"tester\"\n";
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("services.toml", &services);
    write("agents.toml", agent);
    write("rules.cedar", &file("tests/real/policies/rules.cedar"));
    check(vec![directory.path().to_owned()]);
}

/// What only `benches/compare/run` and `tests/instructions/run` would notice.
#[test]
fn the_policies_of_the_comparison_are_sound_and_judge_a_call_by_twenty_rules() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let things = file("benches/compare/policies/things.toml");
    write("things.toml", &things.replace("@UPSTREAM@", "127.0.0.1:9"));
    let agent = "[[agent]]\nid = \"bench-bot\"\ngroups = [\"benches\"]\nsubject = \"bench-bot\"\n";
    write("agents.toml", agent);
    let rules = file("benches/compare/policies/rules.cedar");
    write("rules.cedar", &rules);
    check(vec![directory.path().to_owned()]);
    let elsewhere = ["asks", "status"];
    let here = rules.split("@id(\"").skip(1);
    let here = here.filter(|rule| !elsewhere.iter().any(|id| rule.starts_with(id)));
    assert_eq!(here.count(), 20);
}

fn check(directories: Vec<PathBuf>) {
    let sources = Sources {
        directories,
        credentials: Allowed::default(),
        stand_in: None,
    };
    match compile(&sources, &mut Memory::default()) {
        Ok((_, warnings)) => assert!(warnings.is_empty(), "{warnings}"),
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn the_agent_without_an_sdk_is_the_one_that_runs() {
    let shown = blocks("python");
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].trim_end(), file("tests/real/agent.py").trim_end());
}

#[test]
fn the_configurations_for_production_hold() {
    let manifest = file("deploy/kubernetes.yaml");
    let (_, embedded) = manifest.split_once("portcullis.toml: |\n").unwrap();
    let (embedded, _) = embedded.split_once("\n---\n").unwrap();
    let embedded: Vec<_> = embedded
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or_default())
        .collect();
    for text in [file("portcullis.toml"), embedded.join("\n")] {
        let parsed = Settings::parse("portcullis.toml", &text, Path::new(""), []);
        match parsed {
            Ok((_, warnings)) => assert!(warnings.is_empty(), "{warnings}"),
            Err(problems) => panic!("{problems}"),
        }
    }
}

/// What is commented out is a default, or an example that would be read.
#[test]
fn what_portcullis_toml_comments_out_holds_too() {
    let text = file("portcullis.toml");
    let uncommented: Vec<_> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") || setting.starts_with('[') => setting,
            _ => line,
        })
        .collect();
    let parsed = Settings::parse(
        "portcullis.toml",
        &uncommented.join("\n"),
        Path::new(""),
        [],
    );
    match parsed {
        Ok((settings, warnings)) => {
            assert!(warnings.is_empty(), "{warnings}");
            assert_eq!(settings.trusted_issuers.len(), 1);
            assert_eq!(settings.limits, portcullis::config::Limits::default());
        }
        Err(problems) => panic!("{problems}"),
    }
}
