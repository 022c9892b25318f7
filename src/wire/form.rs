//! Forms (`application/x-www-form-urlencoded`, WHATWG URL §5.1) with exactly one reading.
//!
//! Servers differ on which of two fields of one name counts, on whether `;` separates fields, and on
//! which names are one: a form in which that matters is refused and not repaired.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use smallvec::SmallVec;
use thiserror::Error;

use super::caseless::is_caseless_match;
use super::path::decoded;
use crate::base::{split, split_once};

/// Why a form, or one field of it, has no single reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormFault {
    /// The field is not there.
    #[error("it is not there")]
    Absent,
    /// A control character in a name: some servers cut the name there.
    #[error("a name has a control character")]
    Control,
    /// Not percent-encoded UTF-8.
    #[error("it is not percent-encoded UTF-8")]
    Encoding,
    /// A `;` that is not percent-encoded: to some servers it separates fields.
    #[error("a `;` in it is written `%3B`")]
    Semicolon,
    /// The field is there twice, or in a spelling that some servers take for the same.
    #[error("it is there twice, or in another spelling")]
    Twice,
}

/// The decoded name and value of a field.
pub type FormField<'t> = (Cow<'t, str>, Cow<'t, str>);

/// The decoded fields of a form or query, in order.
pub type FormFields<'t> = SmallVec<[FormField<'t>; 2]>;

/// The decoded fields of a form or query, in order.
///
/// # Errors
///
/// See [`FormFault`]: `Control`, `Encoding` and `Semicolon`.
pub fn form_fields(text: &str) -> Result<FormFields<'_>, FormFault> {
    if text.contains(';') {
        return Err(FormFault::Semicolon);
    }
    let mut fields = FormFields::new();
    for pair in split(text, b'&').filter(|pair| !pair.is_empty()) {
        let (name, value) = split_once(pair, b'=').unwrap_or((pair, ""));
        let name = decode(name)?;
        if name.chars().any(char::is_control) {
            return Err(FormFault::Control);
        }
        fields.push((name, decode(value)?));
    }
    Ok(fields)
}

fn decode(text: &str) -> Result<Cow<'_, str>, FormFault> {
    let plain = if text.contains('+') {
        decoded(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()))
    } else {
        decoded(text)
    };
    plain.ok_or(FormFault::Encoding)
}

/// The value of one field.
///
/// # Errors
///
/// `Absent`, or `Twice`: also where another name differs in case only, or is what PHP or Rails take for
/// the same (`amount[]`, ` amount`, `order.id` for `order_id`).
pub fn form_value<'f>(fields: &'f [FormField<'_>], name: &str) -> Result<&'f str, FormFault> {
    let base = base(name);
    let bracketed = base.len() < name.len();
    let mut found = None;
    for (key, value) in fields {
        let alike = if key == name {
            true
        } else if bracketed {
            is_alike(key, name) || is_alike(key, base)
        } else {
            is_alike(self::base(key), name)
        };
        if !alike {
            continue;
        }
        if key != name || found.is_some() {
            return Err(FormFault::Twice);
        }
        found = Some(&**value);
    }
    found.ok_or(FormFault::Absent)
}

/// The name before its first bracket.
fn base(name: &str) -> &str {
    split_once(name, b'[').map_or(name, |(base, _)| base)
}

/// Whether some server takes the two for one name.
fn is_alike(one: &str, other: &str) -> bool {
    if !one.is_ascii() || !other.is_ascii() {
        return is_caseless_match(&folded(one), &folded(other));
    }
    let (one, other) = (one.trim_start().as_bytes(), other.trim_start().as_bytes());
    let fold = |byte: &u8| match byte {
        b'.' | b' ' => b'_',
        byte => byte.to_ascii_lowercase(),
    };
    one.len() == other.len() && one.iter().map(fold).eq(other.iter().map(fold))
}

/// One spelling of all that some server takes for one name, but for their case.
fn folded(name: &str) -> String {
    name.trim_start().replace(['.', ' '], "_")
}
