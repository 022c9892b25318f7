//! GraphQL requests (the GraphQL over HTTP draft): in a query for GET, in a JSON body for POST.
//!
//! Servers differ on what else can name the document: several requests in one array, the query beside
//! the body, hashes and ids of documents that are stored. None of it passes, because what would run is
//! not what was read.

use http::Method;
use serde_json::{Map, Value};

use super::{json, unreadable};
use crate::model::{GraphqlPart, InputValue};
use crate::pep::refusal::Refusal;
use crate::wire::{
    FormFault, FormField, FormFields, GraphqlCall, form_value, graphql_call, parse_json,
};

/// What a request can have.
const MEMBERS: [&str; 4] = ["query", "operationName", "variables", "extensions"];

/// Extensions that name a document by its hash.
const STORED: &str = "persistedQuery";

/// Whether the request stands in the URL.
pub(super) fn is_in_query(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Reads a request from the URL.
pub(super) fn from_query(
    query: Option<&Result<FormFields<'_>, FormFault>>,
    empty: bool,
) -> Result<GraphqlCall, Refusal> {
    if !empty {
        return Err(unreadable("a GraphQL request by GET has no body"));
    }
    let fields = fields(query)?;
    let one = |name| match form_value(fields, name) {
        Ok(value) => Ok(Some(value)),
        Err(FormFault::Absent) => Ok(None),
        Err(fault) => Err(unreadable(format!("`{name}` of the query: {fault}"))),
    };
    let document = one("query")?.ok_or_else(no_document)?;
    let variables = match one("variables")? {
        None | Some("") => Value::Null,
        Some(text) => parse_json(text.as_bytes(), json::DEEPEST)
            .map_err(|fault| unreadable(format!("`variables` of the query is {fault}")))?,
    };
    let stored = one("extensions")?.is_some_and(|text| !text.is_empty());
    let stored = stored || fields.iter().any(|(name, _)| names_document(name));
    if stored {
        return Err(names_another());
    }
    call(document, one("operationName")?, Some(&variables))
}

/// Reads a request from its body.
pub(super) fn from_body(
    method: &Method,
    query: Option<&Result<FormFields<'_>, FormFault>>,
    body: &Value,
) -> Result<GraphqlCall, Refusal> {
    if *method != Method::POST {
        return Err(unreadable("GraphQL is asked for with GET or POST"));
    }
    let beside = |(name, _): &FormField<'_>| {
        let mut members = MEMBERS.iter();
        members.any(|member| member.eq_ignore_ascii_case(name)) || names_document(name)
    };
    if fields(query)?.iter().any(beside) {
        return Err(unreadable(
            "a GraphQL request by POST stands in its body, and not in the query as well",
        ));
    }
    let body = match body {
        Value::Object(body) => body,
        Value::Array(_) => {
            return Err(unreadable(
                "send GraphQL requests one by one, not in an array",
            ));
        }
        _ => return Err(unreadable("a GraphQL request is a JSON object")),
    };
    if let Some(other) = body.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
        let why = format!("a GraphQL request has no `{other}`");
        return Err(unreadable(why));
    }
    if has_stored(body) {
        return Err(names_another());
    }
    let Some(Value::String(document)) = body.get("query") else {
        return Err(no_document());
    };
    match body.get("operationName") {
        None | Some(Value::Null) => call(document, None, body.get("variables")),
        Some(Value::String(name)) => call(document, Some(name), body.get("variables")),
        Some(_) => Err(unreadable("`operationName` is text")),
    }
}

/// What a JSON pointer finds in the arguments of the one field.
pub(super) fn argument<'c>(
    call: Option<&'c GraphqlCall>,
    pointer: &str,
) -> Result<&'c Value, String> {
    let call = call.ok_or("there is no GraphQL request")?;
    let arguments = call.arguments.as_ref().map_err(ToString::to_string)?;
    let found = arguments.pointer(pointer);
    found.ok_or_else(|| "the field that is selected has no such argument".to_owned())
}

/// One part of what is asked for.
pub(super) fn part(call: Option<&GraphqlCall>, part: GraphqlPart) -> Result<InputValue, String> {
    let call = call.ok_or("there is no GraphQL request")?;
    let told = match part {
        GraphqlPart::Field => call.field.as_deref(),
        GraphqlPart::Operation => call.name.as_deref(),
        GraphqlPart::Type => Some(call.kind.as_str()),
    };
    let missing = match part {
        GraphqlPart::Field => "select exactly one field of the root, without fragments",
        GraphqlPart::Operation | GraphqlPart::Type => "give the operation a name",
    };
    told.map(|text| InputValue::String(text.into()))
        .ok_or_else(|| missing.to_owned())
}

fn fields<'q, 't>(
    query: Option<&'q Result<FormFields<'t>, FormFault>>,
) -> Result<&'q [FormField<'t>], Refusal> {
    match query {
        None => Ok(&[]),
        Some(Ok(fields)) => Ok(fields),
        Some(Err(fault)) => Err(unreadable(format!("the query: {fault}"))),
    }
}

fn has_stored(body: &Map<String, Value>) -> bool {
    match body.get("extensions") {
        None | Some(Value::Null) => false,
        Some(Value::Object(extensions)) => {
            let mut names = extensions.keys();
            names.any(|name| name.eq_ignore_ascii_case(STORED))
        }
        Some(_) => true,
    }
}

/// Parameters by which servers are told the id of a stored document.
fn names_document(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "");
    matches!(
        name.as_str(),
        "id" | "docid" | "documentid" | "queryid" | "hash"
    )
}

fn call(
    document: &str,
    name: Option<&str>,
    variables: Option<&Value>,
) -> Result<GraphqlCall, Refusal> {
    let none = Map::new();
    let variables = match variables {
        None | Some(Value::Null) => &none,
        Some(Value::Object(variables)) => variables,
        Some(_) => return Err(unreadable("`variables` is a JSON object")),
    };
    // To some servers the empty name is none.
    if name == Some("") {
        return Err(unreadable("`operationName` is empty"));
    }
    let call = graphql_call(document, name, variables);
    call.map_err(|fault| unreadable(format!("the GraphQL request: {fault}")))
}

fn no_document() -> Refusal {
    unreadable("the GraphQL request has no document: send it as `query`")
}

fn names_another() -> Refusal {
    unreadable("send the document itself, without the hash or id of a stored one")
}
