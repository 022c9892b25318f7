//! Ids of requests, which client, upstream and record share.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;

use http::HeaderValue;

use crate::base::{fill_hex, random_bytes};

/// How many bytes come from chance, as digits, and the dash behind them.
const PREFIX: usize = 2 * 8 + 1;

/// The longest id: a counter has no more digits.
const LONGEST: usize = PREFIX + 2 * size_of::<u64>();

/// An id of a request.
#[derive(Clone)]
pub(super) struct RequestId {
    text: [u8; LONGEST],
    length: usize,
}

impl RequestId {
    #[cfg(test)]
    pub(super) fn of(said: &str) -> Self {
        let mut text = [0; LONGEST];
        text[..said.len()].copy_from_slice(said.as_bytes());
        let length = said.len();
        Self { text, length }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    pub(super) fn as_str(&self) -> &str {
        // Made of digits, letters and a dash.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(super) fn to_header(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

/// Ids that are unique without asking anybody: random bytes, the same for all of one source, and a counter.
#[derive(Debug)]
pub(super) struct RequestIds {
    prefix: [u8; PREFIX],
    next: Cell<u64>,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut prefix = [b'-'; PREFIX];
        if let Some((_dash, digits)) = prefix.split_last_mut() {
            fill_hex(digits, &random_bytes::<8>());
        }
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
        let mut text = [0; LONGEST];
        if let Some((prefix, digits)) = text.split_first_chunk_mut() {
            *prefix = self.prefix;
            let digits = digits.get_mut(..2 * number.len());
            fill_hex(digits.unwrap_or_default(), number);
        }
        let length = PREFIX + 2 * number.len();
        RequestId { text, length }
    }
}
