//! `portcullis suggest`: the smallest entitlement that covers what the tasks of a kind really used.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::check;
use super::output::{Output, clean};
use super::replay::records;
use crate::config::compile;
use crate::pdp::Memory;
use crate::rehearsal::{Usage, Usages};

/// What `suggest` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct SuggestArgs {
    /// The audit directory, or one file of it
    #[arg(long, value_name = "FILE|DIR")]
    audit: PathBuf,
    /// The policies; several directories are one set
    #[arg(long, value_name = "DIR", required = true)]
    policies: Vec<PathBuf>,
    /// Take what services may be given from this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: SuggestArgs, output: Output) -> anyhow::Result<ExitCode> {
    let (sources, problems) = check::sources(args.policies, args.config);
    if problems.has_errors() {
        return check::show(&problems, output);
    }
    let snapshot = match compile(&sources, &mut Memory::default()) {
        Ok((snapshot, _)) => snapshot,
        Err(found) => return check::show(&found, output),
    };
    let mut usages = Usages::default();
    records(&args.audit, |record, _| usages.put(record))?;
    let usages = usages.compare(&snapshot);
    let items: Vec<Value> = usages.iter().map(|(key, usage)| item(key, usage)).collect();
    let document = json!({ "items": items });
    output.show(&document, |_| {
        let texts = usages.iter().map(|(key, usage)| describe(key, usage));
        let text: String = texts.collect();
        if text.is_empty() {
            return "no call has passed under a grant".to_owned();
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

fn item((kind, entitlement): &(String, String), usage: &Usage) -> Value {
    json!({
        "kind": kind,
        "entitlement": entitlement,
        "known": usage.known,
        "tasks": usage.tasks,
        "operations": usage.operations,
        "unused": usage.unused,
        "max_calls": usage.most_calls,
        "max_bytes": usage.most_bytes,
        "toml": toml(kind, entitlement, usage),
    })
}

/// The entitlement as it could stand in a policy file.
fn toml(kind: &str, entitlement: &str, usage: &Usage) -> String {
    // Names of entitlements and operations need no escapes; a kind is anybody's word and stays out.
    let suffix = if kind.is_empty() { "" } else { "-used" };
    let operations: Vec<_> = usage
        .operations
        .keys()
        .map(|id| format!("\"{id}\""))
        .collect();
    format!(
        "[[entitlement]]\nid = \"{entitlement}{suffix}\"\noperations = [{}]\nmax_calls = {}\n",
        operations.join(", "),
        usage.most_calls
    )
}

fn describe((kind, entitlement): &(String, String), usage: &Usage) -> String {
    let kind_shown = match kind.as_str() {
        "" => "no kind".to_owned(),
        kind => format!("kind `{}`", clean(kind)),
    };
    let mut text = format!(
        "tasks of {kind_shown} under `{entitlement}` ({} of them):\n",
        usage.tasks
    );
    for (operation, calls) in &usage.operations {
        text.push_str(&format!("  used    {operation} ({calls} calls)\n"));
    }
    for operation in &usage.unused {
        text.push_str(&format!("  unused  {operation}\n"));
    }
    if !usage.known {
        text.push_str("  these policies have no such entitlement\n");
    } else if !usage.unused.is_empty() {
        text.push_str("  enough would be:\n");
        for line in toml(kind, entitlement, usage).lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text.push('\n');
    text
}
