//! JSON bodies.

use bytes::Bytes;
use serde_json::Value;

use super::unreadable;
use crate::pep::refusal::Refusal;
use crate::wire::{is_caseless_match, parse_json};

/// The deepest JSON that is read.
pub(super) const DEEPEST: usize = 32;

pub(super) fn read(bytes: &Bytes) -> Result<Value, Refusal> {
    parse_json(bytes, DEEPEST).map_err(|fault| unreadable(format!("the body is {fault}")))
}

/// The value at a JSON pointer (RFC 6901).
pub(super) fn value<'b>(body: Option<&'b Value>, pointer: &str) -> Result<&'b Value, String> {
    let body = body.ok_or("there is no JSON body")?;
    refuse_other_spellings(body, pointer)?;
    let value = body.pointer(pointer);
    value.ok_or_else(|| "it is not in the body".to_owned())
}

/// Some servers match names whatever their case, so that `Amount` beside `amount` is a second reading
/// (GHSA-4gph-2hhr-5mwg).
fn refuse_other_spellings(body: &Value, pointer: &str) -> Result<(), String> {
    let mut place = body;
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        if let Value::Object(members) = place {
            let alike = |key: &&String| **key != name && is_caseless_match(key, &name);
            if let Some(other) = members.keys().find(alike) {
                return Err(format!("the body has `{other}` too"));
            }
        }
        let next = match place {
            Value::Object(members) => members.get(&name),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|n| items.get(n)),
            _ => None,
        };
        let Some(next) = next else {
            return Ok(());
        };
        place = next;
    }
    Ok(())
}
