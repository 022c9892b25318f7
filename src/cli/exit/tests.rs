use anyhow::anyhow;
use axum::Router;
use axum::routing::get;
use http::StatusCode;

use super::*;
use crate::cli::client::Call;
use crate::cli::testing::client_of;

/// The code, the words and the document of an answer.
async fn told(status: StatusCode, body: &'static str) -> (u8, String, Value) {
    let router = Router::new().route("/x", get(async move || (status, body)));
    let refused = client_of(router).await.send(Call::get("/x")).await;
    // As commands have it: with words of their own around it.
    let error = anyhow::Error::from(refused.unwrap_err()).context("no token for `demo-bot`");
    let known = error.downcast_ref::<ClientError>();
    (code(known), text(&error, known), document(&error, known))
}

#[tokio::test]
async fn what_waits_for_a_person_has_its_own_code() {
    let body = r#"{"error": "authorization_pending", "auth_req_id": "r1"}"#;
    let (code, text, document) = told(StatusCode::BAD_REQUEST, body).await;
    assert_eq!(code, 3);
    assert!(text.contains("auth req id: r1"), "{text}");
    assert_eq!(document["auth_req_id"], "r1");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_place_and_a_hint() {
    let body = r#"{"error": "invalid_client", "error_description": "unknown key"}"#;
    let (code, text, document) = told(StatusCode::UNAUTHORIZED, body).await;
    assert_eq!(code, 1);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "error: no token for `demo-bot`: the gateway refuses: unknown key \
         (invalid_client, status 401)"
    );
    assert!(
        lines[1].starts_with("  at: GET http://127.0.0.1:"),
        "{text}"
    );
    assert!(lines[2].starts_with("hint: "), "{text}");
    assert_eq!(document["error"], "invalid_client");
}

#[test]
fn other_errors_are_told_with_their_causes() {
    let error = anyhow!("no such file").context("the key `a\u{1b}[2Jb` can't be used");
    assert_eq!(code(None), 1);
    assert_eq!(
        text(&error, None),
        "error: the key `a[2Jb` can't be used: no such file"
    );
    assert!(document(&error, None).get("hint").is_none());
}
