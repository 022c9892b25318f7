use super::*;

fn name(text: &str) -> HeaderName {
    HeaderName::from_bytes(text.as_bytes()).unwrap()
}

#[test]
fn look_alikes_of_identity_headers() {
    for caught in [
        "X-Forwarded-User",
        "x_forwarded_user",
        "X-Auth-Request-Email",
        "X-WebAuth-User",
        "X-Tenant-Id",
        "X-Company-Roles",
        "Portcullis-Agent",
        "Forwarded",
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "X-Real-IP",
    ] {
        assert!(is_identity_look_alike(&name(caught)), "{caught}");
    }
    for free in [
        "Accept",
        "X-Request-Id",
        "X-Correlation-Id",
        "Idempotency-Key",
        "X-Api-Version",
        "Traceparent",
    ] {
        assert!(!is_identity_look_alike(&name(free)), "{free}");
    }
}

#[test]
fn connection_lists_names_over_several_lines() {
    let mut headers = HeaderMap::new();
    headers.append("connection", "Close, X-Secret".parse().unwrap());
    headers.append("connection", " portcullis-agent ,,".parse().unwrap());
    let listed: Vec<_> = connection_listed(&headers).collect();
    assert_eq!(listed, ["close", "x-secret", "portcullis-agent"]);
}
