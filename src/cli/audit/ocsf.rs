//! A record as an event of the Open Cybersecurity Schema Framework, version 1.4
//! (<https://schema.ocsf.io/1.4.0>).

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

const VERSION: &str = "1.4.0";

/// The classes that records belong to.
const APPLICATION_LIFECYCLE: i64 = 6002;
const API_ACTIVITY: i64 = 6003;
const AUTHENTICATION: i64 = 3002;
const USER_ACCESS: i64 = 3005;

const OTHER: i64 = 99;

/// The event that a record is. What OCSF has no place for is in `unmapped`.
pub(super) fn event(record: &Value) -> Value {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let (class, activity) = class(record);
    let failed = text("verdict") == Some("deny");
    let (status, severity) = match text("verdict") {
        Some("deny") => (2, 2),
        Some(_) => (1, 1),
        None => (0, 1),
    };
    let time: Option<Timestamp> = text("time").and_then(|time| time.parse().ok());
    let mut event = Map::new();
    let mut add = |name: &str, value: Value| {
        if !value.is_null() {
            event.insert(name.to_owned(), value);
        }
    };
    add("activity_id", activity.into());
    add("category_uid", (class / 1000).into());
    add("class_uid", class.into());
    add("type_uid", (class * 100 + activity).into());
    add("severity_id", severity.into());
    add("status_id", status.into());
    add("status_code", text("code").into());
    add("time", time.map(Timestamp::as_millisecond).into());
    add("duration", duration(record));
    add(
        "metadata",
        json!({
            "version": VERSION,
            "product": { "name": "Portcullis", "vendor_name": "Portcullis" },
            "uid": record.get("hash").or_else(|| record.get("seq")),
            "sequence": record.get("seq"),
            "correlation_uid": text("trace_id"),
            "profiles": ["security_control"],
        }),
    );
    add("actor", actor(record));
    let denied = if failed {
        (2, "Denied")
    } else {
        (1, "Allowed")
    };
    if status != 0 {
        add("action_id", denied.0.into());
        add("action", denied.1.into());
    }
    add("message", text("detail").into());
    match class {
        API_ACTIVITY => {
            let operation = text("operation").or_else(|| text("kind"));
            add(
                "api",
                json!({
                    "operation": operation,
                    "service": { "name": text("service") },
                    "request": { "uid": text("request_id").unwrap_or_default() },
                    "response": { "code": record.get("status"), "error": text("code") },
                }),
            );
            add("src_endpoint", json!({ "ip": text("source") }));
            if let Some(method) = text("method") {
                let url = json!({ "hostname": text("host"), "path": text("path") });
                add("http_request", json!({ "http_method": method, "url": url }));
            }
        }
        AUTHENTICATION | USER_ACCESS => {
            add("user", user(text("agent")));
            if let Some(entitlement) = text("entitlement") {
                add("privileges", json!([entitlement]));
            }
            add("src_endpoint", json!({ "ip": text("source") }));
        }
        _ => add(
            "app",
            json!({ "name": "Portcullis", "vendor_name": "Portcullis" }),
        ),
    }
    add("unmapped", unmapped(record));
    Value::Object(event)
}

/// Class and activity.
fn class(record: &Value) -> (i64, i64) {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("kind") {
        "call" | "open" => {
            let activity = match text("method") {
                "POST" => 1,
                "GET" | "HEAD" => 2,
                "PATCH" | "PUT" => 3,
                "DELETE" => 4,
                _ => OTHER,
            };
            (API_ACTIVITY, activity)
        }
        "grant" if record.get("end").is_some() => (USER_ACCESS, 2),
        "grant" => (USER_ACCESS, 1),
        "request" => (USER_ACCESS, OTHER),
        "token" => (AUTHENTICATION, OTHER),
        "start" => (APPLICATION_LIFECYCLE, 3),
        "stop" => (APPLICATION_LIFECYCLE, 4),
        _ => (API_ACTIVITY, OTHER),
    }
}

fn actor(record: &Value) -> Value {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let mut actor = Map::new();
    if let Some(name) = text("person").or_else(|| text("agent")) {
        actor.insert("user".to_owned(), user(Some(name)));
    }
    if let Some(task) = text("task") {
        actor.insert("session".to_owned(), json!({ "uid": task }));
    }
    if actor.is_empty() {
        actor.insert("app_name".to_owned(), "Portcullis".into());
    }
    actor.into()
}

fn user(name: Option<&str>) -> Value {
    json!({ "name": name, "uid": name })
}

/// Milliseconds.
fn duration(record: &Value) -> Value {
    let micros = record.get("duration_micros").and_then(Value::as_u64);
    micros.map(|micros| micros / 1000).into()
}

fn unmapped(record: &Value) -> Value {
    let names = [
        "kind",
        "task",
        "grant",
        "request",
        "entitlement",
        "rules",
        "generation",
        "end",
        "bytes_in",
        "bytes_out",
        "asked",
    ];
    let there = names.iter().filter_map(|name| {
        let value = record.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    Value::Object(there.collect())
}
