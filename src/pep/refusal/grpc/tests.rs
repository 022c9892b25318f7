use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::*;
use crate::pep::request_id::RequestId;

fn respond(refusal: Refusal, call: Option<GrpcCall>) -> Response<Body> {
    let metadata = "https://gate.example/.well-known/oauth-protected-resource";
    refusal.to(call).respond(metadata, &RequestId::of("r-1"))
}

/// The message that a refusal has.
#[track_caller]
fn check(refusal: Refusal, expected: &str) {
    let response = respond(refusal, Some(GrpcCall::Head));
    assert_eq!(response.headers()["grpc-message"], expected);
}

/// `reason: code` for every reason there is.
#[test]
fn every_reason_has_its_code() {
    let lines: Vec<String> = DenyReason::ALL
        .iter()
        .map(|reason| {
            let response = respond(Refusal::new(*reason, "why"), Some(GrpcCall::Head));
            let code = response.headers()["grpc-status"].to_str().unwrap();
            format!("{reason} {code}")
        })
        .collect();
    let expected = "approval_required 7
audit_unavailable 14
budget_exhausted 8
condition_denied 7
grant_required 7
input_invalid 3
mfa_required 7
not_entitled 7
operation_unknown 12
overloaded 14
path_ambiguous 3
proof_invalid 16
proof_required 16
rate_limited 8
request_malformed 3
stale 14
task_ended 16
timeout 4
token_expired 16
token_invalid 16
token_missing 16
too_large 8
upstream_timeout 4
upstream_unreachable 14";
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn the_message_names_what_happened_and_the_next_step() {
    let refused = |reason| Refusal::new(reason, "why");
    check(refused(DenyReason::NotEntitled), "not_entitled: why");
    check(
        refused(DenyReason::ConditionDenied)
            .with_rules(&["refund-limit".into(), "other".into()])
            .with_internal("secret"),
        "condition_denied: why (rule `refund-limit`)",
    );
    check(
        refused(DenyReason::Stale).with_retry_after(1),
        "stale: why; next: come again in 1 s",
    );
    let requests = |approval: bool| {
        json!({
            "request_url": "https://c/v1/requests",
            "authorization_details": [{"type": "portcullis_grant", "entitlement": "refunds", "task": "t-1"}],
            "approval": approval,
        })
    };
    check(
        refused(DenyReason::GrantRequired)
            .with_scope("refunds")
            .with_next(requests(false)),
        "grant_required: why; next: the entitlement `refunds` at https://c/v1/requests",
    );
    check(
        refused(DenyReason::ApprovalRequired).with_next(requests(true)),
        "approval_required: why; next: the entitlement `refunds` at https://c/v1/requests, for people to approve",
    );
    let mut without_task = requests(false);
    without_task["task_url"] = "https://c/v1/tasks".into();
    without_task["token_url"] = "https://c/oauth/token".into();
    check(
        refused(DenyReason::GrantRequired).with_next(without_task),
        "grant_required: why; next: a task at https://c/v1/tasks, a token for it at https://c/oauth/token, \
         the entitlement `refunds` at https://c/v1/requests",
    );
}

/// What only a challenge tells of else; a proof that is missing beside the token, the detail tells.
#[test]
fn the_message_names_what_to_come_with() {
    let proof = || Refusal::new(DenyReason::ProofRequired, "why");
    check(proof(), "proof_required: why");
    check(proof().for_nonce(), "proof_required: why");
    check(
        proof().with_rules(&["keys".into()]),
        "proof_required: why (rule `keys`); next: a token bound by dpop",
    );
    check(
        proof().with_rules(&["keys".into()]).for_certificate(),
        "proof_required: why (rule `keys`); next: a token bound by mtls",
    );
}

#[tokio::test]
async fn nothing_else_of_the_response_changes() {
    let refusal = Refusal::new(DenyReason::InputInvalid, "`amount` is 100 % missing");
    let plain = respond(refusal.clone(), None);
    assert!(!plain.headers().contains_key("grpc-status"));
    let (plain, body) = plain.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut said = HeaderMap::new();
    said.insert("grpc-status", "3".parse().unwrap());
    let message = "input_invalid: `amount` is 100 %25 missing";
    said.insert("grpc-message", message.parse().unwrap());
    for (call, trailers) in [(GrpcCall::Head, None), (GrpcCall::Trailers, Some(&said))] {
        let (told, told_body) = respond(refusal.clone(), Some(call)).into_parts();
        assert_eq!(told.status, StatusCode::BAD_REQUEST);
        let mut headers = plain.headers.clone();
        headers.extend(said.clone());
        assert_eq!(told.headers, headers);
        let told = told_body.collect().await.unwrap();
        assert_eq!(told.trailers(), trailers);
        let told = told.to_bytes();
        assert_eq!(told, body);
        let problem: Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(problem["code"], "input_invalid");
    }
}
