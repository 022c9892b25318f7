//! `portcullis test`: the decision tables of a policy directory, run against its policies.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::check;
use super::output::{Output, clean};
use crate::config::{compile_for_tests, read_tables};
use crate::pdp::Memory;
use crate::rehearsal::{Outcome, Report, run_tables};

/// What `test` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct TestArgs {
    /// The policies directory; the configuration file's, else `policies`, if absent
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Take the directory and what services may be given from this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Fail where a rule decides none of the cases
    #[arg(long)]
    all_rules: bool,
}

pub(super) fn run(args: TestArgs, output: Output) -> anyhow::Result<ExitCode> {
    let directories = args.directory.into_iter().collect();
    let (sources, mut problems) = check::sources(directories, args.config);
    let (tables, found) = read_tables(&sources.directories);
    problems = problems.joined(found);
    if problems.has_errors() {
        return check::show(&problems, output);
    }
    if tables.cases.is_empty() {
        let directory = sources.directories.first().cloned().unwrap_or_default();
        let tests = directory.join("tests");
        anyhow::bail!("there is no [[case]] in `{}`", tests.display());
    }
    let snapshot = match compile_for_tests(&sources, &tables, &mut Memory::default()) {
        Ok(snapshot) => snapshot,
        Err(found) => return check::show(&found, output),
    };
    let report = run_tables(&snapshot, &tables.cases);
    let covered = !args.all_rules || report.unexercised.is_empty();
    let passed = report.passed() && covered;
    output.show(&document(&report, passed), |_| describe(&report))?;
    Ok(ExitCode::from(u8::from(!passed)))
}

fn document(report: &Report, passed: bool) -> Value {
    let cases = report.outcomes.iter().map(|outcome| {
        let (line, column) = outcome.place.position();
        json!({
            "name": outcome.name,
            "file": **outcome.place.text().name(),
            "line": line,
            "column": column,
            "passed": outcome.passed,
            "expected": outcome.expected,
            "rule": outcome.rule,
            "got": outcome.got,
            "rules": names(outcome),
            "detail": outcome.detail,
        })
    });
    let unexercised = report
        .unexercised
        .iter()
        .map(|rule| json!({ "id": *rule.id, "file": *rule.file, "line": rule.line }));
    json!({
        "ok": passed,
        "cases": cases.collect::<Value>(),
        "coverage": {
            "rules": report.rules,
            "exercised": report.rules - report.unexercised.len(),
            "unexercised": unexercised.collect::<Value>(),
        },
    })
}

fn names(outcome: &Outcome) -> Vec<&str> {
    outcome.rules.iter().map(AsRef::as_ref).collect()
}

fn describe(report: &Report) -> String {
    let mut text = String::new();
    let failed: Vec<_> = report.outcomes.iter().filter(|one| !one.passed).collect();
    for outcome in &failed {
        text.push_str(&failure(outcome));
    }
    let total = report.outcomes.len();
    text.push_str(&format!(
        "{} of {total} cases came as expected\n",
        total - failed.len()
    ));
    let exercised = report.rules - report.unexercised.len();
    text.push_str(&format!(
        "{exercised} of {} rules decided a case\n",
        report.rules
    ));
    for rule in &report.unexercised {
        let (file, id) = (clean(&rule.file), clean(&rule.id));
        text.push_str(&format!("  no case for `{id}` at {file}:{}\n", rule.line));
    }
    text
}

fn failure(outcome: &Outcome) -> String {
    let by = |rules: &[&str]| match rules {
        [] => "no rule decides".to_owned(),
        rules => format!("decided by {}", rules.join(", ")),
    };
    let mut text = format!("{}: `{}`\n", outcome.place, clean(&outcome.name));
    let wanted = outcome
        .rule
        .as_ref()
        .map(|rule| format!(" by {}", clean(rule)));
    let wanted = wanted.unwrap_or_default();
    text.push_str(&format!("  expected {}{wanted}\n", outcome.expected));
    text.push_str(&format!(
        "  got      {}: {}\n",
        outcome.got,
        clean(&by(&names(outcome)))
    ));
    if let Some(detail) = &outcome.detail {
        text.push_str(&format!("           {}\n", clean(detail)));
    }
    text
}
