//! JSON of tokens and keys: one object with exactly one reading.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::wire;

/// The deepest nesting of objects and arrays, the outermost object included.
const DEEPEST: usize = 8;

/// Why a text is not such JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JsonFault {
    /// It can be read in two ways, or in none.
    #[error(transparent)]
    Text(#[from] wire::JsonFault),
    /// An array, text, number or literal.
    #[error("not an object")]
    NotAnObject,
}

/// Reads one object from `bytes`.
pub(super) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    match wire::parse_json(bytes, DEEPEST)? {
        Value::Object(object) => Ok(object),
        _ => Err(JsonFault::NotAnObject),
    }
}
