//! Form bodies with one reading: each parameter at most once (RFC 6749 §3.2), but for the two that other
//! standards let repeat.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, header};

use super::error::OAuthError;
use crate::wire::decoded;

/// Parameters that may be there more than once (RFC 8707 §2, RFC 8693 §2.1).
const REPEATED: [&str; 2] = ["audience", "resource"];

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    /// Reads a body of type `application/x-www-form-urlencoded`.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, OAuthError> {
        let content_type = headers.get(header::CONTENT_TYPE);
        let essence = content_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|value| value.trim().to_ascii_lowercase());
        if essence.as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request(
                "send the parameters as application/x-www-form-urlencoded",
            ));
        }
        let malformed = || OAuthError::invalid_request("the body is not a URL-encoded form");
        let text = std::str::from_utf8(body).map_err(|_| malformed())?;
        let mut parameters = BTreeMap::<String, Vec<String>>::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| {
                let text = text.replace('+', " ");
                let text = decoded(&text).map(Cow::into_owned);
                text.ok_or_else(malformed)
            };
            let (name, value) = (plain(name)?, plain(value)?);
            // A parameter without a value counts as left out (RFC 6749 §3.2).
            if value.is_empty() {
                continue;
            }
            let values = parameters.entry(name).or_default();
            values.push(value);
        }
        let twice = parameters
            .iter()
            .find(|(name, values)| values.len() > 1 && !REPEATED.contains(&name.as_str()));
        if let Some((name, _)) = twice {
            let description = format!("the parameter `{name}` is there twice");
            return Err(OAuthError::invalid_request(description));
        }
        Ok(Self(parameters))
    }

    /// A parameter that may be left out.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }

    /// Every value of a parameter that may be there more than once.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// A parameter that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| {
            OAuthError::invalid_request(format!("the parameter `{name}` is missing"))
        })
    }
}
