//! JSON with exactly one reading: no name twice in an object, bounded depth.
//!
//! Two parsers that disagree about a doubled name see two different texts, so such a text is refused and
//! not repaired.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Why a text is not such JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JsonFault {
    /// Nested deeper than is read.
    #[error("nested too deeply")]
    Depth,
    /// A name stands twice in one object.
    #[error("JSON in which a name stands twice in one object")]
    Duplicate,
    /// Not JSON, or not UTF-8.
    #[error("not JSON")]
    Syntax,
}

/// Reads one value of at most `deepest` nested objects and arrays.
///
/// # Errors
///
/// See [`JsonFault`].
pub fn parse_json(bytes: &[u8], deepest: usize) -> Result<Value, JsonFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonFault::Syntax)?;
    let fault = Cell::new(JsonFault::Syntax);
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Strict {
        left: deepest,
        fault: &fault,
    };
    let value = seed.deserialize(&mut reader).map_err(|_| fault.get())?;
    reader.end().map_err(|_| JsonFault::Syntax)?;
    Ok(value)
}

/// Reads a value with `left` levels to go. What it refuses is told in `fault`, because serde carries
/// only texts.
#[derive(Clone, Copy)]
struct Strict<'a> {
    left: usize,
    fault: &'a Cell<JsonFault>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(self.refuse(JsonFault::Depth)),
        }
    }

    fn refuse<E: serde::de::Error>(self, fault: JsonFault) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(
                    self.refuse::<A::Error>(JsonFault::Duplicate),
                ));
            }
        }
        Ok(Value::Object(object))
    }
}
