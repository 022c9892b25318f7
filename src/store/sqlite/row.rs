//! Sealing and reading bodies.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::base::Digest;

/// Whose row a body is in. A body is sealed together with this and its key, so that it is worth nothing
/// in another row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Table {
    Clock,
    Document,
    Grant,
    GrantMark,
    Task,
    TaskMark,
}

impl Table {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Document => "document",
            Self::Grant => "grant",
            Self::GrantMark => "mark of the grant",
            Self::Task => "task",
            Self::TaskMark => "mark of the task",
        }
    }
}

/// The seal of a body. SQLite does not notice a bit that changed inside a value; this does.
pub(super) fn seal(table: Table, key: &str, body: &str) -> i64 {
    let parts = [table.as_str().as_bytes(), b"\n", key.as_bytes(), b"\n"];
    let [a, b, c, d] = parts;
    let digest = Digest::of_parts(&[a, b, c, d, body.as_bytes()]);
    let first = digest.as_bytes().first_chunk().copied();
    i64::from_be_bytes(first.unwrap_or_default())
}

/// The body of a row, as text.
pub(super) fn write(body: &impl Serialize) -> Result<String, Failure> {
    // Bodies have text as keys and no floating-point numbers, so they can always be written.
    serde_json::to_string(body).map_err(|error| Failure::Broken(error.to_string()))
}

/// Checks the seal.
pub(super) fn unseal(table: Table, key: &str, body: &str, sealed: i64) -> Result<(), Failure> {
    if seal(table, key, body) == sealed {
        return Ok(());
    }
    let table = table.as_str();
    Err(Failure::Broken(format!(
        "the {table} `{key}` is not as it was written"
    )))
}

/// Reads a body whose seal holds.
pub(super) fn read<T: DeserializeOwned>(
    table: Table,
    key: &str,
    body: &str,
    sealed: i64,
) -> Result<T, Failure> {
    unseal(table, key, body, sealed)?;
    serde_json::from_str(body).map_err(|error| {
        let table = table.as_str();
        Failure::Broken(format!("the {table} `{key}` can't be read: {error}"))
    })
}

/// Reads one word of a body.
pub(super) fn parse<T: FromStr<Err: Display>>(text: &str, what: &str) -> Result<T, Failure> {
    let parsed = text.parse();
    parsed.map_err(|error| Failure::Broken(format!("`{text}` is no {what}: {error}")))
}

/// Finds a code in its table.
pub(super) fn decode<T>(found: Option<T>, code: &str, what: &str) -> Result<T, Failure> {
    found.ok_or_else(|| Failure::Broken(format!("`{code}` is no {what} that this version knows")))
}
