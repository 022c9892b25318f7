//! How a command ends: the exit codes that scripts rely on, and the words that people read.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::ClientError;
use super::output::{Output, clean, colours};

/// A request waits for a person, and was not waited for.
pub(super) const PENDING: u8 = 3;

/// Candidate policies decide otherwise.
pub(super) const DIFFERENT: u8 = 3;

/// Shown under `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or failed
  2  the command line can't be understood
  3  a request waits for a person and was not waited for; candidate policies decide otherwise";

/// Tells what went wrong on the standard error output, and with which code to end.
pub(super) fn report(error: &anyhow::Error, output: Output) -> ExitCode {
    let known = error.downcast_ref::<ClientError>();
    match output {
        Output::Json => eprint(&document(error, known).to_string()),
        Output::Text => eprint(&text(error, known)),
    }
    ExitCode::from(code(known))
}

fn code(error: Option<&ClientError>) -> u8 {
    let refusal = error.and_then(ClientError::refusal);
    match refusal.map(|refusal| refusal.code.as_str()) {
        Some("authorization_pending") => PENDING,
        _ => 1,
    }
}

fn text(error: &anyhow::Error, known: Option<&ClientError>) -> String {
    let (bold, red, plain) = if colours() {
        ("\u{1b}[1m", "\u{1b}[1;31m", "\u{1b}[0m")
    } else {
        ("", "", "")
    };
    let mut text = format!("{red}error:{plain} {}", clean(&format!("{error:#}")));
    let refusal = known.and_then(ClientError::refusal);
    for note in refusal.into_iter().flat_map(|refusal| refusal.notes()) {
        text.push_str("\n  ");
        text.push_str(&note);
    }
    if let Some(hint) = known.and_then(ClientError::hint) {
        text.push_str(&format!("\n{bold}hint:{plain} {hint}"));
    }
    text
}

/// A refusal's own document, so that a program finds `code`, `rule` and `next` where the gateway
/// put them; else the message.
fn document(error: &anyhow::Error, known: Option<&ClientError>) -> Value {
    match known.and_then(ClientError::refusal) {
        Some(refusal) => refusal.document().clone(),
        None => {
            let mut document = json!({ "error": format!("{error:#}") });
            if let (Some(hint), Some(members)) =
                (known.and_then(ClientError::hint), document.as_object_mut())
            {
                members.insert("hint".to_owned(), hint.into());
            }
            document
        }
    }
}

/// Where even that can't be written, the exit code still tells.
fn eprint(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says on the standard error output how things go.
pub(super) fn tell(text: &str) {
    eprint(&clean(text));
}

/// Shows lines that are clean already, such as a table, on the standard error output.
pub(super) fn show(lines: &str) {
    eprint(lines.trim_end());
}

/// Says on the standard error output what is not as it should be, and goes on.
pub(super) fn warn(text: &str) {
    eprint(&format!("warning: {}", clean(text)));
}
