//! Input specifications: `path:String`, `query:page:Long`, `header:x-reason:String`,
//! `body:/amount:Long`, `form:amount:Long`, `graphql:operation:String`.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderName, header};
use thiserror::Error;

use crate::config::suggest::closest;
use crate::model::{GraphqlPart, Input, InputKind, InputSource};
use crate::wire::stays_at_gateway;

/// An input that can't be declared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum InputError {
    /// Not `source:Type`.
    #[error("`{0}` is not an input: write it like `path:String` or `body:/amount:Long`")]
    Form(String),
    /// A part of GraphQL requests that there is not.
    #[error("of a GraphQL request `field`, `operation` and `type` can be told, not `{0}`")]
    Graphql(String),
    /// The parts of GraphQL requests are words.
    #[error("what is told of a GraphQL request is a String, not a {0}")]
    GraphqlType(&'static str),
    /// A header that no condition may see, or that never arrives.
    #[error("the header `{0}` can't be an input")]
    Header(String),
    /// A name that conditions could not write.
    #[error("`{0}` can't name an input: use letters, digits and _, a letter first")]
    Name(String),
    /// Not a JSON pointer.
    #[error("`{0}` is not a JSON pointer: it starts with a slash, and ~ is written ~0")]
    Pointer(String),
    /// Not a place to read inputs from.
    #[error("inputs are read from body, form, graphql, header, path or query, not `{0}`")]
    Source(String),
    /// Not a type.
    #[error("the types of inputs are Bool, Long and String, not `{found}`")]
    Type {
        /// What was written.
        found: String,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
}

/// Reads the input `name = "spec"`.
pub(super) fn input(name: &str, spec: &str) -> Result<(Arc<str>, Input), InputError> {
    let mut letters = name.chars();
    let starts = letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts || name.len() > 64 || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(InputError::Name(name.to_owned()));
    }
    // A JSON pointer may hold colons: the type is what follows the last, the source what precedes
    // the first.
    let form = || InputError::Form(spec.to_owned());
    let (place, kind) = spec.rsplit_once(':').ok_or_else(form)?;
    let (source, which) = match place.split_once(':') {
        Some((source, which)) => (source, Some(which)),
        None => (place, None),
    };
    if which == Some("") && source != "body" {
        return Err(form());
    }
    let which = which.unwrap_or(if source == "body" { "" } else { name });
    let source = match source {
        "body" => InputSource::Body(pointer(which)?),
        "form" => InputSource::Form(which.into()),
        "graphql" if which.starts_with('/') => InputSource::Argument(pointer(which)?),
        "graphql" => InputSource::Graphql(graphql(which)?),
        "header" => InputSource::Header(header_name(which)?),
        "path" => InputSource::Path(which.into()),
        "query" => InputSource::Query(which.into()),
        other => return Err(InputError::Source(other.to_owned())),
    };
    let kind = kind_of(kind)?;
    if matches!(source, InputSource::Graphql(_)) && kind != InputKind::String {
        return Err(InputError::GraphqlType(kind.as_str()));
    }
    Ok((name.into(), Input { source, kind }))
}

fn kind_of(text: &str) -> Result<InputKind, InputError> {
    let kinds = [InputKind::Bool, InputKind::Long, InputKind::String];
    let found = kinds.into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| InputError::Type {
        found: text.to_owned(),
        meant: match text.to_ascii_lowercase().as_str() {
            "int" | "integer" | "number" | "i64" => Some("Long"),
            "boolean" => Some("Bool"),
            "str" | "text" => Some("String"),
            _ => closest(text, kinds.map(InputKind::as_str)),
        },
    })
}

/// RFC 6901: the whole document is no input, and `~` escapes only itself and the slash.
fn pointer(text: &str) -> Result<Arc<str>, InputError> {
    let escapes_hold = text
        .split('~')
        .skip(1)
        .all(|after| after.starts_with(['0', '1']));
    if !text.starts_with('/') || !escapes_hold {
        return Err(InputError::Pointer(text.to_owned()));
    }
    Ok(text.into())
}

fn graphql(text: &str) -> Result<GraphqlPart, InputError> {
    let mut parts = [
        GraphqlPart::Field,
        GraphqlPart::Operation,
        GraphqlPart::Type,
    ]
    .into_iter();
    let found = parts.find(|part| part.as_str() == text);
    found.ok_or_else(|| InputError::Graphql(text.to_owned()))
}

/// Credentials are no inputs, because inputs are recorded; neither is what the gateway itself removes
/// or writes.
fn header_name(text: &str) -> Result<Arc<str>, InputError> {
    let odd = || InputError::Header(text.to_owned());
    let name: HeaderName = text.parse().map_err(|_| odd())?;
    if name == header::COOKIE || stays_at_gateway(&name) {
        return Err(odd());
    }
    Ok(name.as_str().into())
}
