//! `portcullis audit …`: the audit log, read offline.

mod ocsf;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::output::{Output, field, fields, print_on};
use crate::audit::{Entry, Lines, verify};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What `audit` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Print the records as JSON lines, or as OCSF events
    Export(ExportArgs),
    /// Show the last records, and those that follow until it is stopped
    Tail(TailArgs),
    /// Check the chain; exit 1 with the first bad segment:line
    Verify(VerifyArgs),
}

/// What `audit verify` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct VerifyArgs {
    /// The audit directory
    #[arg(value_name = "DIR", default_value = "data/audit")]
    pub(super) directory: PathBuf,
}

/// What `audit tail` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct TailArgs {
    /// The audit directory
    #[arg(value_name = "DIR", default_value = "data/audit")]
    directory: PathBuf,
    /// How many records to begin with
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10)]
    lines: usize,
    /// End after these
    #[arg(long)]
    once: bool,
}

/// What `audit export` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ExportArgs {
    /// The audit directory
    #[arg(value_name = "DIR", default_value = "data/audit")]
    directory: PathBuf,
    /// What a record becomes
    #[arg(long, value_enum, value_name = "FORM", default_value = "jsonl")]
    format: Format,
    /// Only records from this moment on
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only records before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only records of this kind, such as `call`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
}

/// What a record becomes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    // No doc comments here: the command line would repeat them under every `--help`.
    Jsonl,
    Ocsf,
}

pub(super) fn run(command: AuditCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Export(args) => export(&args)?,
        AuditCommand::Tail(args) => tail(&args, output)?,
        AuditCommand::Verify(args) => check(&args, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(VerifyArgs { directory }: &VerifyArgs, output: Output) -> anyhow::Result<()> {
    let summary = verify(directory)
        .with_context(|| format!("the audit log `{}` does not hold", directory.display()))?;
    let document = json!({
        "segments": summary.segments,
        "records": summary.records,
        "head": summary.head.to_string(),
    });
    output.show(&document, |document| {
        fields(document, &["segments", "records", "head"])
    })
}

fn tail(args: &TailArgs, output: Output) -> anyhow::Result<()> {
    let mut lines = Lines::last(&args.directory, args.lines)?;
    loop {
        for entry in lines.by_ref() {
            let entry = entry?;
            let line = match output {
                Output::Json => String::from_utf8_lossy(&entry.bytes).into_owned(),
                Output::Text => brief(&value(&entry)?),
            };
            if !print_on(&line)? {
                return Ok(());
            }
        }
        if args.once {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

fn value(entry: &Entry) -> anyhow::Result<Value> {
    let value = entry.value();
    value.with_context(|| format!("{entry} holds no record: see `portcullis audit verify`"))
}

/// A record on one line.
fn brief(record: &Value) -> String {
    let mut words = vec![field(record, "time"), field(record, "kind")];
    let plain = [
        "verdict", "code", "end", "agent", "person", "method", "path", "status",
    ];
    let named = [
        "operation",
        "entitlement",
        "task",
        "grant",
        "request",
        "rules",
        "detail",
    ];
    let there = |name: &&str| record.get(*name).is_some();
    let plain = plain.into_iter().filter(there);
    words.extend(plain.map(|name| field(record, name)));
    let named = named.into_iter().filter(there);
    words.extend(named.map(|name| format!("{name}={}", field(record, name))));
    words.join(" ")
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = write_all(args, &args.directory, &mut out).and_then(|()| Ok(out.flush()?));
    match written {
        // A reader that has gone away (`| head -1`) is not an error.
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn write_all(args: &ExportArgs, directory: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    for entry in Lines::all(directory)? {
        let entry = entry?;
        let record = value(&entry)?;
        let kind = record.get("kind").and_then(Value::as_str);
        let time = record.get("time").and_then(Value::as_str);
        let time: Option<Timestamp> = time.and_then(|time| time.parse().ok());
        let wanted = args.kind.is_none() || args.kind.as_deref() == kind;
        let late = args.until.is_some_and(|until| time >= Some(until));
        let early = args.since.is_some_and(|since| time < Some(since));
        if !wanted || late || early {
            continue;
        }
        match args.format {
            Format::Jsonl => out.write_all(&entry.bytes)?,
            Format::Ocsf => write!(out, "{}", ocsf::event(&record))?,
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}
