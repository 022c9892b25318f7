//! People stand in between: what waits, who may agree, and that nobody agrees to their own.

mod decisions;
pub(crate) mod factors;
mod people;
mod waiting;

use serde_json::{Value, json};

use super::harness::{Answer, Gateway, Plan, Work};

pub(crate) const PEOPLE: &str = r#"
[[person]]
id = "ana"
groups = ["leads", "operators"]
[[person]]
id = "ben"
groups = ["leads"]
[[person]]
id = "cem"
groups = ["leads"]
[[person]]
id = "dot"
groups = ["others"]
"#;

pub(crate) const ENTITLEMENTS: &str = r#"
[[entitlement]]
id = "items"
operations = ["shop.list", "shop.read"]
max_ttl = "30m"

[[entitlement]]
id = "reviewed"
operations = ["shop.reviewed"]
max_ttl = "30m"
max_calls = 5
approval = { group = "leads", quorum = 1, expires = "10m" }

[[entitlement]]
id = "twice"
operations = ["shop.reviewed"]
max_ttl = "30m"
approval = { group = "leads", quorum = 2, expires = "10m" }

[[entitlement]]
id = "strong"
operations = ["shop.reviewed"]
max_ttl = "30m"
approval = { group = "leads", mfa = true, expires = "10m" }

[[entitlement]]
id = "sealed"
operations = ["shop.sealed"]
max_ttl = "30m"
"#;

pub(crate) const RULES: &str = r#"
@id("open")
permit (principal, action in Action::"open", resource);

@id("sealed")
permit (principal, action == Action::"shop.sealed", resource);

@id("bots-may-ask")
permit (principal in AgentGroup::"bots", action == Action::"request", resource)
unless { resource == Entitlement::"sealed" };

@id("sealed-by-leads")
@require("approval:leads")
permit (principal in AgentGroup::"bots", action == Action::"request", resource == Entitlement::"sealed");
"#;

/// A gateway with people, and entitlements that they have to agree to.
fn plan() -> Plan {
    Plan::new()
        .file("people.toml", PEOPLE)
        .file("entitlements.toml", ENTITLEMENTS)
        .file("rules.cedar", RULES)
}

/// A key that the built-in operator makes for a person who has none.
pub(crate) async fn key_of(gate: &Gateway, person: &str) -> String {
    make_key(gate, &gate.operator(), person)
        .await
        .expect(201)
        .json()["key"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn make_key(gate: &Gateway, by: &str, person: &str) -> Answer {
    let path = format!("/v1/people/{person}/keys");
    gate.control("POST", &path).bearer(by).send().await
}

/// Asks for what people have to agree to; the request waits.
async fn asks(gate: &Gateway, work: &Work, entitlement: &str) -> Value {
    let body = json!({ "task": work.task, "entitlement": entitlement, "reason": "order 7" });
    let call = gate.control("POST", "/v1/requests").bearer(&work.token);
    let answer = call.json(&body).send().await.expect(202);
    let request = answer.json();
    assert_eq!(request["state"], "pending", "{request}");
    let place = format!("/v1/requests/{}", id(&request));
    assert_eq!(answer.header("location"), Some(place.as_str()));
    request
}

fn id(request: &Value) -> &str {
    request["id"].as_str().unwrap()
}

/// A step of a person or an agent with a request.
async fn step(gate: &Gateway, key: &str, request: &Value, step: &str, body: &Value) -> Answer {
    let path = format!("/v1/requests/{}/{step}", id(request));
    gate.control("POST", &path)
        .bearer(key)
        .json(body)
        .send()
        .await
}

pub(crate) async fn approve(gate: &Gateway, key: &str, request: &Value) -> Answer {
    let body = json!({ "digest": request["digest"] });
    step(gate, key, request, "approve", &body).await
}

async fn look(gate: &Gateway, key: &str, request: &Value) -> Value {
    let path = format!("/v1/requests/{}", id(request));
    gate.control("GET", &path)
        .bearer(key)
        .send()
        .await
        .expect(200)
        .json()
}

/// A call that only an approved grant lets through.
async fn call(gate: &Gateway, work: &Work) -> Answer {
    gate.call("GET", "/shop/reviewed")
        .bearer(&work.token)
        .send()
        .await
}

/// Stops the gateway, and asserts that the record of a request says each of `told`.
async fn recorded(mut gate: Gateway, told: &[&str]) {
    let lines = gate.stop().await;
    for wanted in told {
        let told = lines.iter().any(|line| {
            let detail = line["detail"].as_str().unwrap_or_default();
            matches!(line["kind"].as_str(), Some("request" | "admin")) && detail.contains(wanted)
        });
        assert!(told, "no record says `{wanted}`: {lines:#?}");
    }
}
