//! `portcullis agent risk …` and `agent usual …`: how risky an agent looks and what is usual for it, for
//! operators.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::control::{Binding, Control};
use crate::cli::output::{Output, Table, field, fields};
use crate::model::{AgentId, TaskId};

/// What `agent risk` takes.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RiskArgs {
    /// The agent's name
    name: AgentId,
    /// An open task of it, whose own scores count too
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
}

/// What `agent usual` takes.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct UsualArgs {
    /// The agent's name
    name: AgentId,
    /// Forget what was learnt, learn nothing more, or learn again; without it: show what is usual
    #[arg(value_enum)]
    step: Option<Step>,
}

/// What is done with what is usual.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Step {
    Pin,
    Reset,
    Unpin,
}

impl Step {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Reset => "reset",
            Self::Unpin => "unpin",
        }
    }
}

pub(super) async fn risk(args: &RiskArgs, control: &Control, output: Output) -> anyhow::Result<()> {
    let mut path = format!("/v1/agents/{}/risk", args.name);
    if let Some(task) = &args.task {
        path.push_str("?task=");
        path.push_str(task.as_str());
    }
    let answer = control.get(Binding::None, &path).await?;
    output.show(&answer, describe_risk)
}

pub(super) async fn usual(
    args: &UsualArgs,
    control: &Control,
    output: Output,
) -> anyhow::Result<()> {
    let path = format!("/v1/agents/{}/usual", args.name);
    let Some(step) = args.step else {
        let answer = control.get(Binding::None, &path).await?;
        return output.show(&answer, describe_usual);
    };
    let path = format!("{path}/{}", step.as_str());
    let answer = control.post(Binding::None, &path, None).await?;
    output.show(&answer, |answer| fields(answer, &["agent", "pinned"]))
}

fn describe_risk(risk: &Value) -> String {
    let names = ["agent", "task", "score", "known", "age_seconds", "computed"];
    let mut text = fields(risk, &names);
    let mut table = Table::new(["PART", "POINTS", "OF", "VALUE", "WHY"]);
    for part in list(risk, "components") {
        table.row(["name", "points", "weight", "value", "reason"].map(|name| field(part, name)));
    }
    text.push('\n');
    text.push_str(&table.render());
    text
}

fn describe_usual(usual: &Value) -> String {
    let names = ["agent", "pinned", "frozen", "calls_per_minute"];
    let mut text = fields(usual, &names);
    let mut table = Table::new(["KIND", "WHAT", "USUAL", "CALLS", "DAYS", "LAST SEEN"]);
    let mut row = |kind: &str, what: String, seen: &Value| {
        let [usual, calls, days, last] =
            ["usual", "calls", "days", "last_seen"].map(|name| field(seen, name));
        table.row([kind.to_owned(), what, usual, calls, days, last]);
    };
    for one in list(usual, "networks") {
        row("network", field(one, "network"), one);
    }
    for one in list(usual, "hours") {
        let what = format!(
            "day {}, {} o'clock UTC",
            field(one, "weekday"),
            field(one, "hour")
        );
        row("hour", what, one);
    }
    for one in list(usual, "operations") {
        row("operation", field(one, "operation"), one);
    }
    for input in list(usual, "inputs") {
        for one in list(input, "magnitudes") {
            let what = format!(
                "{} of {}: {} to {}",
                field(input, "input"),
                field(input, "operation"),
                field(one, "from"),
                field(one, "to")
            );
            row("input", what, one);
        }
    }
    text.push('\n');
    text.push_str(&table.render());
    text
}

fn list<'v>(document: &'v Value, name: &str) -> &'v [Value] {
    let list = document.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}
