//! Agents and how they prove who they are.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::names::{Names, name, names};
use super::people::People;
use crate::base::ErrorChain;
use crate::config::diagnostics::Diagnostics;
use crate::config::raw::RawAgent;
use crate::config::snapshot::EnrolledAgent;
use crate::config::text::{At, Place};
use crate::model::Agent;
use crate::pdp::Kept;
use crate::signals::CallCounts;
use crate::tokens::VerifyingKey;

/// The members of a JWK that only its owner may have (RFC 7518 §6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// The members of a JWK that make the key what it is.
const PUBLIC: [&str; 6] = ["kty", "crv", "x", "y", "n", "e"];

/// Compiles the `[[agent]]` entries.
pub(super) fn compile(
    raw: &[RawAgent],
    people: &People,
    problems: &mut Diagnostics,
) -> Vec<EnrolledAgent> {
    let all = Names::of("agent", raw.iter().map(|agent| &agent.id));
    let mut known = Names::new("agent");
    let mut proofs = Proofs::default();
    let mut agents = Vec::with_capacity(raw.len());
    for agent in raw {
        let claimed = known.claim(&agent.id, problems);
        let id = name(&agent.id, problems);
        // Who has opened a task is a name alone, to rules and to whoever asks for the task.
        if people.has(&agent.id.value) {
            let message = format!("`{}` is both an agent and a person", agent.id.value);
            problems
                .error(&agent.id.place, message)
                .hint("give one of the two another name");
        }
        let groups = names(&agent.groups, problems);
        let owner = agent
            .owner
            .as_ref()
            .and_then(|owner| people.owner(owner, problems));
        for other in &agent.may_open_for {
            all.resolve(other, problems);
        }
        let may_open_for = names(&agent.may_open_for, problems);
        let keys = proofs.keys(agent, problems);
        let spiffe_id = proofs.spiffe_id(agent, problems);
        proofs.subject(agent, problems);
        if agent.keys.is_empty() && agent.spiffe_id.is_none() && agent.subject.is_none() {
            let message = format!(
                "the agent `{}` has no way to prove who it is",
                agent.id.value
            );
            problems
                .warning(&agent.id.place, message)
                .hint("give it keys, a spiffe_id or the subject that a trusted issuer knows it by");
        }
        if let (Some(id), true) = (id, claimed) {
            agents.push(EnrolledAgent {
                agent: Agent {
                    id,
                    groups,
                    owner,
                    may_open_for,
                    subject: agent.subject.as_ref().map(|subject| subject.value.clone()),
                },
                keys,
                spiffe_id,
                rules: Kept::default(),
                calls: CallCounts::default(),
            });
        }
    }
    agents
}

/// What agents prove themselves with, each with the first place that names it: two agents with one
/// proof could not be told apart.
#[derive(Default)]
struct Proofs<'r> {
    keys: HashMap<String, &'r Place>,
    spiffe_ids: HashMap<&'r str, &'r Place>,
    /// With whether the name is a `subject`, not an id.
    subjects: HashMap<&'r str, (&'r Place, bool)>,
}

impl<'r> Proofs<'r> {
    fn keys(&mut self, agent: &'r RawAgent, problems: &mut Diagnostics) -> Vec<VerifyingKey> {
        let mut keys = Vec::with_capacity(agent.keys.len());
        for key in &agent.keys {
            if PRIVATE.iter().any(|member| key.value.get(member).is_some()) {
                problems
                    .error(
                        &key.place,
                        "this is a private key: it belongs to the agent alone",
                    )
                    .withhold()
                    .hint("keep the public members only, and make the agent a new key");
                continue;
            }
            if let Some(first) = self.keys.insert(identity(key), &key.place) {
                let message = "this key stands here twice, so that agents can't be told apart";
                problems
                    .error(&key.place, message)
                    .hint(format!("the first is at {first}"));
            }
            match VerifyingKey::from_jwk(&key.value) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    problems.error(&key.place, ErrorChain(&error).to_string());
                }
            }
        }
        keys
    }

    fn spiffe_id(&mut self, agent: &'r RawAgent, problems: &mut Diagnostics) -> Option<Arc<str>> {
        let id = agent.spiffe_id.as_ref()?;
        if !is_spiffe_id(&id.value) {
            let message = format!("`{}` is not a SPIFFE id", id.value);
            problems
                .error(&id.place, message)
                .hint("write it like spiffe://example.org/billing-bot");
        } else if let Some(first) = self.spiffe_ids.insert(&id.value, &id.place) {
            let message = format!("two agents have the SPIFFE id `{}`", id.value);
            problems
                .error(&id.place, message)
                .hint(format!("the first is at {first}"));
        }
        Some(id.value.as_str().into())
    }

    /// An agent without a `subject` goes by its id, so that the two share one set of names.
    fn subject(&mut self, agent: &'r RawAgent, problems: &mut Diagnostics) {
        let subject = agent.subject.as_ref().unwrap_or(&agent.id);
        let named = agent.subject.is_some();
        if named && subject.value.is_empty() {
            problems.error(&subject.place, "a subject can't be empty");
        } else if let Some((first, first_named)) = self
            .subjects
            .insert(&subject.value, (&subject.place, named))
            && (named || first_named)
        {
            let message = format!("two agents go by `{}` in outside tokens", subject.value);
            problems
                .error(&subject.place, message)
                .hint(format!("the first is at {first}"));
        }
    }
}

fn identity(key: &At<Json>) -> String {
    let member = |name: &&str| format!("{}\n", key.value.get(*name).unwrap_or(&Json::Null));
    PUBLIC.iter().map(member).collect()
}

/// The SPIFFE ID standard, §2: a lower-case trust domain and a path of plain segments.
fn is_spiffe_id(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("spiffe://")
        .filter(|_| text.len() <= 2048)
    else {
        return false;
    };
    let (domain, path) = match rest.split_once('/') {
        Some((domain, path)) => (domain, Some(path)),
        None => (rest, None),
    };
    let in_domain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let in_path = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.chars().all(in_path);
    !domain.is_empty()
        && domain.chars().all(in_domain)
        && path.is_none_or(|path| path.split('/').all(segment))
}
