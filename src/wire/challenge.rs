//! `WWW-Authenticate` challenges (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9449 §7.1).

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use http::HeaderValue;

/// The proof algorithms that a DPoP challenge names (RFC 9449 §7.1).
pub const DPOP_ALGORITHMS: &str = "ES256 EdDSA PS256 RS256";

/// A challenge under construction: a scheme and its quoted parameters.
#[derive(Clone, Debug)]
pub struct Challenge {
    text: String,
    first: bool,
}

impl Challenge {
    /// A challenge of the `Bearer` scheme.
    #[must_use]
    pub fn bearer() -> Self {
        Self::new("Bearer")
    }

    /// A challenge of the `DPoP` scheme.
    #[must_use]
    pub fn dpop() -> Self {
        Self::new("DPoP")
    }

    /// A challenge of the `Basic` scheme.
    #[must_use]
    pub fn basic() -> Self {
        Self::new("Basic")
    }

    fn new(scheme: &str) -> Self {
        Self {
            text: scheme.to_owned(),
            first: true,
        }
    }

    /// Adds `name="value"`. Quotes and backslashes are escaped; what can't stand in a header is
    /// left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let separator = if self.first { " " } else { ", " };
        self.first = false;
        // Writing to a String can't fail.
        let _ = write!(self.text, "{separator}{name}=\"");
        for c in value.chars().filter(|c| matches!(c, ' '..='~')) {
            if matches!(c, '"' | '\\') {
                self.text.push('\\');
            }
            self.text.push(c);
        }
        self.text.push('"');
        self
    }

    /// The header's value.
    #[must_use]
    pub fn into_header(self) -> HeaderValue {
        HeaderValue::from_str(&self.text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}
