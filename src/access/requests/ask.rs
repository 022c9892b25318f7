//! What an agent asks for, read as far as the entitlement alone tells.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::Snapshot;
use crate::model::{Entitlement, InputKind, InputValue, Inputs};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;

/// What is asked for, not yet compared with anything.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The entitlement's id.
    pub entitlement: String,
    /// Why, in the agent's words.
    pub reason: Option<String>,
    /// For how long.
    pub duration_seconds: Option<i64>,
    /// What calls will have to agree with.
    pub input: Option<Map<String, Value>>,
}

/// Why, for how long, and with which inputs.
pub(super) type WellFormed = (Option<String>, Option<Duration>, Inputs);

/// Reads what was asked for of `entitlement`; what is wrong with it otherwise.
pub(super) fn well_formed(
    snapshot: &Snapshot,
    entitlement: &Entitlement,
    ask: Ask,
) -> Result<WellFormed, String> {
    let reason = ask.reason.filter(|reason| !reason.trim().is_empty());
    if entitlement.reason_required && reason.is_none() {
        let id = &entitlement.id;
        return Err(format!(
            "`{id}` is granted only with a `reason`: say what for"
        ));
    }
    if reason
        .as_ref()
        .is_some_and(|reason| reason.chars().count() > LONGEST_REASON)
    {
        return Err(format!(
            "a `reason` has at most {LONGEST_REASON} characters"
        ));
    }
    let duration = match ask.duration_seconds {
        None => None,
        Some(seconds @ 1..) => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(_) => return Err("`duration_seconds` is a positive whole number".to_owned()),
    };
    let input = inputs(snapshot, entitlement, ask.input.unwrap_or_default())?;
    Ok((reason, duration, input))
}

/// The inputs that a request fixes: each has to be one that an operation of the entitlement declares,
/// with its type.
fn inputs(
    snapshot: &Snapshot,
    entitlement: &Entitlement,
    given: Map<String, Value>,
) -> Result<Inputs, String> {
    let mut inputs = Inputs::new();
    for (name, value) in given {
        let declared = entitlement.operations.iter().find_map(|operation| {
            let endpoint = snapshot.operation(operation.as_str())?;
            endpoint.operation.inputs.get_key_value(name.as_str())
        });
        let Some((name, input)) = declared else {
            return Err(format!(
                "no operation of `{}` has an input `{name}`",
                entitlement.id
            ));
        };
        let value = match (input.kind, &value) {
            (InputKind::Bool, Value::Bool(value)) => Some(InputValue::Bool(*value)),
            (InputKind::Long, Value::Number(number)) => number.as_i64().map(InputValue::Long),
            (InputKind::String, Value::String(text)) => {
                Some(InputValue::String(text.as_str().into()))
            }
            (InputKind::Bool | InputKind::Long | InputKind::String, _) => None,
        };
        let kind = input.kind.as_str();
        let value = value.ok_or_else(|| format!("the input `{name}` is a {kind}"))?;
        inputs.insert(Arc::clone(name), value);
    }
    Ok(inputs)
}
