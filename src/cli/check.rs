//! `portcullis check`: everything that is wrong with configuration and policies, at once.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::exit;
use super::output::{Output, colours};
use crate::app::check_files;
use crate::base::Clock;
use crate::config::{Diagnostics, Settings, Snapshot, Sources, compile, read_tables, variables};
use crate::pdp::Memory;

/// What `check` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct CheckArgs {
    /// The policies directory; the configuration file's, else `policies`, if absent
    #[arg(value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// Check this configuration file too
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

pub(super) fn run(args: CheckArgs, output: Output) -> anyhow::Result<ExitCode> {
    let directories = args.directory.into_iter().collect();
    let Configured {
        sources,
        mut problems,
        settings,
    } = configured(directories, args.config);
    if let Some((file, settings)) = settings {
        problems = problems.joined(check_files(&settings, &file, &Clock::system()));
    }
    match compile(&sources, &mut Memory::default()) {
        Ok((snapshot, warnings)) => {
            problems = problems.joined(warnings);
            tell_interpreted(&snapshot);
        }
        Err(found) => problems = problems.joined(found),
    }
    // What `test` could not read.
    let (_, found) = read_tables(&sources.directories);
    show(&problems.joined(found), output)
}

/// What is meant by a command's arguments.
struct Configured {
    sources: Sources,
    /// What is wrong with the configuration file.
    problems: Diagnostics,
    /// The configuration file and what it says, where there is one that can be used.
    settings: Option<(PathBuf, Settings)>,
}

/// Which policies are meant, and what is wrong with the configuration file.
pub(super) fn sources(
    directories: Vec<PathBuf>,
    config: Option<PathBuf>,
) -> (Sources, Diagnostics) {
    let Configured {
        sources, problems, ..
    } = configured(directories, config);
    (sources, problems)
}

/// Which policies are meant: those in `directories`, else those of the configuration file, else those in
/// `policies`.
fn configured(directories: Vec<PathBuf>, config: Option<PathBuf>) -> Configured {
    let default = PathBuf::from("portcullis.toml");
    let found = || default.is_file().then_some(default);
    // A directory that is named stands for itself; a file that lies here is then another matter.
    let config = match (directories.is_empty(), config) {
        (_, Some(file)) => Some(file),
        (true, None) => found(),
        (false, None) => None,
    };
    let mut problems = Diagnostics::default();
    let mut sources = Sources {
        directories: vec![PathBuf::from("policies")],
        credentials: std::iter::empty().collect(),
        stand_in: None,
    };
    let mut settings = None;
    if let Some(file) = config {
        match Settings::load(&file, variables()) {
            Ok((loaded, warnings)) => {
                sources = loaded.sources();
                problems = problems.joined(warnings);
                settings = Some((file, loaded));
            }
            Err(found) => {
                sources.directories = vec![Settings::policies_of(&file, variables())];
                problems = problems.joined(found);
            }
        }
    }
    if !directories.is_empty() {
        sources.directories = directories;
    }
    Configured {
        sources,
        problems,
        settings,
    }
}

/// Names the rules that cost more than others to ask: nothing is wrong with them.
fn tell_interpreted(snapshot: &Snapshot) {
    for (rule, uses) in snapshot.policies().interpreted() {
        let (file, line, id) = (&rule.file, rule.line, &rule.id);
        exit::tell(&format!(
            "{file}:{line}: rule `{id}` is asked of Cedar at each call that it applies to, which costs more than \
             compiled rules: it uses {uses}"
        ));
    }
}

/// Shows problems and ends with 1 if one of them is an error.
pub(super) fn show(problems: &Diagnostics, output: Output) -> anyhow::Result<ExitCode> {
    let errors = problems.has_errors();
    match output {
        Output::Json => {
            let document = json!({ "ok": !errors, "diagnostics": problems });
            super::output::print(&format!("{document:#}"))?;
        }
        Output::Text if problems.is_empty() => super::output::print("everything holds")?,
        Output::Text => {
            let shown = problems.graphical(colours());
            // Where even that can't be written, the exit code still tells.
            let _ = write!(std::io::stderr().lock(), "{shown}");
            if !errors {
                exit::tell("nothing is wrong; what is above is worth a look");
            }
        }
    }
    Ok(ExitCode::from(u8::from(errors)))
}

/// Shows an error of the start; problems of files with their places.
pub(super) fn explain(error: anyhow::Error, output: Output) -> anyhow::Result<ExitCode> {
    match error.downcast::<Diagnostics>() {
        Ok(problems) => show(&problems, output),
        Err(error) => Err(error),
    }
}
