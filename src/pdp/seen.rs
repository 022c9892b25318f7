//! What rules were given to read for one question, as JSON.

use cedar_policy::{EvalResult, Request};
use serde_json::{Map, Value};

use super::reads::Reads;

/// The attributes of `context` that the rules which could apply read, with their values. It is made from
/// the very context that Cedar was given.
pub type Seen = Map<String, Value>;

pub(super) fn of(request: &Request, reads: &Reads) -> Seen {
    let Some(context) = request.context() else {
        return Seen::new();
    };
    let read = reads.iter().filter_map(|(fact, _)| {
        let value = context.get(fact.name())?;
        Some((fact.name().to_owned(), json(&value)))
    });
    read.collect()
}

fn json(value: &EvalResult) -> Value {
    match value {
        EvalResult::Bool(value) => Value::Bool(*value),
        EvalResult::EntityUid(uid) => Value::String(uid.to_string()),
        EvalResult::ExtensionValue(text) => Value::String(argument(text)),
        EvalResult::Long(value) => Value::from(*value),
        EvalResult::Record(record) => {
            let members = record.iter();
            Value::Object(
                members
                    .map(|(name, value)| (name.clone(), json(value)))
                    .collect(),
            )
        }
        EvalResult::Set(set) => Value::Array(set.iter().map(json).collect()),
        EvalResult::String(text) => Value::String(text.clone()),
    }
}

/// What stands between the quotes of `ip("10.0.0.1")`.
fn argument(call: &str) -> String {
    let inner = call
        .split_once('"')
        .and_then(|(_, rest)| rest.rsplit_once('"'));
    inner.map_or(call, |(inner, _)| inner).to_owned()
}
