//! `portcullis policy …`: which rules are live, and making edited ones so.

mod diff;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::diagnostic;
use super::connection::Connection;
use super::control::Binding;
use super::output::{clean, field, fields};

/// How many of the candidate's differences are shown.
const SHOWN: usize = 10;

/// What `policy` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Tell what a candidate would change: who gains, who loses; exit 3 on a difference
    Diff(diff::DiffArgs),
    /// Read the policy files now; exit 1 if they were refused
    Reload(ReloadArgs),
    /// Ask a candidate beside the live policies what it would have decided
    Shadow(ShadowArgs),
    /// Show the live generation, and why the last edit was refused if it was
    Status,
}

/// What `policy reload` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ReloadArgs {
    /// The generation that is held: let it go live all the same
    #[arg(long, value_name = "GENERATION")]
    accept: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", requires = "accept")]
    reason: Option<String>,
}

/// What `policy shadow` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ShadowArgs {
    /// The candidate: a directory on the gateway's machine, beside the live policies
    #[arg(
        value_name = "DIR",
        required_unless_present = "stop",
        conflicts_with = "stop"
    )]
    directory: Option<String>,
    /// Ask none any more
    #[arg(long)]
    stop: bool,
}

pub(super) async fn run(
    command: PolicyCommand,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let (answer, must_be_live) = match command {
        PolicyCommand::Diff(args) => return diff::run(args, connection).await,
        PolicyCommand::Reload(ReloadArgs { accept, reason }) => {
            let (control, path) = (connection.as_operator()?, "/v1/policies/reload");
            let body = json!({ "accept": accept, "reason": reason });
            (control.post(Binding::None, path, Some(&body)).await?, true)
        }
        PolicyCommand::Shadow(ShadowArgs { directory, stop }) => {
            let (control, path) = (connection.as_operator()?, "/v1/policies/shadow");
            let body = json!({ "directory": directory, "stop": stop });
            let answer = control.post(Binding::None, path, Some(&body)).await?;
            connection.output.show(&answer, |answer| {
                let shown = shadow(answer);
                shown.unwrap_or_else(|| "no candidate is asked".to_owned())
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        PolicyCommand::Status => {
            let control = connection.as_operator()?;
            (control.get(Binding::None, "/v1/policies").await?, false)
        }
    };
    connection.output.show(&answer, describe)?;
    let failed = must_be_live && refused(&answer).is_some();
    Ok(ExitCode::from(u8::from(failed)))
}

fn refused(status: &Value) -> Option<&Value> {
    status.get("last_refused").filter(|value| !value.is_null())
}

fn describe(status: &Value) -> String {
    let mut text = fields(status, &["generation", "since", "rules"]);
    if let Some(held) = status.get("held").filter(|held| !held.is_null()) {
        let generation = clean(&field(held, "generation"));
        text.push_str(&format!(
            "\ngeneration {generation} waits; `portcullis policy reload --accept {generation}` lets it \
             go live:\n"
        ));
        let reasons = held.get("reasons").and_then(Value::as_array);
        for reason in reasons.into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(&format!("  {}\n", clean(reason)));
        }
    }
    let writing = status.get("being_written").and_then(Value::as_array);
    for file in writing.into_iter().flatten().filter_map(Value::as_str) {
        let file = clean(file);
        text.push_str(&format!(
            "\n{file} is being written; nothing is read before it is closed\n"
        ));
    }
    if let Some(shown) = shadow(status) {
        text.push_str(&format!("\n{shown}"));
    }
    if let Some(shown) = checks(status) {
        text.push_str(&format!("\n{shown}"));
    }
    if let Some(refused) = refused(status) {
        let at = clean(&field(refused, "at"));
        text.push_str(&format!(
            "\nthe files as they were at {at} were refused; the generation above is still live:\n"
        ));
        text.push_str(&problems(refused));
    }
    text
}

/// The problems of refused files, one in a line.
fn problems(refused: &Value) -> String {
    let diagnostics = refused.get("diagnostics").and_then(Value::as_array);
    let lines = diagnostics.into_iter().flatten();
    lines
        .map(|one| format!("  {}\n", diagnostic(one)))
        .collect()
}

/// How the candidate fares, where there is one.
fn shadow(answer: &Value) -> Option<String> {
    let shadow = answer.get("shadow").filter(|shadow| !shadow.is_null())?;
    let directory = clean(&field(shadow, "directory"));
    if let Some(refused) = shadow.get("refused").filter(|refused| !refused.is_null()) {
        return Some(format!(
            "the candidate in {directory} can't be used, and is not asked:\n{}",
            problems(refused)
        ));
    }
    let number = |pointer: &str| count(shadow, pointer);
    let mut text = format!(
        "the candidate in {directory}, generation {}, was asked about {} decisions since {}: \
         {} would pass that did not, {} would no longer pass, {} would be refused otherwise\n",
        clean(&field(shadow, "generation")),
        number("/decisions"),
        clean(&field(shadow, "since")),
        number("/differences/gains"),
        number("/differences/losses"),
        number("/differences/others"),
    );
    text.push_str(&samples(shadow, "candidate"));
    Some(text)
}

/// How what is compiled fares beside Cedar, where that checks it.
fn checks(answer: &Value) -> Option<String> {
    let checks = answer.get("cedar").filter(|checks| !checks.is_null())?;
    let number = |pointer: &str| count(checks, pointer);
    Some(format!(
        "Cedar has checked {} decisions since {}: {} would have come otherwise, {} by other rules\n{}",
        number("/checked"),
        clean(&field(checks, "since")),
        number("/differences/verdicts"),
        number("/differences/rules"),
        samples(checks, "cedar"),
    ))
}

fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// The latest decisions that `judge` would have made otherwise, one in a line.
fn samples(of: &Value, judge: &str) -> String {
    let mut text = String::new();
    let samples = of.get("samples").and_then(Value::as_array);
    for sample in samples.into_iter().flatten().take(SHOWN) {
        let told = |side: &str| {
            let verdict = sample
                .pointer(&format!("/{side}/verdict"))
                .and_then(Value::as_str);
            let rules = sample
                .pointer(&format!("/{side}/rules"))
                .and_then(Value::as_array);
            let rules = rules.into_iter().flatten().filter_map(Value::as_str);
            let rules = rules.collect::<Vec<_>>().join(", ");
            format!("{} ({})", clean(verdict.unwrap_or("-")), clean(&rules))
        };
        let what = ["operation", "entitlement"]
            .iter()
            .find_map(|name| sample.get(*name).and_then(Value::as_str));
        text.push_str(&format!(
            "  {} {}: {} > {} [{}]\n",
            clean(&field(sample, "agent")),
            clean(what.unwrap_or("-")),
            told("live"),
            told(judge),
            clean(&field(sample, "request_id")),
        ));
    }
    text
}
