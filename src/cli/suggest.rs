//! `portcullis suggest`: the smallest entitlement that covers what the tasks of a kind really used.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::check;
use super::output::{Output, clean};
use super::replay::records;
use crate::config::compile;
use crate::model::{Entitlement, Proof};
use crate::pdp::Memory;
use crate::rehearsal::{Usage, Usages};

/// How much of a kind goes into a name.
const LONGEST_WORD: usize = 24;

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
    /// Tell of the tasks of this kind alone
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
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
    let mut usages = usages.compare(&snapshot);
    if let Some(wanted) = &args.kind {
        usages.retain(|(kind, _), _| kind == wanted);
    }
    let mut names = BTreeSet::new();
    let usages: Vec<_> = usages
        .into_iter()
        .map(|(key, usage)| {
            let entitlement = snapshot.entitlement(&key.1);
            let toml = entitlement.map(|of| toml(&key.0, of, &usage, &mut names));
            (key, usage, toml)
        })
        .collect();
    let items: Vec<Value> = usages.iter().map(item).collect();
    let document = json!({ "items": items });
    output.show(&document, |_| {
        let text: String = usages.iter().map(describe).collect();
        match &args.kind {
            _ if !text.is_empty() => text,
            Some(kind) => format!(
                "no call of a task of kind `{}` has passed under a grant",
                clean(kind)
            ),
            None => "no call has passed under a grant".to_owned(),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What tasks of a kind used of an entitlement, and what would have been enough where there is such.
type Told = ((String, String), Usage, Option<String>);

fn item(((kind, entitlement), usage, toml): &Told) -> Value {
    json!({
        "kind": kind,
        "entitlement": entitlement,
        "known": usage.known,
        "tasks": usage.tasks,
        "operations": usage.operations,
        "unused": usage.unused,
        "max_calls": usage.most_calls,
        "max_bytes": usage.most_bytes,
        "toml": toml,
    })
}

/// The entitlement as it can stand in a policy file beside the one that was used: with the operations that
/// were, and with all that keeps that one safe. `names` are those that are taken by others like it.
fn toml(
    kind: &str,
    entitlement: &Entitlement,
    usage: &Usage,
    names: &mut BTreeSet<String>,
) -> String {
    // Names need no escapes; a kind is anybody's word, and only what a name can have is left of it.
    let operations = usage.operations.keys().map(|id| format!("\"{id}\""));
    let operations = operations.collect::<Vec<_>>().join(", ");
    let of = &entitlement.id;
    let mut text = format!(
        "# In the place of `{of}`: rules that name it do not apply to this one before they name it, too.\n\
         [[entitlement]]\nid = \"{}\"\noperations = [{operations}]\nmax_ttl = \"{}\"\nmax_calls = {}\n",
        name(kind, of.as_str(), names),
        span(entitlement.max_ttl),
        usage.most_calls,
    );
    if let Some(bytes) = entitlement.max_bytes {
        text.push_str(&format!("max_bytes = \"{bytes}\"\n"));
    }
    if let Some(concurrent) = entitlement.max_concurrent {
        text.push_str(&format!("max_concurrent = {concurrent}\n"));
    }
    if let Some(rule) = &entitlement.approval {
        text.push_str(&format!(
            "approval = {{ group = \"{}\", quorum = {}, mfa = {}, expires = \"{}\" }}\n",
            rule.group,
            rule.quorum,
            rule.mfa,
            span(rule.expires)
        ));
    }
    if entitlement.proof != Proof::Bearer {
        text.push_str(&format!("proof = \"{}\"\n", entitlement.proof.as_str()));
    }
    if entitlement.reason_required {
        text.push_str("reason_required = true\n");
    }
    text
}

/// A name of its own, after the entitlement and the kind.
fn name(kind: &str, entitlement: &str, names: &mut BTreeSet<String>) -> String {
    let letters = kind.chars().map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
        _ => '-',
    });
    let word: String = letters.take(LONGEST_WORD).collect();
    let word = match word.trim_matches('-') {
        "" => "used",
        word => word,
    };
    let plain = format!("{entitlement}-{word}");
    let numbered = (2_u64..).map(|number| format!("{plain}-{number}"));
    let mut candidates = std::iter::once(plain.clone()).chain(numbered);
    let free = candidates.find(|name| !names.contains(name));
    let name = free.unwrap_or(plain);
    names.insert(name.clone());
    name
}

/// A duration as files have it.
fn span(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (millis % 3_600_000, millis % 60_000, millis % 1000) {
        (0, ..) => format!("{}h", millis / 3_600_000),
        (_, 0, _) => format!("{}m", millis / 60_000),
        (.., 0) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

fn describe(((kind, entitlement), usage, toml): &Told) -> String {
    let kind_shown = match kind.as_str() {
        "" => "no kind".to_owned(),
        kind => format!("kind `{}`", clean(kind)),
    };
    let mut text = format!(
        "tasks of {kind_shown} under `{entitlement}` ({} of them):\n",
        usage.tasks
    );
    for (operation, calls) in &usage.operations {
        let unit = if *calls == 1 { "call" } else { "calls" };
        text.push_str(&format!("  used    {operation} ({calls} {unit})\n"));
    }
    for operation in &usage.unused {
        text.push_str(&format!("  unused  {operation}\n"));
    }
    match toml {
        None => text.push_str("  these policies have no such entitlement\n"),
        Some(_) if usage.unused.is_empty() => {}
        Some(toml) => {
            text.push_str("  enough would be:\n");
            for line in toml.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    text.push('\n');
    text
}
