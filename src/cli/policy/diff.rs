//! `portcullis policy diff`: who gains and who loses between two sets of policies, or by a gateway's
//! candidate.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::check;
use crate::cli::connection::Connection;
use crate::cli::control::Binding;
use crate::cli::exit::{DIFFERENT, warn};
use crate::cli::html::HtmlPage;
use crate::cli::output::{Table, field, print};
use crate::config::compile;
use crate::pdp::Memory;
use crate::rehearsal::{Differs, compare};

/// What `policy diff` takes.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The policies as they are; without, a gateway is asked what its candidate would change
    #[arg(value_name = "OLD", requires = "after")]
    before: Option<PathBuf>,
    /// The policies as they would be
    #[arg(value_name = "NEW")]
    after: Option<PathBuf>,
    /// A directory that belongs to both, such as that of enrolled agents
    #[arg(long, value_name = "DIR")]
    with: Vec<PathBuf>,
    /// Take what services may be given from this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print a page for a browser
    #[arg(long)]
    html: bool,
}

pub(super) async fn run(args: DiffArgs, connection: &Connection) -> anyhow::Result<ExitCode> {
    let output = connection.output;
    let document = match (args.before, args.after) {
        (Some(before), Some(after)) => {
            let mut snapshots = Vec::new();
            for directory in [before, after] {
                let directories = std::iter::once(directory).chain(args.with.iter().cloned());
                let config = args.config.clone();
                let (sources, problems) = check::sources(directories.collect(), config);
                if problems.has_errors() {
                    return check::show(&problems, output);
                }
                match compile(&sources, &mut Memory::default()) {
                    Ok((snapshot, _)) => snapshots.push(snapshot),
                    Err(problems) => return check::show(&problems, output),
                }
            }
            let [before, after] = &snapshots[..] else {
                bail!("two sets of policies are compared");
            };
            json!({
                "live": before.generation().as_str(),
                "candidate": after.generation().as_str(),
                "access": Differs::all_to_json(&compare(before, after)),
            })
        }
        _ => {
            let control = connection.as_operator()?;
            let path = "/v1/policies/diff";
            control.post(Binding::None, path, None).await?
        }
    };
    let (sections, untold) = (sections(&document), untold(&document));
    if args.html {
        print(&page(&document, &sections))?;
    } else {
        output.show(&document, |_| describe(&sections, untold.is_empty()))?;
    }
    for what in &untold {
        warn(what);
    }
    let same = sections.iter().all(|section| section.rows.is_empty());
    Ok(ExitCode::from(match (same, untold.is_empty()) {
        (false, _) => DIFFERENT,
        (true, false) => 1,
        (true, true) => 0,
    }))
}

/// What could not be compared.
fn untold(document: &Value) -> Vec<String> {
    let mut untold = Vec::new();
    if let Some(error) = document.pointer("/replay/error") {
        let error = error.as_str().unwrap_or_default();
        untold.push(format!(
            "decisions of late were not put to the candidate: {error}"
        ));
    }
    if document.pointer("/exchanges/complete") == Some(&Value::Bool(false)) {
        untold.push("not every worker has told which running exchanges would be cut".to_owned());
    }
    untold
}

/// A table under a heading.
struct Section {
    heading: &'static str,
    columns: [&'static str; 4],
    rows: Vec<[String; 4]>,
}

fn sections(document: &Value) -> Vec<Section> {
    let ways = ["agent", "operation", "before", "after"];
    let grants = ["id", "agent", "task", "entitlement"];
    let decisions = ["agent", "what", "before", "after"];
    let tables = [
        ("come to it more easily", "/access/gains", ways),
        (
            "come to it less easily, or not at all",
            "/access/losses",
            ways,
        ),
        ("come to it otherwise", "/access/others", ways),
        ("live grants that would end", "/grants/items", grants),
        (
            "running exchanges that would be cut",
            "/exchanges/items",
            ["request_id", "agent", "task", "operation"],
        ),
        (
            "of late: would pass, and does not",
            "/replay/gains",
            decisions,
        ),
        ("of late: would no longer pass", "/replay/losses", decisions),
        (
            "of late: would be refused otherwise",
            "/replay/others",
            decisions,
        ),
    ];
    let sections = tables.into_iter().map(|(heading, pointer, columns)| {
        let items = document.pointer(pointer).and_then(Value::as_array);
        let row = |item: &Value| columns.map(|name| cell(item, name));
        Section {
            heading,
            columns,
            rows: items.into_iter().flatten().map(row).collect(),
        }
    });
    sections.collect()
}

/// What a column has of an item: what is live may decide otherwise than what was live when it was recorded.
fn cell(item: &Value, name: &str) -> String {
    let text = field(item, name);
    match item.get("recorded").and_then(Value::as_str) {
        Some(recorded) if name == "before" && recorded != text => {
            format!("{text} (recorded: {recorded})")
        }
        _ => text,
    }
}

fn describe(sections: &[Section], whole: bool) -> String {
    let mut text = String::new();
    for section in sections.iter().filter(|one| !one.rows.is_empty()) {
        let mut table = Table::new(section.columns);
        for row in &section.rows {
            table.row(row.clone());
        }
        text.push_str(&format!("{}:\n{}\n", section.heading, table.render()));
    }
    match (text.is_empty(), whole) {
        (true, true) => {
            "nothing changes: every agent comes to every operation as before".to_owned()
        }
        (true, false) => "nothing changes of what could be compared".to_owned(),
        (false, _) => text,
    }
}

fn page(document: &Value, sections: &[Section]) -> String {
    let (before, after) = (field(document, "live"), field(document, "candidate"));
    let sentence = format!("Generation {before} as it is, generation {after} as it would be.");
    let mut page = HtmlPage::new("Who comes to what", &sentence);
    for section in sections {
        page.section(section.heading, section.columns, &section.rows);
    }
    page.finish()
}
