//! An agent as it works: it proves who it is, opens a task, asks for what it needs.

use std::time::Duration;

use serde_json::{Value, json};

use portcullis::tokens::{SigningKey, sign_assertion};

use super::{Answer, Gateway};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An enrolled agent with its key.
pub(crate) struct Agent<'g> {
    gate: &'g Gateway,
    name: String,
    key: SigningKey,
}

/// A task with a token for it.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) task: String,
    pub(crate) token: String,
    /// Its grant, where it has one.
    pub(crate) grant: String,
}

impl<'g> Agent<'g> {
    pub(super) fn open(gate: &'g Gateway, name: &str) -> Self {
        let file = gate.root().join(format!("agents/{name}.jwk"));
        Self {
            gate,
            name: name.to_owned(),
            key: SigningKey::read(&file).unwrap(),
        }
    }

    /// A token that names no task.
    pub(crate) async fn token(&self) -> String {
        let answer = self.ask_for_token(&[]).await.expect(200);
        token_of(&answer)
    }

    /// A token for a task.
    pub(crate) async fn token_for(&self, task: &str) -> String {
        let answer = self.ask_for_token(&[("task", task)]).await.expect(200);
        token_of(&answer)
    }

    /// Asks the token endpoint, with a fresh assertion and these parameters besides.
    pub(crate) async fn ask_for_token(&self, more: &[(&str, &str)]) -> Answer {
        let assertion = self.assertion();
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.as_str()),
        ];
        fields.extend_from_slice(more);
        let call = self.gate.control("POST", "/oauth/token").form(&fields);
        call.send().await
    }

    /// A client assertion, good once.
    pub(crate) fn assertion(&self) -> String {
        let now = self.gate.clock.wall();
        let (audience, ttl) = (&self.gate.control_url, Duration::from_secs(60));
        let signed = sign_assertion(&self.key, &self.name, audience, now, ttl);
        signed.unwrap().expose().clone()
    }

    /// Opens a task, and gets a token for it.
    pub(crate) async fn opens(&self) -> Work {
        self.opens_as(&json!({ "lease_seconds": 3600 })).await
    }

    /// Opens a task that is like `body`, and gets a token for it.
    pub(crate) async fn opens_as(&self, body: &Value) -> Work {
        let token = self.token().await;
        let call = self.gate.control("POST", "/v1/tasks").bearer(&token);
        let opened = call.json(body).send().await.expect(201).json();
        let task = opened["id"].as_str().unwrap().to_owned();
        let token = self.token_for(&task).await;
        Work {
            task,
            token,
            grant: String::new(),
        }
    }

    /// Opens a task and has a grant of `entitlement` for it.
    pub(crate) async fn works(&self, entitlement: &str) -> Work {
        let work = self.opens().await;
        let body = json!({ "task": work.task, "entitlement": entitlement });
        self.granted(work, &body).await
    }

    /// Has what `request` asks for granted.
    pub(crate) async fn granted(&self, work: Work, request: &Value) -> Work {
        let call = self.gate.control("POST", "/v1/requests");
        let call = call.bearer(&work.token).json(request);
        let granted = call.send().await.expect(201).json();
        assert_eq!(granted["state"], "active", "{granted}");
        Work {
            grant: granted["grant"].as_str().unwrap().to_owned(),
            ..work
        }
    }
}

impl Work {
    /// Ends the task as done, and returns the receipt.
    pub(crate) async fn completes(&self, gate: &Gateway) -> Value {
        let path = format!("/v1/tasks/{}/complete", self.task);
        let call = gate.control("POST", &path).bearer(&self.token);
        call.send().await.expect(200).json()
    }
}

fn token_of(answer: &Answer) -> String {
    let answer = answer.json();
    answer["access_token"].as_str().expect("a token").to_owned()
}
