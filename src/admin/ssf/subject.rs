//! Which agent a subject identifier (RFC 9493) means: the one that a trusted issuer's tokens would call so.

use serde_json::{Map, Value};

use crate::config::Snapshot;
use crate::model::AgentId;

/// What of a complex subject (OpenID Shared Signals Framework 1.0 §3.2) can name an agent.
const MEMBERS: [&str; 2] = ["user", "application"];

/// The most names of one subject that are looked at.
const MOST_ALIASES: usize = 16;

/// The agent that a subject means, if it is one. `issuer` sends it.
pub(super) fn agent(
    subject: &Map<String, Value>,
    issuer: &str,
    snapshot: &Snapshot,
) -> Option<AgentId> {
    let text = |name: &str| subject.get(name).and_then(Value::as_str);
    match text("format") {
        Some("complex") => complex(subject, issuer, snapshot),
        // Before 1.0 a complex subject did not say that it is one.
        None if MEMBERS.iter().any(|name| subject.contains_key(*name)) => {
            complex(subject, issuer, snapshot)
        }
        Some("aliases") => {
            let names = subject.get("identifiers")?.as_array()?.iter();
            let names = names.take(MOST_ALIASES).filter_map(Value::as_object);
            // An alias of an alias is none (RFC 9493 §3.2.8).
            let mut names = names.filter(|one| one.get("format").is_some_and(|f| f != "aliases"));
            names.find_map(|one| simple(one, issuer, snapshot))
        }
        Some(_) => simple(subject, issuer, snapshot),
        None => None,
    }
}

/// Every member that names an agent has to name the same.
fn complex(subject: &Map<String, Value>, issuer: &str, snapshot: &Snapshot) -> Option<AgentId> {
    let members = MEMBERS
        .iter()
        .filter_map(|name| subject.get(*name)?.as_object());
    let mut agents = members.map(|one| simple(one, issuer, snapshot));
    let first = agents.next()??;
    agents
        .all(|other| other.is_none_or(|other| other == first))
        .then_some(first)
}

fn simple(subject: &Map<String, Value>, issuer: &str, snapshot: &Snapshot) -> Option<AgentId> {
    let text = |name: &str| subject.get(name).and_then(Value::as_str);
    let name = match text("format")? {
        "account" => {
            let uri = text("uri")?;
            let account = uri.strip_prefix("acct:").unwrap_or(uri);
            return named(snapshot, uri).or_else(|| named(snapshot, account));
        }
        "did" | "uri" => text("url").or_else(|| text("uri"))?,
        "email" => text("email")?,
        // A name means something with the issuer that gave it alone.
        "iss_sub" if text("iss")? == issuer => text("sub")?,
        "opaque" => text("id")?,
        _ => return None,
    };
    named(snapshot, name)
}

fn named(snapshot: &Snapshot, name: &str) -> Option<AgentId> {
    let agent = snapshot.agent_by_subject(name)?;
    Some(agent.agent.id.clone())
}
