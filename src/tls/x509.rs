//! The few fields of a certificate that we look at ourselves: names and validity.
//!
//! Signatures, chains and host names are verified by the TLS library; this reads what it does not
//! tell.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::der::{
    BOOLEAN, Der, GENERALIZED_TIME, IA5_STRING, OCTET_STRING, OID, PRINTABLE_STRING, SEQUENCE, SET,
    UTC_TIME, UTF8_STRING,
};

const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

/// The object identifier of the extension `subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// The short names of RFC 4514 §3.
const ATTRIBUTES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
];

/// What we read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The issuer's name in DER.
    pub(super) issuer: Vec<u8>,
    /// The subject's name in DER.
    pub(super) subject: Vec<u8>,
    /// The public key in DER, with its algorithm.
    pub(super) public_key: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) is_ca: bool,
    pub(super) dns_names: Vec<String>,
    pub(super) uris: Vec<String>,
}

impl Certificate {
    /// Reads a certificate in DER.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let mut outer = Der::new(der);
        let mut certificate = Der::new(outer.expect(SEQUENCE)?);
        outer.end()?;
        let mut fields = Der::new(certificate.expect(SEQUENCE)?);
        fields.optional(VERSION)?;
        // The serial number and the signature's algorithm.
        fields.element()?;
        fields.expect(SEQUENCE)?;
        let issuer = fields.expect_whole(SEQUENCE)?.to_vec();
        let mut validity = Der::new(fields.expect(SEQUENCE)?);
        let not_before = time(&mut validity)?;
        let not_after = time(&mut validity)?;
        let subject = fields.expect_whole(SEQUENCE)?.to_vec();
        let public_key = fields.expect_whole(SEQUENCE)?.to_vec();
        let mut read = Self {
            issuer,
            subject,
            public_key,
            not_before,
            not_after,
            is_ca: false,
            dns_names: Vec::new(),
            uris: Vec::new(),
        };
        while !fields.is_empty() {
            let element = fields.element()?;
            if element.tag == EXTENSIONS {
                read.extensions(element.content)?;
            }
        }
        Some(read)
    }

    fn extensions(&mut self, explicit: &[u8]) -> Option<()> {
        let mut explicit = Der::new(explicit);
        let mut extensions = Der::new(explicit.expect(SEQUENCE)?);
        explicit.end()?;
        let mut seen: Vec<&[u8]> = Vec::new();
        while !extensions.is_empty() {
            let mut extension = Der::new(extensions.expect(SEQUENCE)?);
            let id = extension.expect(OID)?;
            extension.optional(BOOLEAN)?;
            let value = extension.expect(OCTET_STRING)?;
            extension.end()?;
            // Twice the same extension could be read two ways (RFC 5280 §4.2).
            if seen.contains(&id) {
                return None;
            }
            seen.push(id);
            match id {
                SUBJECT_ALT_NAME => self.alternative_names(value)?,
                BASIC_CONSTRAINTS => self.is_ca = is_ca(value)?,
                _ => {}
            }
        }
        Some(())
    }

    fn alternative_names(&mut self, value: &[u8]) -> Option<()> {
        let mut value = Der::new(value);
        let mut names = Der::new(value.expect(SEQUENCE)?);
        value.end()?;
        while !names.is_empty() {
            let name = names.element()?;
            match name.tag {
                DNS_NAME => self.dns_names.push(ascii(name.content)?),
                URI => self.uris.push(ascii(name.content)?),
                _ => {}
            }
        }
        Some(())
    }
}

/// One attribute of a name.
pub(super) struct Attribute<'a> {
    pub(super) id: &'a [u8],
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

impl Attribute<'_> {
    /// Its text, where it is of a type that can be shown.
    pub(super) fn text(&self) -> Option<&str> {
        match self.tag {
            UTF8_STRING => std::str::from_utf8(self.content).ok(),
            PRINTABLE_STRING | IA5_STRING if self.content.is_ascii() => {
                std::str::from_utf8(self.content).ok()
            }
            _ => None,
        }
    }

    /// The short name of its type, if it has one.
    pub(super) fn short_name(&self) -> Option<&'static str> {
        let known = ATTRIBUTES.iter().find(|(id, _)| *id == self.id);
        known.map(|(_, name)| *name)
    }
}

/// The attributes of a name in DER, set by set.
pub(super) fn attributes(name: &[u8]) -> Option<Vec<Vec<Attribute<'_>>>> {
    let mut name = Der::new(name);
    let mut sets = Der::new(name.expect(SEQUENCE)?);
    name.end()?;
    let mut read = Vec::new();
    while !sets.is_empty() {
        let mut set = Der::new(sets.expect(SET)?);
        let mut together = Vec::new();
        while !set.is_empty() {
            let mut pair = Der::new(set.expect(SEQUENCE)?);
            let id = pair.expect(OID)?;
            let value = pair.element()?;
            pair.end()?;
            together.push(Attribute {
                id,
                tag: value.tag,
                content: value.content,
                whole: value.whole,
            });
        }
        read.push(together);
    }
    Some(read)
}

/// A name as RFC 4514 writes it, most specific part first.
pub(super) fn distinguished_name(name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    for set in attributes(name)?.iter().rev() {
        let together: Option<Vec<_>> = set.iter().map(show).collect();
        parts.push(together?.join("+"));
    }
    Some(parts.join(","))
}

fn show(attribute: &Attribute<'_>) -> Option<String> {
    let mut shown = match attribute.short_name() {
        Some(name) => name.to_owned(),
        None => dotted(attribute.id)?,
    };
    shown.push('=');
    match attribute.text() {
        Some(text) if attribute.short_name().is_some() => escape(text, &mut shown),
        _ => {
            shown.push('#');
            for byte in attribute.whole {
                let _ = write!(shown, "{byte:02x}");
            }
        }
    }
    Some(shown)
}

/// Escapes what RFC 4514 §2.4 wants escaped, and control characters, which have no place in a log.
fn escape(text: &str, shown: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (at, character) in text.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                shown.push('\\');
                shown.push(character);
            }
            ' ' if at == 0 || at == last => shown.push_str("\\ "),
            '#' if at == 0 => shown.push_str("\\#"),
            control if control.is_control() => {
                for byte in control.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(shown, "\\{byte:02x}");
                }
            }
            plain => shown.push(plain),
        }
    }
}

/// An object identifier as numbers with dots.
fn dotted(id: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut arc: u64 = 0;
    for byte in id {
        arc = arc.checked_mul(128)? + u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    if id.last()? & 0x80 != 0 {
        return None;
    }
    let (first, rest) = arcs.split_first()?;
    let root = (*first / 40).min(2);
    let mut shown = format!("{root}.{}", first - root * 40);
    for arc in rest {
        let _ = write!(shown, ".{arc}");
    }
    Some(shown)
}

fn is_ca(value: &[u8]) -> Option<bool> {
    let mut value = Der::new(value);
    let mut constraints = Der::new(value.expect(SEQUENCE)?);
    value.end()?;
    Some(constraints.optional(BOOLEAN)? == Some(&[0xff]))
}

/// `UTCTime` or `GeneralizedTime` in the one form that RFC 5280 §4.1.2.5 allows.
fn time(from: &mut Der<'_>) -> Option<Timestamp> {
    let element = from.element()?;
    let (year, rest) = match element.tag {
        UTC_TIME => {
            let (year, rest) = element.content.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = element.content.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let (fields, zone) = rest.split_at_checked(10)?;
    if zone != b"Z" {
        return None;
    }
    let mut numbers = [0_i8; 5];
    for (to, digits) in numbers.iter_mut().zip(fields.chunks(2)) {
        *to = i8::try_from(number(digits)?).ok()?;
    }
    let [month, day, hour, minute, second] = numbers;
    let civil = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    // The last days of the year 9999 stand for "no end" and lie beyond what a timestamp holds.
    Some(TimeZone::UTC.to_timestamp(civil).unwrap_or(Timestamp::MAX))
}

fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0_i16, |sum, digit| {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        Some(sum * 10 + i16::from(value))
    })
}

fn ascii(bytes: &[u8]) -> Option<String> {
    if bytes.is_ascii() {
        Some(String::from_utf8_lossy(bytes).into_owned())
    } else {
        None
    }
}
