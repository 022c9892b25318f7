//! Ids of requests, which client, upstream and record share.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use http::HeaderValue;

use crate::base::{extend_hex, push_hex, random_bytes};

/// An id of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    #[cfg(test)]
    pub(super) const fn of(text: &'static str) -> Self {
        Self(HeaderValue::from_static(text))
    }

    pub(super) fn as_str(&self) -> &str {
        // Made of digits, letters and a dash.
        self.0.to_str().unwrap_or_default()
    }

    pub(super) fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ids that are unique without asking anybody: random bytes, the same for all of one source, and a counter.
#[derive(Debug)]
pub(super) struct RequestIds {
    prefix: String,
    next: Cell<u64>,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut prefix = String::new();
        push_hex(&mut prefix, &random_bytes::<8>());
        prefix.push('-');
        Self {
            prefix,
            next: Cell::new(0),
        }
    }

    pub(super) fn next(&self) -> RequestId {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let number = number.to_be_bytes();
        let zeros = number.iter().take(7).take_while(|byte| **byte == 0).count();
        let number = number.get(zeros..).unwrap_or_default();
        let mut text = Vec::with_capacity(self.prefix.len() + 2 * number.len());
        text.extend_from_slice(self.prefix.as_bytes());
        extend_hex(&mut text, number);
        let text = HeaderValue::from_maybe_shared(Bytes::from(text));
        RequestId(text.unwrap_or(HeaderValue::from_static("")))
    }
}
