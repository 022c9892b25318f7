use super::*;

const METADATA: &str = "https://gate.example/.well-known/oauth-protected-resource";

/// `reason: status, challenge` for every reason there is.
#[test]
fn every_reason_has_its_status_and_challenge() {
    let lines: Vec<String> = DenyReason::ALL
        .iter()
        .map(|reason| {
            let refusal = Refusal::new(*reason, "why").with_scope("refunds");
            let response = refusal.respond(METADATA, &RequestId::of("r-1"));
            let challenge = response.headers().get(header::WWW_AUTHENTICATE);
            let challenge = challenge.map_or("-", |value| value.to_str().unwrap());
            let challenge = challenge.replace(METADATA, "…");
            format!("{reason} {} {challenge}", response.status().as_u16())
        })
        .collect();
    let expected = r#"approval_required 403 -
audit_unavailable 503 -
budget_exhausted 403 -
condition_denied 403 -
grant_required 403 Bearer error="insufficient_scope", scope="refunds", resource_metadata="…"
input_invalid 400 -
mfa_required 403 -
not_entitled 403 -
operation_unknown 404 -
overloaded 503 -
path_ambiguous 400 -
proof_invalid 401 DPoP algs="ES256 EdDSA PS256 RS256", error="invalid_dpop_proof"
proof_required 401 DPoP algs="ES256 EdDSA PS256 RS256"
rate_limited 429 -
request_malformed 400 -
stale 503 -
task_ended 401 Bearer resource_metadata="…", error="invalid_token", error_description="why"
timeout 408 -
token_expired 401 Bearer resource_metadata="…", error="invalid_token", error_description="why"
token_invalid 401 Bearer resource_metadata="…", error="invalid_token", error_description="why"
token_missing 401 Bearer resource_metadata="…"
too_large 413 -
upstream_timeout 504 -
upstream_unreachable 502 -"#;
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn a_missing_nonce_and_a_missing_certificate_have_challenges_of_their_own() {
    let check = |refusal: Refusal, wants_proof: bool, expected: &str| {
        let response = refusal.respond(METADATA, &RequestId::of("r-1"));
        let challenge = response.headers()[header::WWW_AUTHENTICATE]
            .to_str()
            .unwrap();
        assert_eq!(challenge.replace(METADATA, "…"), expected);
        assert_eq!(refusal.wants_proof(), wants_proof);
    };
    let required = || Refusal::new(DenyReason::ProofRequired, "why");
    check(
        required().for_nonce(),
        true,
        r#"DPoP algs="ES256 EdDSA PS256 RS256", error="use_dpop_nonce""#,
    );
    check(
        required().for_certificate(),
        false,
        r#"Bearer resource_metadata="…", error="invalid_token", error_description="why""#,
    );
}

#[tokio::test]
async fn the_body_is_a_problem_document_that_names_the_rule() {
    use http_body_util::BodyExt as _;

    let refusal = Refusal::new(DenyReason::ConditionDenied, "refunds stop at 500")
        .with_rules(&["refund-limit".into()])
        .with_internal("secret detail");
    let response = refusal.respond(METADATA, &RequestId::of("r-1"));
    assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    assert_eq!(response.headers()[REQUEST_ID], "r-1");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let problem: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        problem,
        serde_json::json!({
            "type": "urn:portcullis:refusal:condition_denied",
            "title": "A rule does not allow this now",
            "status": 403,
            "detail": "refunds stop at 500",
            "code": "condition_denied",
            "request_id": "r-1",
            "rule": "refund-limit",
        })
    );
}
