//! Makes an agent: a key pair, the private half for the agent, the public half for the gateway.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::list;
use crate::model::{AgentId, GroupName};
use crate::tokens::{Algorithm, SigningKey};

/// Who is enrolled, and where the halves of the key go.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The agent's name.
    pub name: AgentId,
    /// The groups it belongs to.
    pub groups: Vec<GroupName>,
    /// The person, or group of people, that answers for it.
    pub owner: Option<String>,
    /// The policies directory; the public part goes into `agents/<name>.toml` there.
    pub directory: PathBuf,
    /// Where the private key goes: a file that does not exist yet.
    pub key_file: PathBuf,
}

/// Enrols an agent and returns the policy file that was written.
///
/// # Errors
///
/// When the name is taken, when one of the two files exists, or when one can't be written. Nothing
/// is overwritten, and no half of an enrolment is left behind.
pub fn enroll(enrolment: &Enrolment) -> anyhow::Result<PathBuf> {
    refuse_if_taken(enrolment)?;
    let agents = enrolment.directory.join("agents");
    let policy_file = agents.join(format!("{}.toml", enrolment.name));
    for file in [&policy_file, &enrolment.key_file] {
        // A dangling symbolic link is there too: writing through it would end up elsewhere.
        if file.symlink_metadata().is_ok() {
            bail!(
                "`{}` exists, and is not overwritten: remove it, or choose another name",
                file.display()
            );
        }
    }
    let key = SigningKey::generate(Algorithm::Es256).context("no key could be made")?;
    let text = table(enrolment, &key)?;
    fs::create_dir_all(&agents)
        .with_context(|| format!("`{}` can't be created", agents.display()))?;
    write_key(&enrolment.key_file, &key)?;
    if let Err(error) = write_new(&policy_file, &text, 0o644) {
        // A private key whose public half nobody knows is of no use to anyone.
        let _ = fs::remove_file(&enrolment.key_file);
        return Err(error);
    }
    Ok(policy_file)
}

fn refuse_if_taken(enrolment: &Enrolment) -> anyhow::Result<()> {
    let directory = &enrolment.directory;
    if !directory.is_dir() {
        bail!(
            "there is no directory `{}`: name the policies directory with --directory",
            directory.display()
        );
    }
    let enrolled = list::read(directory)?.agents;
    if let Some(other) = enrolled.iter().find(|a| a.id == enrolment.name.as_str()) {
        bail!(
            "an agent `{}` is enrolled already, in `{}`",
            enrolment.name,
            other.file.display()
        );
    }
    Ok(())
}

/// First an empty file, which fails where there is one: the key then replaces our own file only.
fn write_key(path: &Path, key: &SigningKey) -> anyhow::Result<()> {
    write_new(path, "", 0o600)?;
    key.write(path)
        .inspect_err(|_| {
            let _ = fs::remove_file(path);
        })
        .with_context(|| format!("`{}` can't be written", path.display()))
}

/// Writes a new file in one piece: who watches the directory sees it empty or whole.
fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .inspect_err(|_| {
                    let _ = fs::remove_file(path);
                })
        });
    written.with_context(|| format!("`{}` can't be written", path.display()))
}

fn table(enrolment: &Enrolment, key: &SigningKey) -> anyhow::Result<String> {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let jwk = toml::Value::try_from(key.public_jwk()).context("the key can't be written down")?;
    let groups = enrolment.groups.iter().map(|group| quoted(group.as_str()));
    let groups = groups.collect::<Vec<_>>().join(", ");
    let owner = enrolment.owner.as_deref().map(quoted);
    let owner = owner.map_or_else(String::new, |owner| format!("owner = {owner}\n"));
    Ok(format!(
        "# Enrolled by `portcullis agent enroll`. The private key stays with the agent.\n\
         [[agent]]\n\
         id = {}\n\
         groups = [{groups}]\n\
         {owner}\
         keys = [{jwk}]\n",
        quoted(enrolment.name.as_str()),
    ))
}
