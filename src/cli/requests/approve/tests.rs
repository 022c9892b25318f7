use std::sync::{Arc, Mutex};

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;

use super::*;
use crate::cli::testing::control_of;

fn request(id: &str, mfa: bool) -> Value {
    json!({
        "id": id, "state": "pending", "agent": "bot\u{1b}[31m", "entitlement": "refunds",
        "operations": ["orders.refund"], "duration_seconds": 60, "digest": format!("digest-of-{id}"),
        "approval": { "mfa": mfa },
    })
}

fn args(ids: &[&str], totp: Option<&str>) -> ApproveArgs {
    ApproveArgs {
        ids: ids.iter().map(|id| id.parse().unwrap()).collect(),
        totp: totp.map(str::to_owned),
        duration: None,
        comment: None,
        yes: true,
    }
}

/// What a control side got, whose request `req_no` it refuses to approve.
async fn approved(args: ApproveArgs) -> (Vec<Value>, ExitCode) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&got);
    let show = async |Path(id): Path<String>| Json(request(&id, id == "req_mfa"));
    let approve = async move |Path(id): Path<String>, Json(body): Json<Value>| {
        keep.lock().unwrap().push(body);
        if id == "req_no" {
            let no = json!({ "code": "self_approval", "detail": "not yours" });
            return (StatusCode::FORBIDDEN, Json(no));
        }
        (StatusCode::OK, Json(json!({ "id": id, "state": "active" })))
    };
    let router = Router::new()
        .route("/v1/requests/{id}", get(show))
        .route("/v1/requests/{id}/approve", post(approve));
    let control = control_of(router).await;
    let code = run(&args, &control, Output::Json).await.unwrap();
    let got = got.lock().unwrap().clone();
    (got, code)
}

#[tokio::test]
async fn each_is_approved_by_the_digest_that_was_shown() {
    let (got, code) = approved(args(&["req_1", "req_mfa"], Some("123456"))).await;
    assert_eq!(got[0]["digest"], "digest-of-req_1");
    assert_eq!(
        got[0]["totp"],
        Value::Null,
        "a code is not spent for nothing"
    );
    assert_eq!(got[1]["digest"], "digest-of-req_mfa");
    assert_eq!(got[1]["totp"], "123456");
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[tokio::test]
async fn a_refusal_of_one_leaves_the_others_and_shows_in_the_exit_code() {
    let (got, code) = approved(args(&["req_no", "req_1"], None)).await;
    assert_eq!(got.len(), 2);
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(1)));
}

#[test]
fn the_table_says_what_is_approved_and_nothing_a_terminal_obeys() {
    let text = table([request("req_1", false)].iter());
    for part in ["req_1", "refunds", "orders.refund", "60", "digest-of-re"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\u{1b}'));
}
