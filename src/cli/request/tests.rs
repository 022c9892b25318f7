use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use serde_json::json;

use super::*;
use crate::cli::testing::control_of;

#[test]
fn inputs_are_text_unless_they_say_that_they_are_json() {
    for (text, expected) in [
        ("order_id=1003", Some(("order_id", json!("1003")))),
        ("amount:=120", Some(("amount", json!(120)))),
        ("urgent:=true", Some(("urgent", json!(true)))),
        ("note=a=b", Some(("note", json!("a=b")))),
        ("note=", Some(("note", json!("")))),
        ("amount:=12x", None),
        ("=x", None),
        (":=1", None),
        ("order_id", None),
    ] {
        let arg = text.parse::<InputArg>().ok();
        let expected = expected.map(|(name, value)| InputArg {
            name: name.to_owned(),
            value,
        });
        assert_eq!(arg, expected, "{text}");
    }
}

#[test]
fn the_state_of_a_request_is_the_exit_code() {
    for (state, expected) in [
        ("active", 0),
        ("pending", 3),
        ("declined", 1),
        ("expired", 1),
        ("withdrawn", 1),
        ("ended", 1),
    ] {
        assert_eq!(exit_code(&json!({ "state": state })), expected, "{state}");
    }
}

/// Follows a pending request through the answers that looks at it get, one after the other.
async fn followed(answers: Vec<(u16, Value)>) -> (usize, anyhow::Result<Value>) {
    let looks = Arc::new(Mutex::new((0, answers)));
    let seen = Arc::clone(&looks);
    let look = async move || {
        let mut looks = looks.lock().unwrap();
        looks.0 += 1;
        let (status, document) = match looks.1.len() {
            1 => looks.1[0].clone(),
            _ => looks.1.remove(0),
        };
        (StatusCode::from_u16(status).unwrap(), document.to_string())
    };
    let control = control_of(Router::new().route("/v1/requests/req_1", get(look))).await;
    let pending = json!({ "id": "req_1", "state": "pending" });
    let outcome = follow(&control, Binding::None, pending, Duration::ZERO).await;
    let looks = seen.lock().unwrap().0;
    (looks, outcome)
}

#[tokio::test]
async fn a_request_is_followed_until_it_is_decided() {
    let pending = json!({ "id": "req_1", "state": "pending" });
    let active = json!({ "id": "req_1", "state": "active" });
    let (looks, outcome) = followed(vec![
        (200, pending.clone()),
        (503, json!({ "code": "overloaded" })),
        (200, pending),
        (200, active.clone()),
    ])
    .await;
    assert_eq!((looks, outcome.unwrap()), (4, active));
}

#[tokio::test]
async fn a_refusal_ends_the_wait_and_so_does_a_gateway_that_stays_away() {
    let (looks, outcome) = followed(vec![(404, json!({ "code": "not_found" }))]).await;
    assert!(outcome.is_err() && looks == 1, "{looks}");
    let (looks, outcome) = followed(vec![(503, json!({}))]).await;
    assert!(outcome.is_err() && looks == 16, "{looks}");
}

#[tokio::test]
async fn an_id_that_is_none_is_not_put_into_a_path() {
    let control = control_of(Router::new()).await;
    for id in ["../../oauth/revoke", "", "a?b"] {
        let pending = json!({ "id": id, "state": "pending" });
        let outcome = follow(&control, Binding::None, pending, Duration::ZERO).await;
        assert!(outcome.is_err(), "{id}");
    }
}

#[test]
fn a_request_is_shown_as_one_aligned_table() {
    let request = json!({ "id": "req_1", "duration_seconds": 600, "grant": { "id": "grt_1" } });
    let shown = "id                req_1\nduration seconds  600\ngrant             grt_1\n";
    assert_eq!(describe(&request).trim_end(), shown.trim_end());
    let request = json!({ "id": "req_1", "grant": "grt_1" });
    assert_eq!(describe(&request).trim_end(), "id     req_1\ngrant  grt_1");
}
