//! A request for a service, as it is about to be written.

#[cfg(test)]
mod tests;

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

/// A request for a service.
#[derive(Debug)]
pub struct Outbound<B> {
    /// The method.
    pub method: Method,
    /// Path and query go out as they stand; an authority counts where no `Host` is said.
    pub target: Uri,
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

impl<B> From<Request<B>> for Outbound<B> {
    fn from(request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            method: parts.method,
            target: parts.uri,
            fields: parts.headers.iter().collect(),
            body,
        }
    }
}

/// Header fields in the order in which they are said. What is written once needs no table to find names in.
#[derive(Clone, Default)]
pub struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    /// No fields yet, and room for so many.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Says one more. INVARIANT: where only one may be said of that name, none was.
    pub fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Says it in the place of all that were said of that name.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove(&name);
        self.push(name, value);
    }

    /// Takes back all that was said of a name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(said, _)| said != name);
    }

    /// Whether a name was said.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get_all(name).next().is_some()
    }

    /// All that was said of a name.
    pub fn get_all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
        let named = self.0.iter().filter(move |(said, _)| said == name);
        named.map(|(_, value)| value)
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// As a table, for a head that is not written here.
    #[must_use]
    pub fn into_headers(self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.0.len());
        for (name, value) in self.0 {
            headers.append(name, value);
        }
        headers
    }
}

impl<'a> FromIterator<(&'a HeaderName, &'a HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>>(said: I) -> Self {
        let said = said.into_iter();
        Self(said.map(|(n, v)| (n.clone(), v.clone())).collect())
    }
}

/// The names: values may be secrets.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(n, _)| n)).finish()
    }
}
