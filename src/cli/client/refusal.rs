//! A control side's "no", read from a problem document (RFC 9457) or an OAuth error (RFC 6749 §5.2).

use std::fmt;

use http::StatusCode;
use serde_json::{Value, json};
use thiserror::Error;

use crate::cli::output::clean;

/// How much of an answer that is neither form is repeated.
const EXCERPT: usize = 200;

/// What a control side refused, and why.
#[derive(Clone, Debug, Error)]
pub(in crate::cli) struct Refusal {
    pub(in crate::cli) status: StatusCode,
    /// The kind of refusal, for programs: a problem's or an OAuth error's code.
    pub(in crate::cli) code: String,
    /// Method and URL of the call.
    place: String,
    detail: String,
    /// The answer as it came.
    document: Value,
}

impl Refusal {
    /// Reads an answer of status 400 or above.
    pub(super) fn read(place: String, status: StatusCode, body: &[u8]) -> Self {
        let document = serde_json::from_slice(body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(body);
            json!({ "detail": text.chars().take(EXCERPT).collect::<String>() })
        });
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let code = text("code")
            .or_else(|| text("error"))
            .unwrap_or_default()
            .to_owned();
        let detail = text("detail")
            .or_else(|| text("error_description"))
            .or_else(|| text("title"))
            .unwrap_or_default()
            .to_owned();
        Self {
            status,
            code,
            place,
            detail,
            document,
        }
    }

    /// The answer as it came.
    pub(in crate::cli) const fn document(&self) -> &Value {
        &self.document
    }

    /// What else the answer says, one line each: the rule, what would change it, where a file is
    /// wrong, what to quote.
    pub(in crate::cli) fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!("at: {}", self.place)];
        let named = |name: &str| self.document.get(name).filter(|value| !value.is_null());
        for name in ["rule", "next", "auth_req_id", "request_id"] {
            if let Some(value) = named(name) {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                notes.push(format!("{}: {}", name.replace('_', " "), clean(&text)));
            }
        }
        // Of a candidate, and of files that were refused or are held.
        for place in ["/diagnostics", "/last_refused/diagnostics"] {
            let diagnostics = self.document.pointer(place).and_then(Value::as_array);
            notes.extend(diagnostics.into_iter().flatten().map(diagnostic));
        }
        if let Some(generation) = self.document.pointer("/held/generation") {
            let generation = clean(generation.as_str().unwrap_or_default());
            let reasons = self
                .document
                .pointer("/held/reasons")
                .and_then(Value::as_array);
            let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
            notes.extend(reasons.map(|reason| format!("held: {}", clean(reason))));
            notes.push(format!(
                "`policy reload --accept {generation}` lets it go live"
            ));
        }
        notes
    }

    /// What the caller can do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        Some(match self.code.as_str() {
            "invalid_client" => {
                "the gateway does not know this agent by this key: check --key and --agent, and \
                 that the agent is enrolled in the directory that the gateway reads \
                 (`portcullis agent list`, `portcullis policy status`)"
            }
            "authorization_pending" => {
                "a person has to agree first: `portcullis requests list` shows what waits"
            }
            "task_ended" => "open a task: `portcullis task open`",
            "token_invalid" | "token_missing" => {
                "the gateway does not accept this key: check --key or --operator-key, and that \
                 --control names the gateway that issued it"
            }
            _ if self.status == StatusCode::TOO_MANY_REQUESTS => "try again a little later",
            _ if self.status.is_server_error() => {
                "the fault is on the gateway's side: its log has the cause"
            }
            _ => return None,
        })
    }
}

/// `file:line:column: message (hint)`, with what is there of it.
pub(in crate::cli) fn diagnostic(one: &Value) -> String {
    let mut text = String::new();
    for place in ["file", "line", "column"] {
        match one.get(place) {
            Some(Value::String(name)) => text.push_str(name),
            Some(Value::Number(number)) => text.push_str(&number.to_string()),
            _ => continue,
        }
        text.push(':');
    }
    let message = one.get("message").and_then(Value::as_str);
    text.push(' ');
    text.push_str(message.unwrap_or("(no message)"));
    if let Some(hint) = one.get("hint").and_then(Value::as_str) {
        text.push_str(" (hint: ");
        text.push_str(hint);
        text.push(')');
    }
    clean(text.trim_start())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gateway refuses")?;
        if !self.detail.is_empty() {
            write!(f, ": {}", clean(&self.detail))?;
        }
        if self.code.is_empty() {
            write!(f, " (status {})", self.status.as_u16())
        } else {
            let code = clean(&self.code);
            write!(f, " ({code}, status {})", self.status.as_u16())
        }
    }
}
