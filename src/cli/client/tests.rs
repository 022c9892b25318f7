use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::cli::testing::client_of;

/// A server that says the same bytes to everybody, and then hangs up or holds the line.
async fn client_of_bytes(answer: Vec<u8>, hold: bool) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(&answer).await;
        if hold {
            std::future::pending::<()>().await;
        }
    });
    Client::open(format!("http://{address}").parse().unwrap(), None).unwrap()
}

/// The error's words, and its hint's.
async fn refusal_of(status: u16, kind: &'static str, body: &'static str) -> (String, String) {
    let answer = move || async move {
        let status = StatusCode::from_u16(status).unwrap();
        (status, [("content-type", kind)], body).into_response()
    };
    let client = client_of(Router::new().route("/x", get(answer))).await;
    let error = client.send(Call::get("/x")).await.unwrap_err();
    let hint = error.hint().unwrap_or_default().to_owned();
    (error.to_string(), hint)
}

#[tokio::test]
async fn errors_say_what_was_refused_and_what_to_do() {
    let problem = "application/problem+json";
    let json = "application/json";
    for (status, kind, body, expected, hint) in [
        (
            403,
            problem,
            r#"{"title": "Condition", "detail": "open a task of kind refund",
                "code": "condition_denied"}"#,
            "the gateway refuses: open a task of kind refund (condition_denied, status 403)",
            "",
        ),
        (
            401,
            problem,
            r#"{"title": "Token", "detail": "the task is over", "code": "task_ended"}"#,
            "the gateway refuses: the task is over (task_ended, status 401)",
            "task open",
        ),
        (
            401,
            json,
            r#"{"error": "invalid_client"}"#,
            "the gateway refuses (invalid_client, status 401)",
            "agent list",
        ),
        (
            400,
            json,
            r#"{"error": "authorization_pending", "auth_req_id": "r", "interval": 5}"#,
            "the gateway refuses (authorization_pending, status 400)",
            "requests list",
        ),
        (
            400,
            json,
            r#"{"error": "invalid_request", "error_description": "no\u001b[31m such task"}"#,
            "the gateway refuses: no[31m such task (invalid_request, status 400)",
            "",
        ),
        (
            502,
            "text/html",
            "<h1>Bad",
            "the gateway refuses: <h1>Bad (status 502)",
            "log",
        ),
        (404, json, "", "the gateway refuses (status 404)", ""),
    ] {
        let (text, said) = refusal_of(status, kind, body).await;
        assert_eq!(text, expected);
        assert!(said.contains(hint), "{text}: {said}");
    }
}

#[test]
fn notes_name_the_place_the_rule_and_the_next_step() {
    let body = json!({
        "detail": "x", "code": "condition_denied", "rule": "refund-limit\u{1b}[2J",
        "request_id": "req_1", "next": { "approval": true },
        "diagnostics": [
            { "file": "a.cedar", "line": 3, "column": 7, "message": "odd", "hint": "even" },
        ],
    });
    let place = "POST http://gate/v1/x".to_owned();
    let refusal = Refusal::read(place, StatusCode::FORBIDDEN, body.to_string().as_bytes());
    assert_eq!(
        refusal.notes(),
        [
            "at: POST http://gate/v1/x",
            "rule: refund-limit[2J",
            "next: {\"approval\":true}",
            "request id: req_1",
            "a.cedar:3:7: odd (hint: even)",
        ]
    );
    assert_eq!(refusal.document(), &body);
}

#[tokio::test]
async fn what_is_no_control_side_is_not_taken_for_one() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://other/\r\ncontent-length: 0\r\n\r\n";
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"a\":";
    for (bytes, expected) in [
        (ok, "did not answer with JSON (status 200)"),
        (moved, "did not answer with JSON (status 302)"),
        (short, "broke off"),
        ("\u{16}\u{3}\u{1}", "broke off"),
        ("", "broke off"),
    ] {
        let client = client_of_bytes(bytes.into(), false).await;
        let error = client.send(Call::get("/x")).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{bytes:?}: {error}");
        assert!(error.hint().unwrap().contains("--control"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let mut flood = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    flood.resize(flood.len() + LARGEST_ANSWER + 1, b' ');
    let client = client_of_bytes(flood, true).await;
    let error = client.send(Call::get("/x")).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge(_)), "{error}");
}

#[tokio::test]
async fn silence_is_given_up() {
    let client = client_of_bytes(Vec::new(), true).await;
    let call = Call::get("/x").within(Duration::from_millis(20));
    let error = client.send(call).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout(..)), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_with_where() {
    // Bound, and not listened to: nobody else gets the port, and nobody answers.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let client = Client::open(url.parse().unwrap(), None).unwrap();
    let error = client.send(Call::get("/x")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{url}` can't be reached"));
}

#[tokio::test]
async fn calls_carry_what_they_were_given() {
    async fn echo(headers: http::HeaderMap, body: String) -> String {
        let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        json!({
            "body": body,
            "type": text("content-type"),
            "authorization": text("authorization"),
            "agent": text("user-agent"),
        })
        .to_string()
    }
    let client = client_of(Router::new().route("/x", post(echo))).await;
    let key = Secret::new("pk_1".to_owned());
    let call = Call::post("/x").json(&json!({ "a": 1 })).bearer(&key);
    let seen = client.send(call).await.unwrap();
    assert_eq!(seen["body"], r#"{"a":1}"#);
    assert_eq!(seen["type"], "application/json");
    assert_eq!(seen["authorization"], "Bearer pk_1");

    let call = Call::post("/x").form(&[("scope", "a b"), ("x", "ü&=+/")]);
    let seen = client.send(call).await.unwrap();
    assert_eq!(seen["body"], "scope=a%20b&x=%C3%BC%26%3D%2B%2F");
    assert_eq!(seen["type"], "application/x-www-form-urlencoded");
    assert_eq!(seen["authorization"], Value::Null);

    let odd = Secret::new("pk_1\r\nx: y".to_owned());
    let error = client
        .send(Call::post("/x").bearer(&odd))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Malformed(_)), "{error}");
}

#[tokio::test]
async fn an_empty_success_is_null() {
    let none = Router::new().route("/x", post(async || StatusCode::NO_CONTENT));
    let answer = client_of(none).await.send(Call::post("/x")).await.unwrap();
    assert_eq!(answer, Value::Null);
}

#[test]
fn an_address_is_an_origin() {
    for (text, expected) in [
        ("https://localhost:8444", Some(("localhost", 8444, true))),
        ("https://gate.example/", Some(("gate.example", 443, true))),
        ("http://[::1]:80", Some(("::1", 80, false))),
        ("http://10.0.0.1", Some(("10.0.0.1", 80, false))),
        ("localhost:8444", None),
        ("gate.example", None),
        ("ftp://gate.example", None),
        ("https://user:pw@gate.example", None),
        ("https://gate.example/console", None),
        ("https://gate.example?x", None),
        ("https://", None),
        ("https://:8444", None),
        ("https://gate.example:99999", None),
        ("https://gate.example:", None),
        ("https://gate.example:0", None),
        ("", None),
    ] {
        let address = text.parse::<Address>().ok();
        let seen = address.as_ref().map(|a| (a.host.as_str(), a.port, a.tls));
        assert_eq!(seen, expected, "{text}");
    }
}

#[test]
fn only_this_very_origin_has_paths() {
    let address: Address = "https://gate.example:8444".parse().unwrap();
    for (url, expected) in [
        (
            "https://gate.example:8444/oauth/token",
            Some("/oauth/token"),
        ),
        ("https://gate.example:8444", None),
        ("https://gate.example:84444/oauth/token", None),
        ("https://gate.example:8444.evil.example/x", None),
        ("https://gate.example:8444@evil.example/x", None),
        ("http://gate.example:8444/oauth/token", None),
        ("https://gate.example:8444/x y", None),
        ("/oauth/token", None),
    ] {
        assert_eq!(address.path_of(url).as_deref(), expected, "{url}");
    }
}
