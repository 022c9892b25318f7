//! The typed inputs of a call, read exactly as declared: what conditions see is what the upstream gets.
//!
//! A body is held in memory only for an operation that declares an input from it, and only up to a
//! limit; the very bytes that were read are then forwarded.

mod graphql;
mod json;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::num::{IntErrorKind, ParseIntError};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::canonical::Canonical;
use super::refusal::Refusal;
use super::strict::Fault;
use crate::model::{DenyReason, Input, InputKind, InputSource, InputValue, Inputs, Operation};
use crate::wire::{
    Body, BodyError, FormFault, FormFields, GraphqlCall, connection_listed, form_fields, form_value,
};

/// Reads every declared input from its place. `body` is the held body, where one was wanted.
pub(super) fn inputs(
    operation: &Operation,
    canonical: &Canonical,
    params: &[(&str, Cow<'_, str>)],
    body: Option<&Bytes>,
) -> Result<Inputs, Refusal> {
    if operation.inputs.is_empty() {
        return Ok(Inputs::new());
    }
    let places = Places::read(operation, canonical, body)?;
    let mut inputs = Inputs::new();
    for (name, input) in &operation.inputs {
        let value = match &input.source {
            InputSource::Argument(pointer) => graphql::argument(places.graphql.as_ref(), pointer)
                .and_then(|value| typed(value, input.kind)),
            InputSource::Body(pointer) => json::value(places.json.as_ref(), pointer)
                .and_then(|value| typed(value, input.kind)),
            InputSource::Form(field) => from_fields(places.form.as_ref(), field, input.kind),
            InputSource::Graphql(part) => graphql::part(places.graphql.as_ref(), *part),
            InputSource::Header(header) => from_header(canonical.headers(), header, input.kind),
            InputSource::Path(param) => from_path(params, param, input.kind),
            InputSource::Query(param) => from_fields(places.query.as_ref(), param, input.kind),
        };
        let value = value.map_err(|why| invalid(name, input, &why))?;
        inputs.insert(name.clone(), value);
    }
    Ok(inputs)
}

/// Whether an operation reads its request's body.
pub(super) fn wants_body(operation: &Operation) -> bool {
    reads(operation, |source| {
        matches!(
            source,
            InputSource::Argument(_)
                | InputSource::Body(_)
                | InputSource::Form(_)
                | InputSource::Graphql(_)
        )
    })
}

fn reads(operation: &Operation, place: impl Fn(&InputSource) -> bool) -> bool {
    let mut inputs = operation.inputs.values();
    inputs.any(|input| place(&input.source))
}

/// What inputs are read from, each read once, and only what some input wants.
#[derive(Default)]
struct Places<'a> {
    form: Option<Result<FormFields<'a>, FormFault>>,
    graphql: Option<GraphqlCall>,
    json: Option<Value>,
    query: Option<Result<FormFields<'a>, FormFault>>,
}

impl<'a> Places<'a> {
    fn read(
        operation: &Operation,
        canonical: &'a Canonical,
        body: Option<&'a Bytes>,
    ) -> Result<Self, Refusal> {
        let mut places = Self::default();
        let graphql = reads(operation, |source| {
            matches!(source, InputSource::Argument(_) | InputSource::Graphql(_))
        });
        if graphql || reads(operation, |source| matches!(source, InputSource::Query(_))) {
            places.query = canonical.query().map(form_fields);
        }
        let Some(bytes) = body else {
            return Ok(places);
        };
        if reads(operation, |source| matches!(source, InputSource::Form(_))) {
            uncompressed(
                canonical.headers(),
                is_form,
                "application/x-www-form-urlencoded",
            )?;
            let text = std::str::from_utf8(bytes).map_err(|_| FormFault::Encoding);
            places.form = Some(text.and_then(form_fields));
        } else if graphql && graphql::is_in_query(canonical.method()) {
            let query = places.query.as_ref();
            places.graphql = Some(graphql::from_query(query, bytes.is_empty())?);
        } else {
            uncompressed(canonical.headers(), is_json, "application/json")?;
            let json = json::read(bytes)?;
            if graphql {
                let query = places.query.as_ref();
                places.graphql = Some(graphql::from_body(canonical.method(), query, &json)?);
            }
            places.json = Some(json);
        }
        Ok(places)
    }
}

/// Refuses a body that is not of the one type that is read, as it is.
fn uncompressed(
    headers: &HeaderMap,
    is_right: fn(&str) -> bool,
    right: &str,
) -> Result<(), Refusal> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unreadable(
            "this operation's inputs are read from its body: send it without `Content-Encoding`",
        ));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let found = types.next().and_then(|value| value.to_str().ok());
    if !found.is_some_and(is_right) || types.next().is_some() {
        return Err(unreadable(format!(
            "this operation's inputs are read from its body: send `Content-Type: {right}`"
        )));
    }
    Ok(())
}

fn unreadable(why: impl Into<String>) -> Refusal {
    Refusal::new(DenyReason::InputInvalid, why)
}

fn is_json(content_type: &str) -> bool {
    is_utf8(content_type, |essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

fn is_form(content_type: &str) -> bool {
    is_utf8(content_type, |essence| {
        essence == "application/x-www-form-urlencoded"
    })
}

/// Another charset would be another reading of the same bytes (RFC 8259 §8.1).
fn is_utf8(content_type: &str, is_right: impl Fn(&str) -> bool) -> bool {
    let (essence, parameters) = match content_type.split_once(';') {
        Some((essence, parameters)) => (essence, Some(parameters)),
        None => (content_type, None),
    };
    let utf8 = parameters.is_none_or(|parameters| {
        let parameters = parameters.trim().to_ascii_lowercase();
        matches!(parameters.as_str(), "charset=utf-8" | "charset=\"utf-8\"")
    });
    utf8 && is_right(&essence.trim().to_ascii_lowercase())
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
        BodyError::Cut(_) | BodyError::Transport(_) => Fault::broken_off(error),
    }
}

fn from_path(
    params: &[(&str, Cow<'_, str>)],
    name: &str,
    kind: InputKind,
) -> Result<InputValue, String> {
    let param = params.iter().find(|(param, _)| *param == name);
    let (_, text) = param.ok_or("it is not in the path")?;
    from_text(text, kind)
}

fn from_fields(
    fields: Option<&Result<FormFields<'_>, FormFault>>,
    name: &str,
    kind: InputKind,
) -> Result<InputValue, String> {
    let fields = match fields {
        Some(Ok(fields)) => fields,
        Some(Err(fault)) => return Err(fault.to_string()),
        None => return Err(FormFault::Absent.to_string()),
    };
    let text = form_value(fields, name).map_err(|fault| fault.to_string())?;
    from_text(text, kind)
}

/// A header that `Connection` lists ends at the gateway: a condition would see what the upstream does not.
fn from_header(headers: &HeaderMap, name: &str, kind: InputKind) -> Result<InputValue, String> {
    if connection_listed(headers).any(|listed| listed == name) {
        return Err("`Connection` takes the header away".to_owned());
    }
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or("the header is absent")?;
    if values.next().is_some() {
        return Err("the header is there twice".to_owned());
    }
    let text = value.to_str();
    from_text(text.map_err(|_| "the header is not ASCII")?, kind)
}

fn typed(value: &Value, kind: InputKind) -> Result<InputValue, String> {
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

fn from_text(text: &str, kind: InputKind) -> Result<InputValue, String> {
    match kind {
        InputKind::Bool => match text {
            "true" => Ok(InputValue::Bool(true)),
            "false" => Ok(InputValue::Bool(false)),
            _ => Err("it is not `true` or `false`".to_owned()),
        },
        InputKind::Long => {
            let fault = |error: ParseIntError| match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                    "it is not a 64-bit whole number"
                }
                _ => "it is not a whole number",
            };
            let whole: i64 = text.parse().map_err(fault)?;
            // One spelling only: `+5` and `007` are other numbers to some servers.
            let digits = text.strip_prefix('-').unwrap_or(text);
            if text.starts_with('+') || (digits.starts_with('0') && text != "0") {
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
        InputSource::Form(field) => format!("form:{field}"),
        InputSource::Argument(pointer) => format!("graphql:{pointer}"),
        InputSource::Graphql(part) => format!("graphql:{}", part.as_str()),
        InputSource::Header(header) => format!("header:{header}"),
        InputSource::Path(param) => format!("path:{param}"),
        InputSource::Query(param) => format!("query:{param}"),
    };
    let kind = input.kind.as_str();
    let detail = format!("input `{name}` ({kind} from {place}): {why}");
    Refusal::new(DenyReason::InputInvalid, detail)
}
