//! The typed inputs of a call, read exactly as declared: what conditions see is what the upstream gets.
//!
//! A body is held in memory only for an operation that declares an input from it, and only up to a
//! limit; the very bytes that were read are then forwarded.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::canonical::Canonical;
use super::refusal::Refusal;
use crate::model::{DenyReason, Input, InputKind, InputSource, InputValue, Inputs, Operation};
use crate::wire::{Body, BodyError, parse_json};

/// The deepest JSON that is read.
const DEEPEST_BODY: usize = 32;

/// Reads every declared input from its place. `body` is the held body, where one was wanted.
pub(super) fn inputs(
    operation: &Operation,
    canonical: &Canonical,
    params: &[(Arc<str>, String)],
    body: Option<&Bytes>,
) -> Result<Inputs, Refusal> {
    if operation.inputs.is_empty() {
        return Ok(Inputs::new());
    }
    let body = body.map(|bytes| json_body(canonical.headers(), bytes));
    let body = body.transpose()?;
    let mut inputs = Inputs::new();
    for (name, input) in &operation.inputs {
        let value = match &input.source {
            InputSource::Path(param) => from_path(params, param, input.kind),
            InputSource::Query(param) => from_query(canonical.query(), param, input.kind),
            InputSource::Header(header) => from_header(canonical.headers(), header, input.kind),
            InputSource::Body(pointer) => from_body(body.as_ref(), pointer, input.kind),
        };
        let value = value.map_err(|why| invalid(name, input, &why))?;
        inputs.insert(name.clone(), value);
    }
    Ok(inputs)
}

/// Whether an operation reads its request's body.
pub(super) fn wants_body(operation: &Operation) -> bool {
    let mut inputs = operation.inputs.values();
    inputs.any(|input| matches!(input.source, InputSource::Body(_)))
}

/// Reads a whole body, if it is no longer than `limit`.
pub(super) async fn hold(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut held = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if held.len() + data.len() > limit {
            return Err(Refusal::too_large(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("this operation's body is read before it passes, up to {limit} bytes"),
            ));
        }
        held.extend_from_slice(&data);
    }
    Ok(held.freeze())
}

fn broken(error: &BodyError) -> Refusal {
    match error {
        BodyError::Idle => {
            Refusal::new(DenyReason::Timeout, "the request's body stopped coming").closing()
        }
        BodyError::Cut(_) | BodyError::Transport(_) => {
            Refusal::new(DenyReason::RequestMalformed, "the request's body broke off").closing()
        }
    }
}

fn json_body(headers: &HeaderMap, bytes: &Bytes) -> Result<Value, Refusal> {
    let invalid = |why: &str| Refusal::new(DenyReason::InputInvalid, why);
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(invalid(
            "this operation's inputs are read from its body: send it uncompressed",
        ));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let json = types
        .next()
        .and_then(|value| value.to_str().ok())
        .is_some_and(is_json);
    if !json || types.next().is_some() {
        return Err(invalid(
            "this operation's inputs are read from its body: send `Content-Type: application/json`",
        ));
    }
    parse_json(bytes, DEEPEST_BODY).map_err(|fault| invalid(&format!("the body is {fault}")))
}

fn is_json(content_type: &str) -> bool {
    let (essence, parameters) = match content_type.split_once(';') {
        Some((essence, parameters)) => (essence, Some(parameters)),
        None => (content_type, None),
    };
    let essence = essence.trim().to_ascii_lowercase();
    let json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    // Another charset would be another reading of the same bytes (RFC 8259 §8.1).
    let utf8 = parameters.is_none_or(|parameters| {
        let parameters = parameters.trim().to_ascii_lowercase();
        matches!(parameters.as_str(), "charset=utf-8" | "charset=\"utf-8\"")
    });
    json && utf8
}

fn from_path(
    params: &[(Arc<str>, String)],
    name: &str,
    kind: InputKind,
) -> Result<InputValue, String> {
    let param = params.iter().find(|(param, _)| **param == *name);
    let (_, text) = param.ok_or("it is not in the path")?;
    from_text(text, kind)
}

/// A parameter of the query, decoded as a form (WHATWG URL §5.1). Twice is once too often: servers
/// differ on which one counts.
fn from_query(query: Option<&str>, name: &str, kind: InputKind) -> Result<InputValue, String> {
    let mut found = None;
    for pair in query.unwrap_or_default().split(['&', ';']) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = form_decoded(key).ok_or("the query is not percent-encoded UTF-8")?;
        if !key.eq_ignore_ascii_case(name) {
            continue;
        }
        if key != name || found.is_some() {
            return Err("the query has it twice, or in other letters".to_owned());
        }
        found = Some(form_decoded(value).ok_or("the query is not percent-encoded UTF-8")?);
    }
    let text = found.ok_or("it is not in the query")?;
    from_text(&text, kind)
}

fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    crate::wire::decoded(&spaced)
}

fn from_header(headers: &HeaderMap, name: &str, kind: InputKind) -> Result<InputValue, String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or("the header is absent")?;
    if values.next().is_some() {
        return Err("the header is there twice".to_owned());
    }
    let text = value.to_str();
    from_text(text.map_err(|_| "the header is not ASCII")?, kind)
}

fn from_body(body: Option<&Value>, pointer: &str, kind: InputKind) -> Result<InputValue, String> {
    let body = body.ok_or("there is no body")?;
    refuse_other_spellings(body, pointer)?;
    let value = body.pointer(pointer).ok_or("it is not in the body")?;
    match (kind, value) {
        (InputKind::Bool, Value::Bool(value)) => Ok(InputValue::Bool(*value)),
        (InputKind::Long, Value::Number(number)) => {
            let whole = number.as_i64().ok_or("it is not a 64-bit whole number")?;
            Ok(InputValue::Long(whole))
        }
        (InputKind::String, Value::String(text)) => Ok(InputValue::String(text.as_str().into())),
        (InputKind::Bool, _) => Err("it is not true or false".to_owned()),
        (InputKind::Long, _) => Err("it is not a whole number".to_owned()),
        (InputKind::String, _) => Err("it is not text".to_owned()),
    }
}

/// Some servers match names whatever their case, so that `Amount` beside `amount` is a second reading
/// (GHSA-4gph-2hhr-5mwg).
fn refuse_other_spellings(body: &Value, pointer: &str) -> Result<(), String> {
    let mut place = body;
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        if let Value::Object(members) = place {
            let alike = |key: &&String| key.to_lowercase() == name.to_lowercase() && **key != name;
            if let Some(other) = members.keys().find(alike) {
                return Err(format!("the body has `{other}` too"));
            }
        }
        let next = match place {
            Value::Object(members) => members.get(&name),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|n| items.get(n)),
            _ => None,
        };
        let Some(next) = next else {
            return Ok(());
        };
        place = next;
    }
    Ok(())
}

fn from_text(text: &str, kind: InputKind) -> Result<InputValue, String> {
    match kind {
        InputKind::Bool => match text {
            "true" => Ok(InputValue::Bool(true)),
            "false" => Ok(InputValue::Bool(false)),
            _ => Err("it is not `true` or `false`".to_owned()),
        },
        InputKind::Long => {
            let whole: i64 = text.parse().map_err(|_| "it is not a whole number")?;
            // One spelling only: `+5` and `007` are other numbers to some servers.
            if whole.to_string() != text {
                return Err("it is not a plain whole number".to_owned());
            }
            Ok(InputValue::Long(whole))
        }
        InputKind::String => Ok(InputValue::String(text.into())),
    }
}

fn invalid(name: &str, input: &Input, why: &str) -> Refusal {
    let place = match &input.source {
        InputSource::Body(pointer) => format!("body:{pointer}"),
        InputSource::Header(header) => format!("header:{header}"),
        InputSource::Path(param) => format!("path:{param}"),
        InputSource::Query(param) => format!("query:{param}"),
    };
    let kind = input.kind.as_str();
    let detail = format!("input `{name}` ({kind} from {place}): {why}");
    Refusal::new(DenyReason::InputInvalid, detail)
}
