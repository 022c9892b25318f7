//! One spelling for every path segment, so that what is judged is what an upstream reads.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use thiserror::Error;

/// A path segment that can be read in two ways, or in none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// A character that has no place in a path as it stands.
    #[error("`{}` can't stand in a path", .0.escape_debug())]
    Character(char),
    /// `.` and `..` mean another path to whoever resolves them.
    #[error("a path has no `.` or `..` segments")]
    Dots,
    /// A separator, NUL, percent sign or control character in disguise: some servers decode once
    /// more than others.
    #[error("`{0}` can't stand in a path")]
    Encoded(String),
    /// Windows servers drop a dot or a blank at the end of a name.
    #[error("a path segment can't end in a dot or a blank")]
    Ending,
    /// `%` without two hexadecimal digits.
    #[error("a percent sign in a path is followed by two hexadecimal digits")]
    Escape,
    /// Bytes that are not UTF-8, overlong forms included.
    #[error("a path is UTF-8")]
    Utf8,
}

/// The canonical spelling of one segment: what may stand as itself does (RFC 3986 `pchar` without
/// `;`), the rest is percent-encoded in capitals. It is refused, not repaired, where servers differ
/// on what it means.
///
/// # Errors
///
/// See [`SegmentError`].
pub fn canonical_segment(segment: &str) -> Result<Cow<'_, str>, SegmentError> {
    if let Some(odd) = segment.chars().find(|c| !is_plain(*c) && *c != '%') {
        return Err(SegmentError::Character(odd));
    }
    let spelt = if segment.contains('%') {
        Cow::Owned(respell(&decode(segment)?)?)
    } else {
        Cow::Borrowed(segment)
    };
    match spelt.as_ref() {
        "." | ".." => Err(SegmentError::Dots),
        text if text.ends_with('.') || text.ends_with("%20") => Err(SegmentError::Ending),
        _ => Ok(spelt),
    }
}

/// Whether a path is canonical at a glance: every segment then is what [`canonical_segment`] makes of it, and
/// none is empty but the last. One that is not may be canonical yet.
#[must_use]
pub fn is_plain_path(path: &str) -> bool {
    // What a dot or a slash stands before: the end of a segment.
    let mut ending = true;
    for byte in path.bytes().rev() {
        match byte {
            b'/' => ending = true,
            b'.' if ending => return false,
            byte if PLAIN.get(usize::from(byte)) == Some(&true) => ending = false,
            _ => return false,
        }
    }
    path.starts_with('/') && memchr::memmem::find(path.as_bytes(), b"//").is_none()
}

/// Which bytes stand for themselves in a canonical path segment.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "a byte is less than 256")]
        {
            plain[byte as usize] = is_plain(byte as char);
        }
        byte += 1;
    }
    plain
};

/// What a segment, or several with their slashes, stands for; nothing where that is not text.
#[must_use]
pub fn decoded(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    String::from_utf8(decode(path).ok()?).ok().map(Cow::Owned)
}

/// Whether a character stands for itself in a canonical path segment.
const fn is_plain(character: char) -> bool {
    matches!(character,
        'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '.' | '_' | '~'
        | '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | '=' | ':' | '@')
}

fn decode(text: &str) -> Result<Vec<u8>, SegmentError> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
            return Err(SegmentError::Escape);
        };
        decoded.push(u8::try_from(high * 16 + low).map_err(|_| SegmentError::Escape)?);
    }
    Ok(decoded)
}

fn respell(bytes: &[u8]) -> Result<String, SegmentError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SegmentError::Utf8)?;
    let mut spelt = String::with_capacity(bytes.len());
    for character in text.chars() {
        if is_plain(character) {
            spelt.push(character);
            continue;
        }
        let mut utf8 = [0; 4];
        for byte in character.encode_utf8(&mut utf8).bytes() {
            spelt.push_str(&format!("%{byte:02X}"));
        }
        if character.is_control() || matches!(character, '/' | '\\' | '%' | ';') {
            let start = spelt.rfind('%').unwrap_or(0);
            return Err(SegmentError::Encoded(spelt.split_off(start)));
        }
    }
    Ok(spelt)
}
