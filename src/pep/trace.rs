//! Trace context (W3C Trace Context §3.2): the client's trace goes on, in a span of ours.

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName};

use crate::base::{fill_hex, hex, random_label};

/// The header.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// A new span of the trace that the headers name, or of a new trace.
    pub(super) fn continue_from(headers: Option<&HeaderMap>) -> Self {
        let values = headers.map(|headers| headers.get_all(&TRACEPARENT).iter());
        let mut values = values.into_iter().flatten();
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
    pub(super) fn text(&self) -> [u8; 55] {
        let mut text = *b"00-################################-################-##";
        for (place, bytes) in [
            (3..35, &self.trace[..]),
            (36..52, &self.span),
            (53..55, &[self.flags]),
        ] {
            fill_hex(text.get_mut(place).unwrap_or_default(), bytes);
        }
        text
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
