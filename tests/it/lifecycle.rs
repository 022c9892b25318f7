//! The rest of a grant's life: renewed, handed down, lost with its agent; and how others hear of it.

mod agents;
mod delegate;
mod events;
mod forgetting;
mod idempotency;
mod renew;
mod webhook;

use serde_json::Value;

use super::harness::{Answer, Gateway, Plan, Work};

/// Entitlements with short lives, limits and people to ask.
fn plan() -> Plan {
    Plan::new().file("entitlements.toml", ENTITLEMENTS).file(
        "people.toml",
        "[[person]]\nid = \"ana\"\ngroups = [\"leads\"]\n\
         [[person]]\nid = \"dot\"\ngroups = [\"others\"]\n",
    )
}

const ENTITLEMENTS: &str = r#"
[[entitlement]]
id = "items"
operations = ["shop.list", "shop.read"]
max_ttl = "30m"

[[entitlement]]
id = "few"
operations = ["shop.list", "shop.read"]
max_ttl = "30m"
max_calls = 4

[[entitlement]]
id = "reviewed"
operations = ["shop.reviewed"]
max_ttl = "30m"
approval = { group = "leads", expires = "10m" }
"#;

async fn post(gate: &Gateway, token: &str, path: &str, body: &Value) -> Answer {
    gate.control("POST", path)
        .bearer(token)
        .json(body)
        .send()
        .await
}

async fn list(gate: &Gateway, work: &Work) -> Answer {
    gate.call("GET", "/shop/items")
        .bearer(&work.token)
        .send()
        .await
}

/// A key that the built-in operator makes for a person who has none.
async fn key_of(gate: &Gateway, person: &str) -> String {
    let path = format!("/v1/people/{person}/keys");
    let call = gate.control("POST", &path).bearer(&gate.operator());
    call.send().await.expect(201).json()["key"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn seconds(grant: &Value) -> i64 {
    let time = |name: &str| {
        grant[name]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
    };
    time("expires_at")
        .duration_since(time("starts_at"))
        .as_secs()
}
