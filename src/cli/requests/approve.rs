//! `portcullis requests approve`: shows what is approved, then approves exactly that.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::ClientError;
use crate::cli::control::{Binding, Control};
use crate::cli::exit;
use crate::cli::output::{Output, Table, field};
use crate::cli::span::Seconds;
use crate::model::RequestId;

/// What `requests approve` takes.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ApproveArgs {
    /// The requests' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<RequestId>,
    /// A code of your second factor, for the first request that needs one; you are asked for others
    #[arg(long, value_name = "CODE")]
    totp: Option<String>,
    /// Agree to less time than was asked for
    #[arg(long = "for", value_name = "SPAN")]
    duration: Option<Seconds>,
    /// Anything else, for the record
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Do not ask again
    #[arg(long)]
    yes: bool,
}

/// One request that could not be approved.
struct Failed {
    id: RequestId,
    error: anyhow::Error,
}

pub(super) async fn run(
    args: &ApproveArgs,
    control: &Control,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut shown = Vec::new();
    for id in &args.ids {
        let path = format!("/v1/requests/{id}");
        shown.push((id, control.get(Binding::None, &path).await?));
    }
    exit::show(&table(shown.iter().map(|(_, request)| request)));
    if !args.yes && io::stdin().is_terminal() && !answers_yes(&args.ids)? {
        bail!("nothing is approved");
    }
    let mut totp = args.totp.clone();
    let (mut approved, mut failed) = (Vec::new(), Vec::new());
    for (id, request) in shown {
        match approve(args, control, id, &request, &mut totp).await {
            Ok(answer) => approved.push(answer),
            Err(error) => {
                let id = id.clone();
                failed.push(Failed { id, error });
            }
        }
    }
    let refused: Vec<Value> = failed.iter().map(Failed::to_json).collect();
    let document = json!({ "items": approved, "refused": refused });
    output.show(&document, |_| outcome(&approved, &failed))?;
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}

/// Approves what was shown: the digest is that of the request as the table had it.
async fn approve(
    args: &ApproveArgs,
    control: &Control,
    id: &RequestId,
    request: &Value,
    totp: &mut Option<String>,
) -> anyhow::Result<Value> {
    let mfa = request.pointer("/approval/mfa").and_then(Value::as_bool);
    let code = match mfa {
        Some(true) => Some(match totp.take() {
            Some(code) => code,
            None => ask_for_code(id)?,
        }),
        // A code is good once: it is not spent where none is wanted.
        Some(false) | None => None,
    };
    let body = json!({
        "digest": request.get("digest"),
        "totp": code,
        "duration_seconds": args.duration.map(Seconds::to_json),
        "comment": args.comment,
    });
    let path = format!("/v1/requests/{id}/approve");
    control.post(Binding::None, &path, Some(&body)).await
}

fn table<'a>(requests: impl Iterator<Item = &'a Value>) -> String {
    let mut table = Table::new([
        "REQUEST",
        "AGENT",
        "ENTITLEMENT",
        "OPERATIONS",
        "INPUT",
        "SECONDS",
        "CALLS",
        "REASON",
        "DIGEST",
    ]);
    for request in requests {
        let digest: String = field(request, "digest").chars().take(12).collect();
        table.row([
            field(request, "id"),
            field(request, "agent"),
            field(request, "entitlement"),
            field(request, "operations"),
            field(request, "input"),
            field(request, "duration_seconds"),
            field(request, "max_calls"),
            field(request, "reason"),
            digest,
        ]);
    }
    table.render()
}

fn outcome(approved: &[Value], failed: &[Failed]) -> String {
    let mut table = Table::new(["REQUEST", "STATE", "EXPIRES AT"]);
    for one in approved {
        table.row(["id", "state", "expires_at"].map(|name| field(one, name)));
    }
    for Failed { id, error } in failed {
        table.row([id.to_string(), format!("refused: {error}"), "-".to_owned()]);
    }
    table.render()
}

impl Failed {
    fn to_json(&self) -> Value {
        let known = self.error.downcast_ref().and_then(ClientError::refusal);
        let code = known.map(|refusal| refusal.code.as_str());
        json!({ "id": self.id.as_str(), "code": code, "error": self.error.to_string() })
    }
}

fn answers_yes(ids: &[RequestId]) -> anyhow::Result<bool> {
    let what = match ids {
        [one] => format!("approve {one}?"),
        several => format!("approve these {} requests?", several.len()),
    };
    exit::tell(&format!("{what} [y/N]"));
    Ok(matches!(read_line()?.as_str(), "y" | "Y" | "yes"))
}

fn ask_for_code(id: &RequestId) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!("{id} needs a code of your second factor of its own: --totp CODE");
    }
    exit::tell(&format!("a fresh code of your second factor, for {id}:"));
    read_line()
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.context("the answer can't be read")?;
    Ok(line.trim().to_owned())
}
