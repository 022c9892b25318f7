//! A creation that is asked for again under the same key is the same.

use serde_json::{Value, json};

use super::plan;
use crate::harness::{Answer, Gateway, run};

async fn create(gate: &Gateway, token: &str, path: &str, key: &str, body: &Value) -> Answer {
    let call = gate.control("POST", path).bearer(token);
    call.header("idempotency-key", key).json(body).send().await
}

#[test]
fn a_key_creates_once_for_its_caller() {
    run(async {
        let gate = plan().start().await;
        let bot = gate.agent("bot");
        let (token, rival) = (bot.token().await, gate.agent("rival").token().await);
        let body = json!({ "kind": "refund" });
        let first = create(&gate, &token, "/v1/tasks", "k1", &body)
            .await
            .expect(201);
        let again = create(&gate, &token, "/v1/tasks", "k1", &body)
            .await
            .expect(201);
        assert_eq!(first.json()["id"], again.json()["id"]);
        assert_eq!(first.header("location"), again.header("location"));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        let anew = create(&gate, &token, "/v1/tasks", "k2", &body)
            .await
            .expect(201);
        assert_ne!(first.json()["id"], anew.json()["id"]);
        let other = json!({ "kind": "other" });
        let other = create(&gate, &token, "/v1/tasks", "k1", &other).await;
        let other = other.problem(422, "idempotency_key_reused");
        assert_eq!(other["title"], "It contradicts what came before");
        let theirs = create(&gate, &rival, "/v1/tasks", "k1", &body)
            .await
            .expect(201);
        assert_ne!(first.json()["id"], theirs.json()["id"]);
        let long = "k".repeat(256);
        let long = create(&gate, &token, "/v1/tasks", &long, &body).await;
        long.problem(400, "request_malformed");

        let work = bot.opens().await;
        let ask = json!({ "task": work.task, "entitlement": "items" });
        let first = create(&gate, &work.token, "/v1/requests", "k3", &ask)
            .await
            .expect(201);
        let again = create(&gate, &work.token, "/v1/requests", "k3", &ask)
            .await
            .expect(201);
        assert_eq!(first.json()["grant"], again.json()["grant"]);
        // A refusal creates nothing, so that it can be asked for again.
        let none = json!({ "task": work.task, "entitlement": "nothing" });
        for _ in 0..2 {
            let refused = create(&gate, &work.token, "/v1/requests", "k4", &none).await;
            refused.problem(403, "condition_denied");
        }
    });
}
