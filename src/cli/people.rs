//! `portcullis people …`: personal access keys and second factors.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::connection::Connection;
use super::control::Binding;
use super::output::{field, fields};
use crate::base::{Readers, write_whole};
use crate::model::PersonId;

/// What `people` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum PeopleCommand {
    /// Make and remove access keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Begin anew where a key or a second factor is lost: it takes two operators
    #[command(subcommand)]
    Reset(ResetCommand),
    /// Show a person: groups, keys, whether there is a second factor
    Show(Named),
    /// Enrol a second factor (TOTP), each for oneself
    #[command(subcommand)]
    Totp(TotpCommand),
}

/// What `people keys` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key: for oneself, or as an operator for a person who has had none
    Make(MakeArgs),
    /// Remove a key; it is good for nothing from then on
    Remove(RemoveArgs),
}

/// What `people reset` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum ResetCommand {
    /// Ask for a reset, as an operator
    Ask(AskArgs),
    /// Confirm a reset that another operator has asked for
    Confirm(Named),
}

/// What `people totp` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum TotpCommand {
    /// Make it count, with a code that the app shows
    Confirm(ConfirmArgs),
    /// Get a secret for an authenticator app
    Enrol(Named),
}

/// A person by name.
#[derive(Clone, Debug, Args)]
pub(super) struct Named {
    /// The person
    person: PersonId,
}

/// What `people keys make` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct MakeArgs {
    /// The person
    person: PersonId,
    /// Where the key goes (a new file, mode 0600); printed if absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What `people keys remove` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct RemoveArgs {
    /// The person
    person: PersonId,
    /// The key's id, as `people show` has it; its alphabet is that of names
    key_id: PersonId,
}

/// What `people totp confirm` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ConfirmArgs {
    /// The person
    person: PersonId,
    /// Six digits
    code: String,
}

/// What `people reset ask` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct AskArgs {
    /// The person
    person: PersonId,
    /// What is forgotten
    #[arg(long, value_enum)]
    of: Of,
}

/// What a reset forgets.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Of {
    All,
    Keys,
    Totp,
}

impl Of {
    const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Keys => "keys",
            Self::Totp => "totp",
        }
    }
}

pub(super) async fn run(
    command: PeopleCommand,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let control = connection.as_operator()?;
    let post = async |path: &str, body: Option<Value>| {
        control.post(Binding::None, path, body.as_ref()).await
    };
    let answer = match command {
        PeopleCommand::Show(Named { person }) => {
            let path = format!("/v1/people/{person}");
            control.get(Binding::None, &path).await?
        }
        PeopleCommand::Keys(KeysCommand::Make(MakeArgs { person, out })) => {
            // Looked at first: a key that can't be written is a key that is lost.
            if let Some(file) = &out {
                anyhow::ensure!(!file.exists(), "`{}` is there already", file.display());
            }
            let made = post(&format!("/v1/people/{person}/keys"), None).await?;
            match out {
                Some(file) => written(&made, &file)?,
                None => made,
            }
        }
        PeopleCommand::Keys(KeysCommand::Remove(RemoveArgs { person, key_id })) => {
            let path = format!("/v1/people/{person}/keys/{key_id}");
            control.delete(&path).await?;
            json!({ "id": key_id.as_str(), "state": "removed" })
        }
        PeopleCommand::Totp(TotpCommand::Enrol(Named { person })) => {
            post(&format!("/v1/people/{person}/totp"), None).await?
        }
        PeopleCommand::Totp(TotpCommand::Confirm(ConfirmArgs { person, code })) => {
            let path = format!("/v1/people/{person}/totp/confirm");
            post(&path, Some(json!({ "code": code }))).await?
        }
        PeopleCommand::Reset(ResetCommand::Ask(AskArgs { person, of })) => {
            let path = format!("/v1/people/{person}/reset");
            post(&path, Some(json!({ "of": of.as_str() }))).await?
        }
        PeopleCommand::Reset(ResetCommand::Confirm(Named { person })) => {
            post(&format!("/v1/people/{person}/reset/confirm"), None).await?
        }
    };
    connection.output.show(&answer, describe)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a key to a file of its own, for its owner alone to read.
fn written(made: &Value, file: &Path) -> anyhow::Result<Value> {
    let key = made.get("key").and_then(Value::as_str);
    let key = key.context("the answer holds no key")?;
    let line = format!("{key}\n");
    write_whole(file, line.as_bytes(), Readers::OwnerOnly)
        .with_context(|| format!("the key can't be written to `{}`", file.display()))?;
    Ok(json!({ "id": field(made, "id"), "file": file }))
}

fn describe(answer: &Value) -> String {
    let mut text = fields(
        answer,
        &[
            "id",
            "state",
            "groups",
            "totp",
            "key",
            "file",
            "secret",
            "otpauth_url",
            "of",
            "confirm_within_seconds",
        ],
    );
    let keys = answer.get("keys").and_then(Value::as_array);
    for key in keys.into_iter().flatten() {
        let [id, at, by] = ["id", "made_at", "made_by"].map(|name| field(key, name));
        text.push_str(&format!("key {id}, made {at} by {by}\n"));
    }
    text
}
