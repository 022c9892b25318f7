//! Reads who is enrolled from a policies directory, without judging the rest of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

/// Deeper than any policies directory that people still find their way in; ends loops of links.
const DEEPEST: usize = 16;

/// What a directory holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) agents: Vec<Listed>,
    /// Files that could not be read, in words.
    pub(super) problems: Vec<String>,
}

/// One enrolled agent.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) file: PathBuf,
    groups: Vec<String>,
    owner: Option<String>,
    keys: usize,
}

impl Listed {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "groups": self.groups,
            "owner": self.owner,
            "keys": self.keys,
            "file": self.file.display().to_string(),
        })
    }
}

/// The tables of interest; every other is another room's business.
#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    agent: Vec<RawAgent>,
}

#[derive(Deserialize)]
struct RawAgent {
    id: String,
    #[serde(default)]
    groups: Vec<String>,
    owner: Option<String>,
    #[serde(default)]
    keys: Vec<toml::Value>,
}

/// Reads all `*.toml` files of `directory`. A file that can't be read is a problem, not a failure.
pub(super) fn read(directory: &Path) -> anyhow::Result<Found> {
    let mut found = Found::default();
    fs::read_dir(directory)
        .with_context(|| format!("the directory `{}` can't be read", directory.display()))?;
    walk(directory, 0, &mut found);
    found.agents.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

fn walk(directory: &Path, depth: usize, found: &mut Found) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let problem = format!("`{}` can't be read: {error}", directory.display());
            return found.problems.push(problem);
        }
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        // Kubernetes mounts keep the content below `..data`, and links to it beside.
        let Some(name) = name.filter(|name| !name.starts_with('.')) else {
            continue;
        };
        if path.is_dir() {
            // Decision tables name agents too, without enrolling them.
            let tables = name == "tests";
            if !tables && depth < DEEPEST {
                walk(&path, depth.saturating_add(1), found);
            }
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            read_file(&path, found);
        }
    }
}

fn read_file(path: &Path, found: &mut Found) {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let problem = format!("`{}` can't be read: {error}", path.display());
            return found.problems.push(problem);
        }
    };
    match toml::from_str::<RawFile>(&text) {
        Ok(file) => found
            .agents
            .extend(file.agent.into_iter().map(|raw| Listed {
                id: raw.id,
                file: path.to_owned(),
                groups: raw.groups,
                owner: raw.owner,
                keys: raw.keys.len(),
            })),
        Err(error) => {
            let problem = format!(
                "`{}` is not understood: {}",
                path.display(),
                error.message()
            );
            found.problems.push(problem);
        }
    }
}
