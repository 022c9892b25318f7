use http_body_util::BodyExt as _;

use super::*;

async fn answer(error: OAuthError) -> (Response, Value) {
    let (parts, body) = error.into_response().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap();
    (Response::from_parts(parts, axum::body::Body::empty()), body)
}

#[tokio::test]
async fn each_error_has_its_status_and_challenge() {
    let table = [
        (OAuthError::invalid_request("no"), 400, None),
        (OAuthError::new("invalid_target", "no"), 400, None),
        (OAuthError::too_large(8), 413, None),
        (OAuthError::too_slow(Duration::from_secs(1)), 408, None),
        (OAuthError::unavailable("no"), 503, None),
        (OAuthError::server("no"), 500, None),
        (
            OAuthError::invalid_client(),
            401,
            Some(r#"Bearer error="invalid_client""#),
        ),
        (
            OAuthError::invalid_client().with_scheme("Basic"),
            401,
            Some(r#"Basic realm="portcullis""#),
        ),
        (
            OAuthError::invalid_client().with_scheme("DPoP"),
            401,
            Some(r#"DPoP error="invalid_client""#),
        ),
    ];
    for (error, status, challenge) in table {
        let code = error.code;
        let (response, body) = answer(error).await;
        let headers = response.headers();
        let sent = headers.get(header::WWW_AUTHENTICATE);
        let sent = sent.map(|value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), sent), (status, challenge));
        assert_eq!(body["error"], code);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::PRAGMA], "no-cache");
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    }
}

#[tokio::test]
async fn a_description_has_only_what_the_standard_allows() {
    let error = OAuthError::invalid_request("a \"b\" \\ c\u{7}\u{e9}").with("interval", 5);
    let (response, body) = answer(error.with_nonce("n".to_owned())).await;
    assert_eq!(body["error_description"], "a 'b' ' c??");
    assert_eq!(body["interval"], 5);
    assert_eq!(response.headers()[DPOP_NONCE], "n");
}
