//! `portcullis explain`: would this call pass, and if not, why not and what would help.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::connection::Connection;
use super::control::Binding;
use super::output::{clean, field, fields};
use crate::model::TaskId;

/// What `explain` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ExplainArgs {
    /// The method of the call
    #[arg(required_unless_present = "request_id")]
    method: Option<String>,
    /// Its URL, or its path on the gateway
    #[arg(required_unless_present = "request_id")]
    url: Option<String>,
    /// A call that was made, by the id in its refusal or its record, instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["method", "url", "task", "body", "headers", "source_ip", "at"])]
    request_id: Option<String>,
    /// The task that it would be made for
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    /// A header of it; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Its body; what reads as JSON is sent as JSON
    #[arg(short = 'd', long = "data", value_name = "TEXT")]
    body: Option<String>,
    /// The address that it would come from
    #[arg(long, value_name = "IP")]
    source_ip: Option<IpAddr>,
    /// The moment that the rules would see, such as 2026-11-27T22:30:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

pub(super) async fn run(args: ExplainArgs, connection: &Connection) -> anyhow::Result<ExitCode> {
    let control = connection.as_operator()?;
    let agent = match args.request_id {
        Some(_) => None,
        None => connection.agent_name(),
    };
    let body = json!({
        "agent": agent,
        "request_id": args.request_id,
        "task": args.task.as_ref().map(TaskId::as_str),
        "method": args.method,
        "url": args.url,
        "headers": headers(&args.headers)?,
        "body": args.body.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
        "source_ip": args.source_ip,
        "at": args.at.map(|at| at.to_string()),
    });
    let answer = control
        .post(Binding::None, "/v1/explain", Some(&body))
        .await?;
    connection.output.show(&answer, describe)?;
    let denied = answer.get("decision").and_then(Value::as_str) != Some("allow");
    Ok(ExitCode::from(u8::from(denied)))
}

fn headers(lines: &[String]) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            bail!("`{line}` is not a header: write it like `Name: value`");
        };
        let values = headers.entry(name.trim().to_owned()).or_default();
        values.push(value.trim().to_owned());
    }
    Ok(headers)
}

fn describe(answer: &Value) -> String {
    let mut text = fields(
        answer,
        &[
            "decision",
            "code",
            "detail",
            "operation",
            "entitlement",
            "grant",
            "rules",
        ],
    );
    if let Some(suspended) = answer.get("suspended") {
        let rule = suspended.get("rule").and_then(Value::as_str);
        let by = rule.map(|rule| format!(" by `{}`", clean(rule)));
        text.push_str(&format!(
            "the grant is suspended{}\n",
            by.unwrap_or_default()
        ));
    }
    let sources = answer.get("sources").and_then(Value::as_array);
    for source in sources.into_iter().flatten() {
        let [rule, effect, file, line] =
            ["rule", "effect", "file", "line"].map(|name| clean(&field(source, name)));
        text.push_str(&format!("  {effect} `{rule}` at {file}:{line}\n"));
    }
    let mut signals = Map::new();
    flatten(
        "",
        answer.get("signals").unwrap_or(&Value::Null),
        &mut signals,
    );
    if !signals.is_empty() {
        text.push_str("what the rules read:\n");
        for (name, value) in &signals {
            let value = field(&json!({ "value": value }), "value");
            text.push_str(&format!("  {} = {value}\n", clean(name)));
        }
    }
    let needs = answer.get("needs").and_then(Value::as_array);
    for need in needs.into_iter().flatten().filter_map(Value::as_str) {
        text.push_str(&format!("needs: {}\n", clean(need)));
    }
    if let Some(next) = answer.get("next").filter(|next| !next.is_null()) {
        text.push_str(&format!("next: {}\n", clean(&next.to_string())));
    }
    text
}

/// Members of members as `a.b`.
fn flatten(prefix: &str, value: &Value, into: &mut Map<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{name}"), value, into);
            }
        }
        Value::Null => {}
        other => {
            into.insert(prefix.to_owned(), other.clone());
        }
    }
}
