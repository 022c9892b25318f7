//! `portcullis replay`: recorded decisions, put to candidate policies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use super::check;
use super::exit::{DIFFERENT, tell};
use super::html::HtmlPage;
use super::output::{Output, Table, print};
use crate::audit::{Entry, Lines, Record};
use crate::config::compile;
use crate::pdp::Memory;
use crate::rehearsal::{Change, Replay, Replayed};

/// The longest line of a log that is read.
const LONGEST_LINE: usize = 1 << 20;

/// What `replay` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ReplayArgs {
    /// The audit directory, or one file of it
    #[arg(long, value_name = "FILE|DIR")]
    audit: PathBuf,
    /// The candidate policies; several directories are one set
    #[arg(long, value_name = "DIR", required = true)]
    policies: Vec<PathBuf>,
    /// Take what services may be given from this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print a page for a browser
    #[arg(long)]
    html: bool,
}

pub(super) fn run(args: ReplayArgs, output: Output) -> anyhow::Result<ExitCode> {
    let (sources, problems) = check::sources(args.policies, args.config);
    if problems.has_errors() {
        return check::show(&problems, output);
    }
    let snapshot = match compile(&sources, &mut Memory::default()) {
        Ok((snapshot, _)) => snapshot,
        Err(found) => return check::show(&found, output),
    };
    let mut replay = Replay::new(&snapshot);
    records(&args.audit, |record, place| replay.put(record, place))?;
    let replayed = replay.finish();
    let generation = snapshot.generation().as_str();
    if args.html {
        print(&page(&replayed, generation))?;
    } else {
        output.show(&document(&replayed, generation), |_| describe(&replayed))?;
    }
    if replayed.unknown > 0 {
        tell(&format!(
            "{} decisions could not be put again: their records do not hold what was asked ({})",
            replayed.unknown,
            counted(&replayed.unknown_by)
        ));
    }
    let code = if replayed.changes.is_empty() {
        0
    } else {
        DIFFERENT
    };
    Ok(ExitCode::from(code))
}

/// Hands over every record of a log, with its place.
pub(super) fn records(log: &Path, mut take: impl FnMut(&Record, &str)) -> anyhow::Result<()> {
    let mut put = |entry: &Entry, place: &str| -> anyhow::Result<()> {
        let record = entry.record();
        take(
            &record.with_context(|| format!("{place} holds no record"))?,
            place,
        );
        Ok(())
    };
    if log.is_dir() {
        for entry in Lines::all(log)? {
            let entry = entry?;
            put(&entry, &entry.to_string())?;
        }
        return Ok(());
    }
    let unreadable = || format!("`{}` can't be read", log.display());
    let file = BufReader::new(File::open(log).with_context(unreadable)?);
    let name = log
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for (line, bytes) in (1..).zip(file.split(b'\n')) {
        let bytes = bytes.with_context(unreadable)?;
        if bytes.len() > LONGEST_LINE {
            bail!("{name}:{line} is longer than {LONGEST_LINE} bytes");
        }
        if bytes.is_empty() {
            continue;
        }
        let segment = 0;
        put(
            &Entry {
                segment,
                line,
                bytes,
            },
            &format!("{name}:{line}"),
        )?;
    }
    Ok(())
}

fn document(replayed: &Replayed, generation: &str) -> Value {
    let mut document = replayed.to_json();
    if let Some(members) = document.as_object_mut() {
        members.insert("generation".to_owned(), generation.into());
    }
    document
}

fn strings(rules: &[std::sync::Arc<str>]) -> Vec<&str> {
    rules.iter().map(AsRef::as_ref).collect()
}

/// The changes by what they mean, each kind under its heading.
fn sections(replayed: &Replayed) -> [(&'static str, Vec<&Change>); 3] {
    let of = |wanted: fn(&Change) -> bool| replayed.changes.iter().filter(move |one| wanted(one));
    [
        ("would pass, and did not", of(Change::is_gain).collect()),
        ("would no longer pass", of(Change::is_loss).collect()),
        (
            "would be refused or asked for otherwise",
            of(|one| !one.is_gain() && !one.is_loss()).collect(),
        ),
    ]
}

const HEADING: [&str; 7] = [
    "count", "agent", "what", "before", "after", "rules", "first",
];

fn cells(change: &Change) -> [String; 7] {
    let rules = |rules| match strings(rules).join(", ") {
        none if none.is_empty() => "-".to_owned(),
        some => some,
    };
    [
        change.count.to_string(),
        change.agent.clone(),
        change.what.clone(),
        change.before.to_owned(),
        change.after.to_owned(),
        format!(
            "{} > {}",
            rules(&change.rules_before),
            rules(&change.rules_after)
        ),
        change.first.clone(),
    ]
}

fn describe(replayed: &Replayed) -> String {
    let Replayed {
        decisions,
        same,
        untouched,
        untouched_by,
        unknown,
        unknown_by,
        changes,
        ..
    } = replayed;
    let mut text = format!(
        "{decisions} decisions: {same} the same, {untouched} made before any rule is asked, \
         {unknown} that can't be put again, {} that differ\n",
        changes.iter().map(|change| change.count).sum::<u64>()
    );
    for (what, by) in [
        ("before any rule", untouched_by),
        ("can't be put again", unknown_by),
    ] {
        if !by.is_empty() {
            text.push_str(&format!("{what}: {}\n", counted(by)));
        }
    }
    for (heading, changes) in sections(replayed) {
        if changes.is_empty() {
            continue;
        }
        let mut table = Table::new(HEADING);
        for change in changes {
            table.row(cells(change));
        }
        text.push_str(&format!("\n{heading}:\n{}", table.render()));
    }
    text
}

/// Names and how often each, in a line.
fn counted(by: &BTreeMap<&'static str, u64>) -> String {
    let counts = by.iter().map(|(name, count)| format!("{count} {name}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// The same as a page that needs nothing else.
fn page(replayed: &Replayed, generation: &str) -> String {
    let sentence = format!(
        "{} decisions, {} the same, {} made before any rule is asked, {} that can't be put again.",
        replayed.decisions, replayed.same, replayed.untouched, replayed.unknown,
    );
    let heading = format!("Recorded decisions under generation {generation}");
    let mut page = HtmlPage::new(&heading, &sentence);
    for (heading, changes) in sections(replayed) {
        let rows: Vec<_> = changes.into_iter().map(cells).collect();
        page.section(heading, HEADING, &rows);
    }
    page.finish()
}
