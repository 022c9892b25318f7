//! A record as the JSON members of a line, and back.
//!
//! The writing is by hand: every request pays for it, and every byte outside printable ASCII must
//! leave as an escape, so that neither a forged line break nor a terminal sequence nor a character
//! that turns the direction of text reaches the eyes of a reader.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::Cell;
use std::io::Write;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::Deserialize;
use thiserror::Error;

use super::asked::{self, AskedLine};
use super::{Record, RecordKind, Verdict};
use crate::base::{is_plain, is_plain_byte};
use crate::model::{DenyReason, EndReason, Generation};

/// A member's name as it stands in a line, behind another member.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// A member's name as it stands in a line, where it is the first of its object.
macro_rules! first_key {
    ($name:literal) => {
        concat!("\"", $name, "\":")
    };
}

pub(super) use {first_key, key};

/// Fixed, so that lines sort and align as text.
static TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// A line that is not a record of this version.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Not the JSON that records have.
    #[error("the line is not a record")]
    Json(#[source] serde_json::Error),
    /// A member whose value no record of this version has.
    #[error("`{value}` can't be the `{member}` of a record")]
    Member {
        /// Its name.
        member: &'static str,
        /// What it says.
        value: String,
    },
}

/// Appends the members of `record`, each with a comma before it.
pub(super) fn write(out: &mut Vec<u8>, record: &Record) {
    // Without `..`, so that a new field can't be forgotten here.
    let Record {
        kind,
        at,
        request_id,
        agent,
        person,
        task,
        grant,
        request,
        operation,
        entitlement,
        service,
        verdict,
        rules,
        generation,
        source,
        method,
        host,
        path,
        status,
        bytes_in,
        bytes_out,
        duration,
        trace_id,
        end,
        detail,
        asked,
        written,
    } = record;
    moment(out, key!("time"), *at);
    code(out, key!("kind"), Some(kind.as_str()));
    text(out, key!("request_id"), request_id.as_deref());
    plain(out, key!("agent"), agent.as_ref().map(|id| id.as_bytes()));
    plain(out, key!("person"), person.as_ref().map(|id| id.as_bytes()));
    plain(out, key!("task"), task.as_ref().map(|id| id.as_bytes()));
    plain(out, key!("grant"), grant.as_ref().map(|id| id.as_bytes()));
    plain(
        out,
        key!("request"),
        request.as_ref().map(|id| id.as_bytes()),
    );
    let operation = operation.as_ref().map(|id| id.as_bytes());
    plain(out, key!("operation"), operation);
    let entitlement = entitlement.as_ref().map(|id| id.as_bytes());
    plain(out, key!("entitlement"), entitlement);
    let service = service.as_ref().map(|id| id.as_bytes());
    plain(out, key!("service"), service);
    match verdict {
        Verdict::Allow => code(out, key!("verdict"), Some("allow")),
        Verdict::Deny(reason) => {
            code(out, key!("verdict"), Some("deny"));
            code(out, key!("code"), Some(reason.as_str()));
        }
        Verdict::Neither => {}
    }
    list(out, key!("rules"), rules.iter().map(AsRef::as_ref));
    let generation = generation.as_ref().map(|one| one.as_str().as_bytes());
    plain(out, key!("generation"), generation);
    address(out, key!("source"), *source);
    text(out, key!("method"), method.as_deref());
    text(out, key!("host"), host.as_deref());
    text(out, key!("path"), path.as_deref());
    number(out, key!("status"), status.map(u64::from));
    number(out, key!("bytes_in"), Some(*bytes_in).filter(|n| *n > 0));
    number(out, key!("bytes_out"), Some(*bytes_out).filter(|n| *n > 0));
    number(out, key!("duration_micros"), duration.map(micros));
    text(out, key!("trace_id"), trace_id.as_deref());
    code(out, key!("end"), end.map(EndReason::as_str));
    text(out, key!("detail"), detail.as_deref());
    match (asked, written) {
        (Some(asked), _) => object(out, key!("asked"), |out| asked::write(out, asked)),
        (None, Some(written)) => object(out, key!("asked"), |out| {
            out.extend_from_slice(written.as_bytes());
        }),
        (None, None) => {}
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What never needs an escape, such as a name, where there is one.
pub(super) fn plain(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    if let Some(value) = value {
        debug_assert!(is_plain(value), "{value:?} is not plain");
        out.extend_from_slice(key.as_bytes());
        out.push(b'"');
        out.extend_from_slice(value);
        out.push(b'"');
    }
}

/// A word of our own, where there is one.
pub(super) fn code(out: &mut Vec<u8>, key: &str, value: Option<&'static str>) {
    plain(out, key, value.map(str::as_bytes));
}

/// A text, where there is one.
pub(super) fn text(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(key.as_bytes());
        quoted(out, value);
    }
}

fn number(out: &mut Vec<u8>, key: &str, value: Option<u64>) {
    if let Some(value) = value {
        out.extend_from_slice(key.as_bytes());
        digits(out, value);
    }
}

/// A list of texts; nothing where it is empty.
pub(super) fn list<'a>(out: &mut Vec<u8>, key: &str, values: impl IntoIterator<Item = &'a str>) {
    let mut values = values.into_iter();
    let Some(first) = values.next() else {
        return;
    };
    out.extend_from_slice(key.as_bytes());
    out.push(b'[');
    quoted(out, first);
    for value in values {
        out.push(b',');
        quoted(out, value);
    }
    out.push(b']');
}

/// An object whose first member has no comma before it.
pub(super) fn object(out: &mut Vec<u8>, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'{');
    write(out);
    out.push(b'}');
}

/// The members of an object under names that are data.
pub(super) fn members<K: AsRef<str>, V>(
    out: &mut Vec<u8>,
    pairs: impl IntoIterator<Item = (K, V)>,
    mut value: impl FnMut(&mut Vec<u8>, V),
) {
    for (number, (name, one)) in pairs.into_iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        quoted(out, name.as_ref());
        out.push(b':');
        value(out, one);
    }
}

/// A number that may be below zero, where there is one.
pub(super) fn signed(out: &mut Vec<u8>, key: &str, value: Option<i64>) {
    if let Some(value) = value {
        out.extend_from_slice(key.as_bytes());
        integer(out, value);
    }
}

/// Appends `value` in decimal.
pub(super) fn integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A truth value.
pub(super) fn truth(out: &mut Vec<u8>, key: &str, value: bool) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// A moment. Most are in the same second as the one before: that is not formatted anew.
pub(super) fn moment(out: &mut Vec<u8>, key: &str, at: Timestamp) {
    thread_local! {
        static LAST: Cell<(i64, [u8; 19])> = const { Cell::new((i64::MIN, [0; 19])) };
    }
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    let second = at.as_second();
    let (last, text) = LAST.get();
    if second == last {
        out.extend_from_slice(&text);
        let micros = u32::try_from(at.subsec_microsecond()).unwrap_or_default();
        // With a one before it, so that it has all its zeros.
        let micros = micros + 1_000_000;
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(micros).as_bytes();
        out.push(b'.');
        out.extend_from_slice(digits.get(1..).unwrap_or_default());
        out.push(b'Z');
    } else {
        let start = out.len();
        // Writing into memory can't fail.
        let _ = TIME.print_timestamp(&at, &mut *out);
        let text = out.get(start..).and_then(|text| text.first_chunk());
        if let Some(text) = text.filter(|_| second >= 0) {
            LAST.set((second, *text));
        }
    }
    out.push(b'"');
}

/// An address, where there is one.
pub(super) fn address(out: &mut Vec<u8>, key: &str, source: Option<IpAddr>) {
    let Some(source) = source else {
        return;
    };
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    match source {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                digits(out, u64::from(octet));
            }
        }
        IpAddr::V6(address) => {
            // Writing into memory can't fail.
            let _ = write!(out, "{address}");
        }
    }
    out.push(b'"');
}

/// Appends `value` in decimal.
pub(super) fn digits(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A text with everything escaped that a reader could stumble over.
pub(super) fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.chars().for_each(|character| escaped(out, character));
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, character: char) {
    match u8::try_from(character) {
        Ok(byte) if is_plain_byte(byte) => out.push(byte),
        Ok(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', byte]),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing into memory can't fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

/// What a line looks like to serde. Unknown members are passed over: a later version may have more.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    request_id: Option<String>,
    agent: Option<String>,
    person: Option<String>,
    task: Option<String>,
    grant: Option<String>,
    request: Option<String>,
    operation: Option<String>,
    entitlement: Option<String>,
    service: Option<String>,
    verdict: Option<String>,
    code: Option<String>,
    #[serde(default)]
    rules: Vec<String>,
    generation: Option<String>,
    source: Option<String>,
    method: Option<String>,
    host: Option<String>,
    path: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    bytes_in: u64,
    #[serde(default)]
    bytes_out: u64,
    duration_micros: Option<u64>,
    trace_id: Option<String>,
    end: Option<String>,
    detail: Option<String>,
    asked: Option<AskedLine>,
}

/// Reads a line back.
pub(super) fn read(line: &[u8]) -> Result<Record, RecordError> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(RecordError::Json)?;
    let kind = RecordKind::from_code(&line.kind).ok_or_else(|| odd("kind", &line.kind))?;
    Ok(Record {
        kind,
        at: line.time.parse().map_err(|_| odd("time", &line.time))?,
        verdict: verdict(line.verdict.as_deref(), line.code.as_deref())?,
        request_id: line.request_id,
        agent: parsed("agent", line.agent)?,
        person: parsed("person", line.person)?,
        task: parsed("task", line.task)?,
        grant: parsed("grant", line.grant)?,
        request: parsed("request", line.request)?,
        operation: parsed("operation", line.operation)?,
        entitlement: parsed("entitlement", line.entitlement)?,
        service: parsed("service", line.service)?,
        rules: line.rules.into_iter().map(Arc::from).collect(),
        generation: coded("generation", line.generation, Generation::from_hex)?,
        source: parsed("source", line.source)?,
        method: line.method,
        host: line.host,
        path: line.path,
        status: line.status,
        bytes_in: line.bytes_in,
        bytes_out: line.bytes_out,
        duration: line.duration_micros.map(Duration::from_micros),
        trace_id: line.trace_id,
        end: coded("end", line.end, EndReason::from_code)?,
        detail: line.detail,
        asked: line.asked.map(asked::read).transpose()?.map(Box::new),
        written: None,
    })
}

fn verdict(verdict: Option<&str>, code: Option<&str>) -> Result<Verdict, RecordError> {
    match (verdict, code) {
        (None, None) => Ok(Verdict::Neither),
        (Some("allow"), None) => Ok(Verdict::Allow),
        (Some("deny"), Some(code)) => DenyReason::from_code(code)
            .map(Verdict::Deny)
            .ok_or_else(|| odd("code", code)),
        (verdict, code) => Err(match code {
            Some(code) => odd("code", code),
            None => odd("verdict", verdict.unwrap_or_default()),
        }),
    }
}

fn parsed<T: FromStr>(
    member: &'static str,
    text: Option<String>,
) -> Result<Option<T>, RecordError> {
    coded(member, text, |text| text.parse().ok())
}

fn coded<T>(
    member: &'static str,
    text: Option<String>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, RecordError> {
    text.map(|text| read(&text).ok_or_else(|| odd(member, &text)))
        .transpose()
}

pub(super) fn odd(member: &'static str, value: &str) -> RecordError {
    RecordError::Member {
        member,
        value: value.to_owned(),
    }
}
