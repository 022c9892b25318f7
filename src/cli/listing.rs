//! What the `list` commands have in common: a filter and a table.

#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::control::{Binding, Control};
use super::output::{Output, Table, field};
use crate::model::{AgentId, TaskId};

/// Which items of a list are shown.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Filter {
    /// Only those of this task; an agent that asks uses a token of that task
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    /// Only those of this agent
    #[arg(long, value_name = "AGENT")]
    of_agent: Option<AgentId>,
    /// Only those in this state
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
}

/// Commands of which the one without a name lists.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ListOr<C: Subcommand> {
    #[command(subcommand)]
    command: Option<C>,
    #[command(flatten)]
    filter: Filter,
}

impl<C: Subcommand> ListOr<C> {
    /// The command that was named, or else the one that lists.
    pub(super) fn or_list(self, list: impl FnOnce(Filter) -> C) -> C {
        self.command.unwrap_or_else(|| list(self.filter))
    }
}

impl Filter {
    fn lets_through(&self, item: &Value) -> bool {
        [
            ("task", self.task.as_ref().map(TaskId::as_str)),
            ("agent", self.of_agent.as_ref().map(AgentId::as_str)),
            ("state", self.state.as_deref()),
        ]
        .into_iter()
        .all(|(name, wanted)| {
            wanted.is_none_or(|wanted| item.get(name).and_then(Value::as_str) == Some(wanted))
        })
    }
}

/// Fetches a list and shows what the filter lets through, the named members as columns.
pub(super) async fn show_list<const N: usize>(
    control: &Control,
    path: &str,
    filter: &Filter,
    columns: [&str; N],
    output: Output,
) -> anyhow::Result<()> {
    let task = filter.task.as_ref();
    let binding = task.map_or(Binding::None, Binding::TaskIfOpen);
    let mut document = control.list(binding, path).await?;
    if let Some(Value::Array(items)) = document.get_mut("items") {
        items.retain(|item| filter.lets_through(item));
    }
    output.show(&document, |document| table(document, columns))
}

fn table<const N: usize>(document: &Value, columns: [&str; N]) -> String {
    let items = document.get("items").and_then(Value::as_array);
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return "none".to_owned();
    };
    let mut table = Table::bare();
    table.row(columns.map(|name| name.to_uppercase().replace('_', " ")));
    for item in items {
        table.row(columns.map(|name| field(item, name)));
    }
    let mut text = table.render();
    if document.get("next").is_some_and(Value::is_string) {
        text.push_str("… and more\n");
    }
    text
}
