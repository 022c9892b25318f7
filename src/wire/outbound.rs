//! A request for a service, as it is about to be written.

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use thiserror::Error;

use crate::base::is_plain;

/// A request for a service.
#[derive(Debug)]
pub struct Outbound<B> {
    /// The method.
    pub method: Method,
    /// It goes out as it stands.
    pub target: PathAndQuery,
    /// The header fields.
    pub fields: Fields,
    /// The content.
    pub body: B,
}

impl<B> Outbound<B> {
    /// The same request with another content.
    pub fn map<C>(self, content: impl FnOnce(B) -> C) -> Outbound<C> {
        let Self {
            method,
            target,
            fields,
            body,
        } = self;
        Outbound {
            method,
            target,
            fields,
            body: content(body),
        }
    }
}

/// Its URI's host is the `Host` where it says none.
impl<B> From<Request<B>> for Outbound<B> {
    fn from(request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let mut fields: Fields = parts.headers.iter().collect();
        let uri = parts.uri.into_parts();
        if let Some(host) = uri.authority
            && !fields.contains(&HOST)
        {
            fields.write(&HOST, host.as_str().as_bytes(), false);
        }
        let root = || PathAndQuery::from_static("/");
        Self {
            method: parts.method,
            target: uri.path_and_query.unwrap_or_else(root),
            fields,
            body,
        }
    }
}

/// Header fields in the order in which they are said, as the lines that HTTP/1.1 writes (RFC 9112 §5): what is written once
/// needs no table to find names in, and no memory for each value.
#[derive(Clone, Default)]
pub struct Fields {
    /// One line behind the other, each with its CR LF.
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// Where a field lies in the text.
#[derive(Clone, Copy)]
struct Line {
    start: usize,
    /// Where its name ends.
    name: usize,
    /// Where its value ends.
    end: usize,
    /// Whether no table of a connection may keep the value (RFC 7541 §7.1.3).
    sensitive: bool,
}

/// One field of several. Its value may be a secret, so it is not to be shown.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "values may be secrets")]
pub struct Field<'a> {
    /// Its name, in lower case.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Both, as HTTP/1.1 writes them.
    pub line: &'a [u8],
}

/// A value has a byte that no field's value can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a header field's value has a character that can't stand there")]
pub struct Unspeakable;

/// What stands between a name and its value, and behind that.
const COLON: &[u8] = b": ";
const END: &[u8] = b"\r\n";

impl Fields {
    /// No fields yet, and room for so many, with so many bytes of text in all.
    #[must_use]
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            lines: Vec::with_capacity(count),
        }
    }

    /// Says one more. INVARIANT: where only one may be said of that name, none was.
    pub fn push(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.write(name, value.as_bytes(), value.is_sensitive());
    }

    /// Says one more, whose value is no header's yet.
    ///
    /// # Errors
    ///
    /// Where the value can't be one (RFC 9110 §5.5); nothing is said then.
    pub fn say(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Unspeakable> {
        if !(is_plain(value) || is_field_value(value)) {
            return Err(Unspeakable);
        }
        self.write(name, value, false);
        Ok(())
    }

    fn write(&mut self, name: &HeaderName, value: &[u8], sensitive: bool) {
        let name = name.as_str().as_bytes();
        let text = &mut self.text;
        let start = text.len();
        text.reserve(name.len() + COLON.len() + value.len() + END.len());
        text.extend_from_slice(name);
        text.extend_from_slice(COLON);
        text.extend_from_slice(value);
        let end = text.len();
        text.extend_from_slice(END);
        self.lines.push(Line {
            start,
            name: start + name.len(),
            end,
            sensitive,
        });
    }

    /// Says it in the place of all that were said of that name.
    pub fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.remove(name);
        self.push(name, value);
    }

    /// Takes back all that was said of a name.
    pub fn remove(&mut self, name: &HeaderName) {
        let Self { text, lines } = self;
        let name = name.as_str().as_bytes();
        lines.retain(|line| text.get(line.start..line.name) != Some(name));
    }

    /// Whether a name was said.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get_all(name).next().is_some()
    }

    /// All that was said of a name.
    pub fn get_all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_str().as_bytes();
        let named = self.iter().filter(move |field| field.name == name);
        named.map(|field| field.value)
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| self.field(line))
    }

    fn field(&self, line: &Line) -> Field<'_> {
        let text = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        Field {
            name: text(line.start, line.name),
            value: text(line.name + COLON.len(), line.end),
            line: text(line.start, line.end + END.len()),
        }
    }

    /// As a table, for a head that is not written here.
    ///
    /// # Errors
    ///
    /// None: what was said is fields.
    pub fn into_headers(self) -> Result<HeaderMap, http::Error> {
        let mut headers = HeaderMap::with_capacity(self.lines.len());
        let text = Bytes::from(self.text);
        for line in self.lines {
            let name = text.get(line.start..line.name).unwrap_or_default();
            let value = line.name + COLON.len()..line.end;
            let mut value = HeaderValue::from_maybe_shared(text.slice(value))?;
            value.set_sensitive(line.sensitive);
            headers.append(HeaderName::from_bytes(name)?, value);
        }
        Ok(headers)
    }
}

/// Whether a field's value may be this (RFC 9110 §5.5, obsolete text included).
fn is_field_value(value: &[u8]) -> bool {
    // Without a way out in between, so that many bytes are looked at at once.
    let odd = |byte: u8| ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f);
    !value.iter().fold(false, |found, byte| found | odd(*byte))
}

impl<'a> FromIterator<(&'a HeaderName, &'a HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>>(said: I) -> Self {
        let mut fields = Self::default();
        for (name, value) in said {
            fields.push(name, value);
        }
        fields
    }
}

/// The names: values may be secrets.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|field| String::from_utf8_lossy(field.name));
        f.debug_list().entries(names).finish()
    }
}
