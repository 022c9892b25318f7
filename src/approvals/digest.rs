//! The digest of a request: what an approval is bound to.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::Digest;
use crate::model::{GrantRequest, InputValue, Shared};

/// The SHA-256 of the request in the canonical form of RFC 8785. All names are sorted ASCII and all
/// numbers whole, where that form and serde_json's compact one are the same.
#[must_use]
pub fn digest(request: &GrantRequest) -> Digest {
    let input: BTreeMap<&str, Value> = request
        .input
        .iter()
        .map(|(name, value)| (name.as_ref(), input_value(value)))
        .collect();
    let approval = request.right.approval.as_ref().map(|rule| {
        BTreeMap::from([
            ("expires_seconds", json!(rule.expires.as_secs())),
            ("group", json!(rule.group.as_str())),
            ("mfa", json!(rule.mfa)),
            ("quorum", json!(rule.quorum)),
        ])
    });
    let operations: Vec<&str> = request
        .right
        .operations
        .iter()
        .map(|id| id.as_str())
        .collect();
    let canonical = BTreeMap::from([
        ("agent", json!(request.agent.as_str())),
        ("approval", json!(approval)),
        ("duration_seconds", json!(request.duration.as_secs())),
        ("entitlement", json!(request.right.entitlement.as_str())),
        ("id", json!(request.id.as_str())),
        ("input", json!(input)),
        ("max_bytes", json!(request.right.budget.bytes)),
        ("max_calls", json!(request.right.budget.calls)),
        ("operations", json!(operations)),
        ("proof", json!(request.right.proof.as_str())),
        ("reason", json!(request.reason)),
        ("task", json!(request.task.as_str())),
    ]);
    // Maps with text keys always serialise.
    Digest::of(&serde_json::to_vec(&canonical).unwrap_or_default())
}

/// The digest of what a request is defined by: as above, without the agent's own words and inputs. A record
/// of an agreement holds it instead of those.
#[must_use]
pub fn definition(request: &GrantRequest) -> Digest {
    digest(&GrantRequest {
        input: Shared::default(),
        reason: None,
        ..request.clone()
    })
}

fn input_value(value: &InputValue) -> Value {
    match value {
        InputValue::Bool(value) => json!(value),
        InputValue::Long(value) => json!(value),
        InputValue::String(value) => json!(value.as_ref()),
    }
}
