//! Route patterns: `METHOD /path` with `{name}` for one segment and `{*rest}` for the remainder.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use http::Method;
use thiserror::Error;

use super::suggest::closest;
use crate::wire::{SegmentError, canonical_segment};

/// What `ANY` stands for.
const ORDINARY: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Registered methods that a route may name, beside the ordinary ones.
const OTHERS: [&str; 30] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// The most segments of a route; the tree of routes is walked by recursion.
const MOST_SEGMENTS: usize = 64;

/// A route that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// More than a method and a path, or less.
    #[error("`{0}` is not a route: write it like `GET /orders/{{order_id}}`")]
    Form(String),
    /// A method that nobody can send here.
    #[error("`{method}` is not a method that a route can have")]
    Method {
        /// What was written.
        method: String,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
    /// A parameter name twice.
    #[error("the route has two parameters named `{0}`")]
    ParameterTwice(String),
    /// Braces that are not a parameter.
    #[error("`{0}` is not a parameter: braces hold a name and fill a whole segment")]
    Parameter(String),
    /// A path that does not start with a slash.
    #[error("a path starts with `/`, unlike `{0}`")]
    Slash(String),
    /// More segments than any real path has.
    #[error("a route has at most {MOST_SEGMENTS} segments")]
    Deep,
    /// Two slashes in a row.
    #[error("a path has no empty segments")]
    EmptySegment,
    /// `{*rest}` with something behind it.
    #[error("nothing can follow `{0}`, which stands for all that remains")]
    AfterRest(String),
    /// A literal segment that no request can have.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A query or fragment.
    #[error("a route has no query and no fragment; declare an input to see the query")]
    Query,
}

/// Which requests an operation answers to, within its service.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutePattern {
    text: Arc<str>,
    method: RouteMethod,
    segments: Vec<Segment>,
}

/// The methods that a route answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMethod {
    /// `ANY`: every ordinary method.
    Any,
    /// One method; `GET` stands in for `HEAD` where nothing else does.
    One(Method),
}

/// One part of a route between slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Canonical text; empty only at the end, for a path that ends in a slash.
    Literal(Box<str>),
    /// Any one segment that is not empty.
    Parameter(Arc<str>),
    /// All that remains, which is not nothing.
    Rest(Arc<str>),
}

impl RoutePattern {
    /// Reads a route.
    ///
    /// # Errors
    ///
    /// See [`RouteError`].
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let (Some(method), Some(path), None) = (words.next(), words.next(), words.next()) else {
            return Err(RouteError::Form(text.to_owned()));
        };
        let segments = segments(path)?;
        let mut names: Vec<&Arc<str>> = Vec::new();
        for segment in &segments {
            let (Segment::Parameter(name) | Segment::Rest(name)) = segment else {
                continue;
            };
            if names.contains(&name) {
                return Err(RouteError::ParameterTwice(name.to_string()));
            }
            names.push(name);
        }
        Ok(Self {
            text: text.into(),
            method: parse_method(method)?,
            segments,
        })
    }

    /// The route as its author wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The methods that it answers to.
    #[must_use]
    pub const fn method(&self) -> &RouteMethod {
        &self.method
    }

    /// The names of its parameters, from left to right.
    pub fn parameters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) | Segment::Rest(name) => Some(name),
        })
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Equal for two routes of one service if and only if they match the same requests.
    pub(super) fn shape(&self) -> String {
        let mut shape = match &self.method {
            RouteMethod::Any => "ANY".to_owned(),
            RouteMethod::One(method) => method.to_string(),
        };
        for segment in &self.segments {
            shape.push('/');
            shape.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Parameter(_) => "{}",
                Segment::Rest(_) => "{*}",
            });
        }
        shape
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoutePattern({})", self.text)
    }
}

impl RouteMethod {
    /// How well a route with this method answers `method`: the higher the better, nothing where it
    /// does not.
    pub(super) fn rank(&self, method: &Method) -> Option<u8> {
        match self {
            Self::One(one) if one == method => Some(2),
            Self::One(one) => (*one == Method::GET && *method == Method::HEAD).then_some(1),
            Self::Any => ORDINARY.contains(&method.as_str()).then_some(0),
        }
    }
}

/// Reads the literal path that a service's requests start with, `/` for all.
pub(super) fn prefix(text: &str) -> Result<Vec<Box<str>>, RouteError> {
    if text == "/" {
        return Ok(Vec::new());
    }
    let mut literals = Vec::new();
    for segment in segments(text)? {
        match segment {
            Segment::Literal(literal) if literal.is_empty() => {
                return Err(RouteError::EmptySegment);
            }
            Segment::Literal(literal) => literals.push(literal),
            Segment::Parameter(name) | Segment::Rest(name) => {
                return Err(RouteError::Parameter(name.to_string()));
            }
        }
    }
    Ok(literals)
}

fn parse_method(method: &str) -> Result<RouteMethod, RouteError> {
    if method == "ANY" {
        return Ok(RouteMethod::Any);
    }
    let known = || ORDINARY.into_iter().chain(OTHERS);
    let read = Method::from_bytes(method.as_bytes()).ok();
    match read.filter(|_| known().any(|one| one == method)) {
        Some(read) => Ok(RouteMethod::One(read)),
        None => Err(RouteError::Method {
            method: method.to_owned(),
            meant: closest(method, known().chain(["ANY"])),
        }),
    }
}

fn segments(path: &str) -> Result<Vec<Segment>, RouteError> {
    let Some(path) = path.strip_prefix('/') else {
        return Err(RouteError::Slash(path.to_owned()));
    };
    if path.contains(['?', '#']) {
        return Err(RouteError::Query);
    }
    let mut segments: Vec<Segment> = Vec::new();
    for text in path.split('/') {
        match segments.last() {
            Some(Segment::Literal(last)) if last.is_empty() => {
                return Err(RouteError::EmptySegment);
            }
            Some(Segment::Rest(name)) => return Err(RouteError::AfterRest(format!("{{*{name}}}"))),
            _ if segments.len() == MOST_SEGMENTS => return Err(RouteError::Deep),
            _ => segments.push(segment(text)?),
        }
    }
    Ok(segments)
}

fn segment(text: &str) -> Result<Segment, RouteError> {
    if !text.contains(['{', '}']) {
        // Authors may write letters as they are; requests can't.
        let mut spelt = String::with_capacity(text.len());
        for character in text.chars() {
            if character.is_ascii() {
                spelt.push(character);
            } else {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    spelt.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        return Ok(Segment::Literal(canonical_segment(&spelt)?.into()));
    }
    let odd = || RouteError::Parameter(text.to_owned());
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
    let inner = inner.ok_or_else(odd)?;
    let (name, rest) = match inner.strip_prefix('*') {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let first = name.chars().next().ok_or_else(odd)?;
    if !(first.is_ascii_alphabetic() || first == '_')
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return Err(odd());
    }
    Ok(if rest {
        Segment::Rest(name.into())
    } else {
        Segment::Parameter(name.into())
    })
}
