use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::cli::client::ClientError;
use crate::cli::control::{Binding, Caller, Control};
use crate::cli::dev::example::serve;
use crate::tokens::Algorithm;

/// What a control side of a test says, and the forms that reached its token endpoint.
#[derive(Clone, Default)]
struct Said {
    issuer: Option<String>,
    token_endpoint: Option<String>,
    refuse_tasks: bool,
    forms: Arc<Mutex<Vec<String>>>,
}

/// An agent `demo-bot`, facing a control side that says what it is told to.
async fn agent_of(said: Said) -> Identity {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let metadata = json!({
        "issuer": said.issuer.clone().unwrap_or_else(|| url.clone()),
        "token_endpoint": said.token_endpoint.clone().unwrap_or(format!("{url}/oauth/token")),
    });
    let token = move |form: String| async move {
        let refused = said.refuse_tasks && form.contains("&task=");
        said.forms.lock().unwrap().push(form);
        if refused {
            let error = json!({ "error": "invalid_request" });
            return (StatusCode::BAD_REQUEST, error.to_string());
        }
        let answer = json!({ "access_token": "a.b.c", "token_type": "Bearer", "expires_in": 300 });
        (StatusCode::OK, answer.to_string())
    };
    let show = async |headers: http::HeaderMap| {
        let bearer = headers["authorization"].to_str().unwrap().to_owned();
        json!({ "id": "t1", "bearer": bearer }).to_string()
    };
    let router = Router::new()
        .route(METADATA, get(async move || metadata.to_string()))
        .route("/oauth/token", post(token))
        .route("/v1/tasks/t1", get(show));
    tokio::spawn(serve(listener, router));
    let client = Client::open(url.parse().unwrap(), None).unwrap();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    Identity::new(client, "demo-bot".parse().unwrap(), key)
}

#[tokio::test]
async fn a_token_is_asked_for_with_an_assertion_and_no_secret() {
    let said = Said::default();
    let agent = agent_of(said.clone()).await;
    let task: TaskId = "tsk_1".parse().unwrap();
    let scope = ["orders-read", "refunds"].map(|id| id.parse().unwrap());
    let answer = agent.token(Some(&task), &scope).await.unwrap();
    assert_eq!(answer.token.expose(), "a.b.c");
    assert_eq!(answer.document["expires_in"], 300);

    let forms = said.forms.lock().unwrap();
    let form = &forms[0];
    assert!(form.starts_with("grant_type=client_credentials&client_assertion_type=urn%3Aietf"));
    assert!(
        form.ends_with("&task=tsk_1&scope=orders-read%20refunds"),
        "{form}"
    );
    let (_, assertion) = form.split_once("client_assertion=").unwrap();
    let assertion = assertion.split('&').next().unwrap();
    assert!(assertion.split('.').count() >= 3, "{assertion}");
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_believed() {
    for (issuer, token_endpoint, expected) in [
        (
            Some("https://evil.example"),
            None,
            "calls itself `https://evil.example`",
        ),
        (None, Some("https://evil.example/oauth/token"), "is not at"),
    ] {
        let said = Said {
            issuer: issuer.map(str::to_owned),
            token_endpoint: token_endpoint.map(str::to_owned),
            ..Said::default()
        };
        let error = agent_of(said.clone())
            .await
            .token(None, &[])
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(said.forms.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_task_that_is_over_is_looked_at_without_a_token_of_its_own() {
    let said = Said {
        refuse_tasks: true,
        ..Said::default()
    };
    let control = Control::new(Caller::Agent(Box::new(agent_of(said.clone()).await)));
    let task: TaskId = "t1".parse().unwrap();
    let binding = Binding::TaskIfOpen(&task);
    let shown = control.get(binding, "/v1/tasks/t1").await.unwrap();
    assert_eq!(shown["bearer"], "Bearer a.b.c");
    assert_eq!(said.forms.lock().unwrap().len(), 2);

    let error = control
        .get(Binding::Task(&task), "/v1/tasks/t1")
        .await
        .unwrap_err();
    let refusal = error.downcast_ref().and_then(ClientError::refusal).unwrap();
    assert_eq!(refusal.code, "invalid_request");
}

#[test]
fn a_token_response_holds_one_word() {
    for token in ["", "a b", "a\nb", "\u{1b}[2J"] {
        assert!(
            read_token(json!({ "access_token": token })).is_err(),
            "{token:?}"
        );
    }
    assert!(read_token(json!({ "token": "a" })).is_err());
    assert!(read_token(json!({ "access_token": "a.b-c_d" })).is_ok());
}
