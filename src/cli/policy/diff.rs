//! `portcullis policy diff OLD NEW`: who gains and who loses between two sets of policies.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::check;
use crate::cli::exit::DIFFERENT;
use crate::cli::html::HtmlPage;
use crate::cli::output::{Output, Table, print};
use crate::config::compile;
use crate::pdp::Memory;
use crate::rehearsal::{Differs, compare};

/// What `policy diff` takes.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The policies as they are
    #[arg(value_name = "OLD")]
    before: PathBuf,
    /// The policies as they would be
    #[arg(value_name = "NEW")]
    after: PathBuf,
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

pub(super) fn run(args: DiffArgs, output: Output) -> anyhow::Result<ExitCode> {
    let mut snapshots = Vec::new();
    for directory in [args.before, args.after] {
        let directories = std::iter::once(directory).chain(args.with.iter().cloned());
        let (sources, problems) = check::sources(directories.collect(), args.config.clone());
        if problems.has_errors() {
            return check::show(&problems, output);
        }
        match compile(&sources, &mut Memory::default()) {
            Ok((snapshot, _)) => snapshots.push(snapshot),
            Err(problems) => return check::show(&problems, output),
        }
    }
    let [before, after] = &snapshots[..] else {
        anyhow::bail!("two sets of policies are compared");
    };
    let differs = compare(before, after);
    if args.html {
        print(&page(&differs))?;
    } else {
        let document = json!({
            "before": before.generation().as_str(),
            "after": after.generation().as_str(),
            "gains": cells(&differs, Differs::is_gain),
            "losses": cells(&differs, Differs::is_loss),
            "others": cells(&differs, is_other),
        });
        output.show(&document, |_| describe(&differs))?;
    }
    let code = if differs.is_empty() { 0 } else { DIFFERENT };
    Ok(ExitCode::from(code))
}

fn is_other(one: &Differs) -> bool {
    !one.is_gain() && !one.is_loss()
}

fn cells(differs: &[Differs], wanted: fn(&Differs) -> bool) -> Value {
    let differs = differs.iter().filter(|one| wanted(one));
    let cell = |one: &Differs| {
        json!({
            "agent": one.agent,
            "operation": one.operation,
            "before": one.before.to_string(),
            "after": one.after.to_string(),
        })
    };
    differs.map(cell).collect()
}

const HEADING: [&str; 4] = ["agent", "operation", "before", "after"];

type Section = (&'static str, Vec<[String; 4]>);

fn sections(differs: &[Differs]) -> [Section; 3] {
    let rows = |wanted: fn(&Differs) -> bool| {
        let differs = differs.iter().filter(|one| wanted(one));
        let row = |one: &Differs| {
            [
                one.agent.clone(),
                one.operation.clone(),
                one.before.to_string(),
                one.after.to_string(),
            ]
        };
        differs.map(row).collect()
    };
    [
        ("come to it more easily", rows(Differs::is_gain)),
        (
            "come to it less easily, or not at all",
            rows(Differs::is_loss),
        ),
        ("come to it otherwise", rows(is_other)),
    ]
}

fn describe(differs: &[Differs]) -> String {
    if differs.is_empty() {
        return "every agent comes to every operation as before".to_owned();
    }
    let mut text = String::new();
    for (heading, rows) in sections(differs) {
        if rows.is_empty() {
            continue;
        }
        let mut table = Table::new(HEADING);
        for row in rows {
            table.row(row);
        }
        text.push_str(&format!("{heading}:\n{}\n", table.render()));
    }
    text
}

fn page(differs: &[Differs]) -> String {
    let sentence = format!("{} pairs of agent and operation differ.", differs.len());
    let mut page = HtmlPage::new("Who comes to what", &sentence);
    for (heading, rows) in sections(differs) {
        page.section(heading, HEADING, &rows);
    }
    page.finish()
}
