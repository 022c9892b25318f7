//! The keys that sign tokens: which, and how they are replaced.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Gateway, Plan, run, within};

async fn jwks(gate: &Gateway) -> Vec<Value> {
    let answer = gate.control("GET", "/oauth/jwks").send().await.expect(200);
    answer.json()["keys"].as_array().unwrap().clone()
}

fn header(token: &str) -> Value {
    use base64::Engine as _;
    let header = token.split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header);
    serde_json::from_slice(&header.unwrap()).unwrap()
}

#[test]
fn a_rotated_key_signs_and_the_one_before_still_verifies() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let old = bot.token().await;
        let first = jwks(&gate).await;
        assert_eq!(first.len(), 1);
        let rotate = || gate.control("POST", "/v1/keys/rotate");
        let answer = rotate()
            .bearer(&gate.operator())
            .send()
            .await
            .expect(200)
            .json();
        let kid = answer["kid"].clone();
        assert_eq!(answer["removed"], json!([]));
        let new = bot.token().await;
        assert_eq!(header(&new)["kid"], kid);
        assert_eq!(header(&old)["kid"], first[0]["kid"]);
        let kids: Vec<_> = jwks(&gate)
            .await
            .iter()
            .map(|key| key["kid"].clone())
            .collect();
        assert_eq!(kids, [kid, first[0]["kid"].clone()]);
        for token in [&old, &new] {
            let read = gate.call("GET", "/shop/status").bearer(token);
            read.send().await.expect(200);
        }
        // No agent rotates keys, and nobody without a name.
        rotate().bearer(&new).send().await.problem(403, "forbidden");
        rotate().send().await.problem(401, "token_missing");
    });
}

#[test]
fn a_key_that_has_grown_old_is_replaced() {
    run(async {
        let plan = Plan::new().manual_clock().settings("rotate_after = \"2h\"");
        let mut gate = plan.start().await;
        let first = jwks(&gate).await;
        gate.advance(Duration::from_secs(7200 + 600));
        let replaced = within("a new key", async {
            loop {
                let keys = jwks(&gate).await;
                if keys.len() == 2 {
                    return keys;
                }
            }
        });
        assert_eq!(replaced.await[1], first[0]);
        let token = gate.agent("bot").token().await;
        let read = gate.call("GET", "/shop/status").bearer(&token);
        read.send().await.expect(200);
        // What the old key signed has ended long before the key does.
        gate.advance(Duration::from_secs(66 * 60));
        assert_eq!(jwks(&gate).await.len(), 1);
        let lines = gate.stop().await;
        let rotated = |line: &Value| line["detail"].to_string().contains("takes over");
        assert!(lines.iter().any(rotated), "{lines:?}");
    });
}

#[test]
fn tokens_are_signed_as_the_settings_say() {
    run(async {
        let gate = Plan::new().settings("algorithm = \"EdDSA\"").start().await;
        let token = gate.agent("bot").token().await;
        assert_eq!(header(&token)["alg"], "EdDSA");
        let keys = jwks(&gate).await;
        assert_eq!(
            (&keys[0]["kty"], &keys[0]["crv"]),
            (&json!("OKP"), &json!("Ed25519"))
        );
        let read = gate.call("GET", "/shop/status").bearer(&token);
        read.send().await.expect(200);
    });
}
