//! The flags by which commands find the control side and say who they are.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use super::client::{Address, Client};
use super::control::{Caller, Control};
use super::holder::{Holder, key_beside};
use super::identity::Identity;
use super::output::Output;
use crate::base::Secret;
use crate::model::AgentId;
use crate::tokens::SigningKey;

/// Longer than any personal key; shorter than a file named by mistake.
const LONGEST_OPERATOR_KEY: usize = 512;

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection and output")]
pub(super) struct Connection {
    /// Where the gateway's control side is
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_CONTROL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "https://localhost:8444"
    )]
    control: Address,
    /// The authority that signed its certificate (PEM); the system's authorities if absent
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    ca: Option<PathBuf>,
    /// An agent's private key (JWK)
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_AGENT_KEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    key: Option<PathBuf>,
    /// Bind the agent's tokens to a key (DPoP): NAME.dpop.jwk beside its key file, made if absent
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_DPOP",
        hide_env_values = true,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub(super) dpop: bool,
    /// The agent's name; the key file's name without its ending if absent
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_AGENT",
        hide_env_values = true,
        value_name = "NAME"
    )]
    agent: Option<AgentId>,
    /// A person's key (pk_…)
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_OPERATOR_KEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    operator_key: Option<PathBuf>,
    /// How data is printed
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_OUTPUT",
        hide_env_values = true,
        value_enum,
        value_name = "FORM",
        default_value = "text"
    )]
    pub(super) output: Output,
}

impl Connection {
    /// The agent that `--key` stands for.
    pub(super) fn identity(&self) -> anyhow::Result<Identity> {
        let Some(path) = &self.key else {
            bail!(
                "an agent's key is needed: name its file with --key or PORTCULLIS_AGENT_KEY \
                 (`portcullis agent enroll` makes one)"
            );
        };
        let key = SigningKey::read(path)
            .with_context(|| format!("the agent's key `{}` can't be used", path.display()))?;
        let agent = match &self.agent {
            Some(agent) => agent.clone(),
            None => agent_of(path)?,
        };
        let holder = self.dpop.then(|| Holder::open(&key_beside(path)));
        let holder = holder.transpose()?;
        Ok(Identity::new(self.client()?, agent, key).bound_to(holder))
    }

    /// The name that `--agent` gives.
    pub(super) fn agent_name(&self) -> Option<&str> {
        self.agent.as_ref().map(AgentId::as_str)
    }

    /// The control side, spoken to as an agent; as a person where there is no agent's key.
    pub(super) fn as_agent(&self) -> anyhow::Result<Control> {
        match (&self.key, &self.operator_key) {
            (None, Some(path)) => self.as_person(path),
            _ => Ok(Control::new(Caller::Agent(Box::new(self.identity()?)))),
        }
    }

    /// The control side, spoken to as a person; as an agent where there is no person's key.
    pub(super) fn as_operator(&self) -> anyhow::Result<Control> {
        match (&self.key, &self.operator_key) {
            (_, Some(path)) => self.as_person(path),
            (Some(_), None) => self.as_agent(),
            (None, None) => bail!(
                "a key is needed: name a file with a person's key (pk_…) with --operator-key or \
                 PORTCULLIS_OPERATOR_KEY (the first operator's is `data/operator.key`)"
            ),
        }
    }

    fn as_person(&self, path: &Path) -> anyhow::Result<Control> {
        Ok(Control::new(Caller::Person {
            client: self.client()?,
            key: read_operator_key(path)?,
        }))
    }

    fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::open(self.control.clone(), self.ca.clone())?)
    }
}

fn agent_of(key_file: &Path) -> anyhow::Result<AgentId> {
    let stem = key_file.file_stem().and_then(|stem| stem.to_str());
    let stem = stem.with_context(|| {
        format!(
            "`{}` does not tell the agent's name: say it with --agent",
            key_file.display()
        )
    })?;
    stem.parse().with_context(|| {
        format!("the key file's name `{stem}` is no agent's name: say it with --agent")
    })
}

fn read_operator_key(path: &Path) -> anyhow::Result<Secret<String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the operator key `{}` can't be read", path.display()))?;
    let key = text.trim();
    let plausible = key.len() <= LONGEST_OPERATOR_KEY && key.bytes().all(|b| b.is_ascii_graphic());
    if !key.starts_with("pk_") || !plausible {
        bail!(
            "`{}` holds no operator key: that is one line that starts with `pk_`",
            path.display()
        );
    }
    Ok(Secret::new(key.to_owned()))
}
