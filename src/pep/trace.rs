//! Trace context (W3C Trace Context §3.2): the client's trace goes on, in a span of ours.

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderValue};

use crate::base::{hex, push_hex, random_label};

/// A `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// A new span of the trace that the headers name, or of a new trace.
    pub(super) fn continue_from(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all("traceparent").iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        let known = value.filter(|_| values.next().is_none()).and_then(parse);
        let (trace, flags) = known.unwrap_or_else(|| (random_label(), 0));
        Self {
            trace,
            span: random_label(),
            flags,
        }
    }

    /// The trace's id, in hexadecimal.
    pub(super) fn trace_id(&self) -> String {
        hex(&self.trace)
    }

    /// The header's value.
    pub(super) fn header(&self) -> HeaderValue {
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        push_hex(&mut text, &self.trace);
        text.push('-');
        push_hex(&mut text, &self.span);
        text.push('-');
        push_hex(&mut text, &[self.flags]);
        // Nothing but digits, letters and dashes.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Trace id and flags of a version 00 header.
fn parse(text: &str) -> Option<([u8; 16], u8)> {
    let mut parts = text.split('-');
    let [version, trace, span, flags] =
        [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let lower = text
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if version != "00" || parts.next().is_some() || !lower || flags.len() != 2 {
        return None;
    }
    let read = |text: &str, length: usize| {
        let value = u128::from_str_radix(text, 16).ok()?;
        (text.len() == length && value != 0).then_some(value)
    };
    let trace = read(trace, 32)?;
    read(span, 16)?;
    Some((trace.to_be_bytes(), u8::from_str_radix(flags, 16).ok()?))
}
