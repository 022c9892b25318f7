//! A call that was made, as its record in the audit log tells of it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::caller::Caller;
use super::error::ApiError;
use super::state::Admin;
use crate::audit::{Backwards, Record, RecordKind};
use crate::base::ErrorChain;

/// How many lines are looked at, from the newest on.
const MOST_LINES: usize = 50_000;

/// What the question in a record says, and the attribute of `context` that rules read it from.
const FACTS: [(&str, &str); 16] = [
    ("approved_by", "auth"),
    ("approved_mfa", "auth"),
    ("at", "now"),
    ("content_length", "http"),
    ("country", "source"),
    ("factors", "auth"),
    ("grant", "grant"),
    ("history", "history"),
    ("input", "input"),
    ("known", "source"),
    ("methods", "auth"),
    ("proof", "auth"),
    ("risk", "risk"),
    ("risk_age_seconds", "risk"),
    ("task", "task"),
    ("usual", "usual"),
];

/// A record of a call, and its line.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) record: Record,
    line: Value,
}

impl Recorded {
    /// The call that the gateway gave this id, if it is one of the latest: of any agent for people, of its own for
    /// an agent.
    pub(super) async fn find(admin: &Admin, caller: &Caller, id: &str) -> Result<Self, ApiError> {
        // Where what was decided just now can't be written, there is still the rest to be seen.
        let _ = admin.audit.flush().await;
        let directory = Arc::clone(&admin.audit_directory);
        let wanted = id.to_owned();
        let own = match caller {
            Caller::Agent(agent) => Some(agent.id().clone()),
            Caller::Person(_) => None,
        };
        let found = spawn_blocking(move || find(&directory, &wanted)).await;
        let unreadable = |why: String| ApiError::unavailable("audit_unavailable", why);
        let found = found.map_err(|_| unreadable("reading the audit log broke off".to_owned()))?;
        let found = found.map_err(unreadable)?;
        // That of another agent looks like none.
        let is_own = |found: &Self| own.is_none() || found.record.agent == own;
        found.filter(is_own).ok_or_else(|| {
            let detail = format!("no call `{id}` among the last {MOST_LINES} records");
            ApiError::not_found(detail)
        })
    }

    /// What was decided then. Agents are told of what was read what `signals` tell them of.
    pub(super) fn view(&self, signals: Option<&Map<String, Value>>) -> Value {
        let told = |name: &str| {
            let fact = FACTS
                .iter()
                .find(|(one, _)| *one == name)
                .map(|(_, fact)| *fact);
            signals.is_none_or(|signals| fact.is_some_and(|fact| signals.contains_key(fact)))
        };
        let asked = self.line.get("asked").and_then(Value::as_object);
        let asked = asked.into_iter().flatten().filter(|(name, _)| told(name));
        let asked: Map<_, _> = asked
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut view = Map::new();
        for (name, from) in [
            ("at", "time"),
            ("decision", "verdict"),
            ("code", "code"),
            ("rules", "rules"),
            ("operation", "operation"),
            ("grant", "grant"),
            ("generation", "generation"),
            ("status", "status"),
            ("end", "end"),
        ] {
            if let Some(value) = self.line.get(from).filter(|value| !value.is_null()) {
                view.insert(name.to_owned(), value.clone());
            }
        }
        view.insert("signals".to_owned(), json!(asked));
        view.into()
    }
}

fn find(directory: &Path, id: &str) -> Result<Option<Recorded>, String> {
    let lines = Backwards::open(directory, None);
    let lines = lines.map_err(|error| ErrorChain(&error).to_string())?;
    for line in lines.take(MOST_LINES) {
        let line = line.map_err(|error| ErrorChain(&error).to_string())?;
        let names = memchr::memmem::find(&line.bytes, id.as_bytes()).is_some();
        // A line that does not read as a record is for `audit verify` to name.
        let Some(Ok(record)) = names.then(|| line.record()) else {
            continue;
        };
        if record.kind != RecordKind::Call || record.request_id.as_deref() != Some(id) {
            continue;
        }
        let line = serde_json::from_slice(&line.bytes).unwrap_or(Value::Null);
        return Ok(Some(Recorded { record, line }));
    }
    Ok(None)
}
