//! What a client got, and how a refusal is read: by a standard parser where there is one.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Version};
use serde_json::Value;

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A challenge of `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) scheme: String,
    pub(crate) params: BTreeMap<String, String>,
}

impl Answer {
    /// The one value of a header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "`{name}` is there twice");
        Some(value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {:?}", self.status, self.body))
    }

    /// As [`expect`](Self::expect), for a body that is too long to be shown.
    #[track_caller]
    pub(crate) fn expect_bytes(self, status: u16) -> Self {
        assert_eq!(self.status, status);
        self
    }

    /// Asserts the status; the body says what is wrong.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts that this is a refusal in the form that the gateway promises, and returns its document.
    #[track_caller]
    pub(crate) fn refusal(&self, status: u16, code: &str) -> Value {
        let problem = self.problem(status, code);
        let id = problem["request_id"].as_str().expect("a request id");
        assert_eq!(self.header("portcullis-request-id"), Some(id));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        problem
    }

    /// Asserts that this is a problem document (RFC 9457) of a kind.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let shown = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{shown}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{shown}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{shown}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        let kind = format!("urn:portcullis:refusal:{code}");
        assert_eq!(problem["type"], kind, "{problem}");
        for member in ["title", "detail"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "`{member}` of {problem}");
        }
        problem
    }

    /// The only challenge, if there is one.
    #[track_caller]
    pub(crate) fn challenge(&self) -> Option<Challenge> {
        let value = self.header("www-authenticate")?;
        let mut challenges = http_auth::parse_challenges(value)
            .unwrap_or_else(|error| panic!("{error} in `{value}`"))
            .into_iter();
        let challenge = challenges.next().expect("a challenge");
        assert!(challenges.next().is_none(), "two challenges in `{value}`");
        let params = challenge.params.iter().map(|(name, value)| {
            let name = (*name).to_ascii_lowercase();
            (name, value.to_unescaped())
        });
        Some(Challenge {
            scheme: challenge.scheme.to_owned(),
            params: params.collect(),
        })
    }
}

impl Challenge {
    #[track_caller]
    pub(crate) fn param(&self, name: &str) -> &str {
        let value = self.params.get(name);
        value.unwrap_or_else(|| panic!("no `{name}` in {self:?}"))
    }

    /// The names of its parameters, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.params.keys().map(String::as_str).collect()
    }
}
