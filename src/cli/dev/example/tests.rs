use http_body_util::BodyExt as _;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;

use super::*;

/// Calls the service without a socket.
async fn call(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Value) {
    let response = respond(router, method, path, headers, body).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn respond(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(axum::body::Body::from(body.to_owned()))
        .unwrap();
    let service = TowerToHyperService::new(router.clone());
    hyper::service::Service::call(&service, request)
        .await
        .unwrap()
}

fn fresh() -> Router {
    router(Clock::manual(Timestamp::UNIX_EPOCH).0)
}

#[tokio::test]
async fn answers_have_the_status_that_is_due() {
    const REFUND: &str = r#"{"amount": 40, "currency": "EUR", "reason": "scratched"}"#;
    let router = fresh();
    for (method, path, body, expected) in [
        ("GET", "/healthz", "", 200),
        ("GET", "/status", "", 200),
        ("GET", "/orders", "", 200),
        ("GET", "/orders/status", "", 200),
        ("GET", "/orders?status=paid", "", 200),
        ("GET", "/orders?status=lost", "", 422),
        ("GET", "/orders/1003", "", 200),
        ("GET", "/orders/9999", "", 404),
        ("POST", "/orders/1003/refunds", REFUND, 201),
        ("POST", "/orders/9999/refunds", REFUND, 404),
        ("POST", "/orders/1003/refunds", "{", 422),
        (
            "POST",
            "/orders/1003/refunds",
            r#"{"amount": 0, "currency": "EUR"}"#,
            422,
        ),
        (
            "POST",
            "/orders/1003/refunds",
            r#"{"amount": -4, "currency": "EUR"}"#,
            422,
        ),
        (
            "POST",
            "/orders/1003/refunds",
            r#"{"amount": 4, "currency": "USD"}"#,
            422,
        ),
        (
            "POST",
            "/orders/1003/refunds",
            r#"{"amount": 1e3, "currency": "EUR"}"#,
            422,
        ),
        (
            "POST",
            "/orders/1003/refunds",
            r#"{"amount": 24001, "currency": "EUR"}"#,
            409,
        ),
        ("PUT", "/orders/1002/hold", "", 200),
        ("DELETE", "/orders/1002/hold", "", 200),
        ("DELETE", "/orders/1001/hold", "", 409),
        ("PUT", "/orders/1001/hold", "", 409),
        ("GET", "/deployments", "", 200),
        ("GET", "/deployments/dep_1", "", 200),
        ("GET", "/deployments/dep_9", "", 404),
        (
            "POST",
            "/deployments",
            r#"{"service": "checkout", "version": "4.2.0"}"#,
            202,
        ),
        (
            "POST",
            "/deployments",
            r#"{"service": "", "version": "4.2.0"}"#,
            422,
        ),
        ("POST", "/deployments", r#"{"service": "checkout"}"#, 422),
        ("GET", "/deployments/dep_9/log", "", 404),
        ("GET", "/nowhere", "", 404),
    ] {
        let (status, document) = call(&router, method, path, &[], body).await;
        assert_eq!(status, expected, "{method} {path} {body}: {document}");
    }
}

#[tokio::test]
async fn a_refund_changes_the_order_until_all_is_paid_back() {
    let router = fresh();
    let refund = |amount: i64| json!({ "amount": amount, "currency": "EUR" }).to_string();
    let path = "/orders/1001/refunds";
    let (status, first) = call(&router, "POST", path, &[], &refund(60)).await;
    assert_eq!((status, &first["order"]["refunded"]), (201, &json!(60)));
    let (status, _) = call(&router, "POST", path, &[], &refund(30)).await;
    assert_eq!(status, 409);
    let (status, _) = call(&router, "POST", path, &[], &refund(29)).await;
    assert_eq!(status, 201);
    let (_, order) = call(&router, "GET", "/orders/1001", &[], "").await;
    assert_eq!(order["order"]["status"], "refunded");
    assert_eq!(order["order"]["refunds"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn answers_show_what_the_gateway_told() {
    let headers = [
        ("portcullis-agent", "demo-bot"),
        ("portcullis-task", "tsk_1"),
        ("portcullis-grant", "grt_1"),
        ("portcullis-request-id", "req_1"),
    ];
    let expected = json!({
        "agent": "demo-bot", "task": "tsk_1", "grant": "grt_1", "request_id": "req_1",
    });
    for path in [
        "/orders",
        "/orders/1003",
        "/orders/9999",
        "/deployments",
        "/nowhere",
    ] {
        let (_, document) = call(&fresh(), "GET", path, &headers, "").await;
        assert_eq!(document["seen"], expected, "{path}");
    }
}

#[tokio::test]
async fn a_token_that_gets_through_is_a_fault() {
    for path in ["/orders", "/healthz", "/nowhere"] {
        let header = [("authorization", "Bearer x")];
        let (status, _) = call(&fresh(), "GET", path, &header, "").await;
        assert_eq!(status, 400, "{path}");
    }
}

#[tokio::test]
async fn deployments_finish_in_time_and_only_the_last_are_kept() {
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    let router = router(clock);
    let body = r#"{"service": "checkout", "version": "4.2.0"}"#;
    let (_, started) = call(&router, "POST", "/deployments", &[], body).await;
    let path = format!(
        "/deployments/{}",
        started["deployment"]["id"].as_str().unwrap()
    );
    let (_, before) = call(&router, "GET", &path, &[], "").await;
    assert_eq!(before["deployment"]["state"], "rolling_out");
    hand.advance(std::time::Duration::from_secs(300));
    let (_, after) = call(&router, "GET", &path, &[], "").await;
    assert_eq!(after["deployment"]["state"], "done");

    for _ in 0..80 {
        call(&router, "POST", "/deployments", &[], body).await;
    }
    let (_, all) = call(&router, "GET", "/deployments", &[], "").await;
    assert_eq!(all["deployments"].as_array().unwrap().len(), 64);
}

#[tokio::test]
async fn the_log_is_an_event_stream_whose_first_event_comes_at_once() {
    let response = respond(&fresh(), "GET", "/deployments/dep_2/log", &[], "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(
        first.starts_with(b"id: 1\nevent: log\ndata: {"),
        "{first:?}"
    );
    assert!(first.ends_with(b"\n\n"), "{first:?}");
}

#[tokio::test]
async fn the_log_ends_after_its_last_event() {
    let pace = std::time::Duration::from_micros(1);
    let events = log::Log::new("checkout", "4.2.0", pace, 3).collect().await;
    let text = events.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    assert_eq!(text.matches("\n\n").count(), 3, "{text}");
    assert!(text.contains("3 of 3"), "{text}");
}

#[tokio::test]
async fn it_listens_where_it_says() {
    let (address, service) = start(([127, 0, 0, 1], 0).into(), Clock::system())
        .await
        .unwrap();
    let service = tokio::spawn(service);
    let client =
        crate::cli::client::Client::open(format!("http://{address}").parse().unwrap(), None)
            .unwrap();
    let call = crate::cli::client::Call::get("/orders/1003");
    let answer = client.send(call).await.unwrap();
    assert_eq!(answer["order"]["total"], 24_000);

    // The port is taken now, and the message says which.
    let Err(error) = start(address, Clock::system()).await else {
        panic!("two services on one port");
    };
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    service.abort();
}

#[tokio::test]
async fn every_shipped_operation_has_something_behind_it() {
    let shipped: toml::Table = include_str!("../../../../policies/operations.toml")
        .parse()
        .unwrap();
    for operation in shipped["operation"].as_array().unwrap() {
        let route = operation["route"].as_str().unwrap();
        let (method, path) = route.split_once(' ').unwrap();
        let path = path
            .replace("{order_id}", "1002")
            .replace("{deployment_id}", "dep_2");
        let body = r#"{"service": "x", "version": "1"}"#;
        let response = respond(&fresh(), method, &path, &[], body).await;
        // A refund is not made of that body; all else succeeds.
        let refund = operation["id"].as_str() == Some("orders.refund");
        let status = response.status();
        assert!(
            status.is_success() || (refund && status == 422),
            "{route}: {status}"
        );
    }
}
