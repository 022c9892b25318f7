//! What an event asks for: the types of OpenID CAEP 1.0, RISC 1.0 and the Shared Signals Framework that mean
//! something here. Others are taken and mean nothing (RFC 8935 §2.2).

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::tokens::SecurityEvent;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// One event.
#[derive(Debug)]
pub(super) struct Event {
    /// Its type, as people call it.
    pub(super) name: &'static str,
    /// Whom it is about, where that stands in the event itself, as before version 1.0.
    pub(super) subject: Option<Map<String, Value>>,
    pub(super) order: Order,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The agent is revoked until an operator restores it.
    Disable,
    /// Its tokens and tasks end; it may begin anew.
    EndSessions,
    /// Nothing, and why.
    Nothing(&'static str),
    /// It looks so risky.
    Score(Kind, Level),
    /// What was said of it is no longer said.
    TakeBack(Kind),
}

/// What a score is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::admin) enum Kind {
    Assurance,
    Risk,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Assurance => "assurance-level-change",
            Self::Risk => "risk-level-change",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let mut all = [Self::Assurance, Self::Risk].into_iter();
        all.find(|one| one.as_str() == name)
    }
}

/// How risky.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Level {
    High,
    Low,
    Medium,
}

impl Level {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let mut all = [Self::High, Self::Low, Self::Medium].into_iter();
        all.find(|one| one.as_str() == name)
    }
}

/// The events of a token that mean something, in the order in which they are done.
///
/// # Errors
///
/// When one is not as its definition says: then none is done.
pub(super) fn read(token: &SecurityEvent) -> Result<Vec<Event>, Refusal> {
    let mut events = Vec::new();
    for (uri, payload) in &token.events {
        events.extend(one(uri, payload)?);
    }
    Ok(events)
}

fn one(uri: &str, payload: &Map<String, Value>) -> Result<Option<Event>, Refusal> {
    let text = |name: &str| match payload.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Refusal::request(format!("`{name}` is not a text"))),
    };
    let required = |name: &'static str| {
        text(name)?.ok_or_else(|| Refusal::request(format!("`{name}` is missing")))
    };
    let (name, order) = if let Some(name) = uri.strip_prefix(CAEP) {
        match name {
            "assurance-level-change" => {
                required("current_level")?;
                let order = match text("change_direction")? {
                    Some("increase") => Order::TakeBack(Kind::Assurance),
                    // Where it does not say, it may have been one.
                    Some("decrease") | None => Order::Score(Kind::Assurance, Level::Medium),
                    Some(_) => return Err(Refusal::request("`change_direction` is neither")),
                };
                ("assurance-level-change", order)
            }
            "credential-change" => {
                required("credential_type")?;
                let order = match required("change_type")? {
                    "delete" | "revoke" => Order::EndSessions,
                    "create" | "update" => Order::Nothing("a new credential ends nothing"),
                    _ => return Err(Refusal::request("`change_type` is none that there is")),
                };
                ("credential-change", order)
            }
            "risk-level-change" => {
                let level = match required("current_level")? {
                    "HIGH" => Level::High,
                    "LOW" => Level::Low,
                    "MEDIUM" => Level::Medium,
                    _ => return Err(Refusal::request("`current_level` is none that there is")),
                };
                ("risk-level-change", Order::Score(Kind::Risk, level))
            }
            "session-revoked" => ("session-revoked", Order::EndSessions),
            _ => return Ok(None),
        }
    } else if let Some(name) = uri.strip_prefix(RISC) {
        match name {
            "account-disabled" => ("account-disabled", Order::Disable),
            "account-enabled" => (
                "account-enabled",
                Order::Nothing("only an operator restores an agent"),
            ),
            "account-purged" => ("account-purged", Order::Disable),
            "sessions-revoked" => ("sessions-revoked", Order::EndSessions),
            _ => return Ok(None),
        }
    } else if uri.strip_prefix(SSF) == Some("verification") {
        ("verification", Order::Nothing("the stream works"))
    } else {
        return Ok(None);
    };
    Ok(Some(Event {
        name,
        subject: payload.get("subject").and_then(Value::as_object).cloned(),
        order,
    }))
}
