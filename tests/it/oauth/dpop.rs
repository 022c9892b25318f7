//! Tokens and grants that are bound to a key (RFC 9449).

use std::time::Duration;

use serde_json::json;

use super::holder::Holder;
use super::{claims, post, signed};
use crate::harness::{Agent, Answer, Plan, run};

fn nonce(answer: &Answer) -> &str {
    let nonce = answer.header("dpop-nonce").expect("a nonce");
    assert_eq!(nonce.len(), 43);
    nonce
}

/// Opens a task and returns its id with a bound token for it.
async fn opens(holder: &mut Holder<'_>, bot: &Agent<'_>) -> (String, String) {
    let token = holder.token(bot, &[]).await;
    let opened = holder.calls("POST", "/v1/tasks", &token, |call| call).await;
    let task = opened.expect(201).json()["id"].as_str().unwrap().to_owned();
    let token = holder.token(bot, &[("task", &task)]).await;
    (task, token)
}

async fn asks(holder: &mut Holder<'_>, (task, token): (&str, &str), entitlement: &str) -> Answer {
    let body = json!({ "task": task, "entitlement": entitlement });
    let path = "/v1/requests";
    holder
        .calls("POST", path, token, |call| call.json(&body))
        .await
}

#[test]
fn a_bound_token_is_worth_nothing_without_its_key() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let mut holder = Holder::new(&gate).await;
        let (task, token) = opens(&mut holder, &bot).await;
        asks(&mut holder, (&task, &token), "dpop").await.expect(201);
        holder.reads("/shop/dpop", &token).await.expect(200);

        // Stolen, it comes as a bearer, or with a proof by another key, or with a captured one.
        let stolen = gate.call("GET", "/shop/dpop").bearer(&token).send().await;
        stolen.refusal(401, "proof_required");
        let challenge = stolen.challenge().unwrap();
        assert_eq!(
            (challenge.scheme.as_str(), challenge.names()),
            ("DPoP", vec!["algs"])
        );
        nonce(&stolen);
        let mut thief = Holder::new(&gate).await;
        let forged = thief.reads("/shop/dpop", &token).await;
        forged.refusal(401, "proof_invalid");
        let challenge = forged.challenge().unwrap();
        assert_eq!(challenge.param("error"), "invalid_dpop_proof");
        assert_eq!(challenge.param("algs"), "ES256 EdDSA PS256 RS256");
        let url = format!("{}/shop/dpop", gate.public_url);
        let captured = holder.proof("GET", &url, Some(&token));
        let scheme = format!("DPoP {token}");
        let send = |path: &'static str| {
            let call = gate.call("GET", path).header("dpop", &captured);
            let call = call.header("authorization", &scheme);
            async move { call.send().await }
        };
        send("/shop/items").await.refusal(401, "proof_invalid");
        send("/shop/dpop").await.expect(200);
        send("/shop/dpop").await.refusal(401, "proof_invalid");
        // Never does the proof reach the service.
        for seen in gate.upstream.recorded() {
            assert!(seen.headers.get("dpop").is_none(), "{seen:?}");
        }
    });
}

#[test]
fn the_server_gives_the_nonce_and_wants_it_back() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let mut holder = Holder::stranger(&gate);
        let first = holder.asks(&bot, &[]).await.expect(400);
        assert_eq!(first.json()["error"], "use_dpop_nonce");
        nonce(&first);
        let token = holder.token(&bot, &[]).await;
        holder.reads("/shop/status", &token).await.expect(200);
        gate.advance(Duration::from_secs(61));
        let late = holder.reads("/shop/status", &token).await;
        late.refusal(401, "proof_required");
        assert_eq!(late.challenge().unwrap().param("error"), "use_dpop_nonce");
        let answer = holder.reads("/shop/status", &token).await.expect(200);
        nonce(&answer);
        // The control side has the same nonces.
        holder
            .calls("POST", "/v1/tasks", &token, |call| call)
            .await
            .expect(201);
        gate.advance(Duration::from_secs(61));
        let late = holder.calls("POST", "/v1/tasks", &token, |call| call).await;
        late.problem(401, "proof_required");
        assert_eq!(late.challenge().unwrap().param("error"), "use_dpop_nonce");
        nonce(&late);
    });
}

/// A client that is sent away for a nonce comes again with the same assertion.
#[test]
fn asking_for_a_nonce_uses_up_no_assertion() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let assertion = bot.assertion();
        let url = format!("{}/oauth/token", gate.control_url);
        let mut holder = Holder::stranger(&gate);
        for expected in [400, 200, 401] {
            let proof = holder.proof("POST", &url, None);
            let fields = [("grant_type", "client_credentials")];
            let call = signed(&gate, &assertion, "/oauth/token", &fields);
            let answer = call.header("dpop", &proof).send().await;
            let answer = holder.learn(answer).expect(expected);
            if expected == 401 {
                assert_eq!(answer.json()["error"], "invalid_client");
            }
        }
    });
}

#[test]
fn the_token_endpoint_takes_one_proof_about_itself_once() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let holder = Holder::new(&gate).await;
        let url = format!("{}/oauth/token", gate.control_url);
        let ask = |proofs: Vec<String>| {
            let fields = [("grant_type", "client_credentials")];
            let call = post(&gate, &bot, "/oauth/token", &fields);
            let proofs = proofs.iter();
            proofs
                .fold(call, |call, proof| call.header("dpop", proof))
                .send()
        };
        let invalid = |answer: Answer| {
            let answer = answer.expect(400);
            assert_eq!(answer.json()["error"], "invalid_dpop_proof");
            nonce(&answer);
        };
        let good = || holder.proof("POST", &url, None);
        invalid(ask(vec![good(), good()]).await);
        invalid(ask(vec![holder.proof("GET", &url, None)]).await);
        let other = format!("{}/oauth/revoke", gate.control_url);
        invalid(ask(vec![holder.proof("POST", &other, None)]).await);
        invalid(ask(vec!["x".to_owned()]).await);
        let once = good();
        let answer = ask(vec![once.clone()]).await.expect(200).json();
        assert_eq!(answer["token_type"], "DPoP");
        assert_eq!(claims(&answer)["cnf"]["jkt"], holder.thumbprint());
        invalid(ask(vec![once]).await);
    });
}

#[test]
fn a_grant_is_for_the_holder_who_asked_for_it() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let mut holder = Holder::new(&gate).await;
        let (task, token) = opens(&mut holder, &bot).await;
        asks(&mut holder, (&task, &token), "items")
            .await
            .expect(201);
        holder.reads("/shop/items", &token).await.expect(200);

        // The same agent, the same task, another key or none: not the holder.
        let bearer = bot.token_for(&task).await;
        let refused = gate.call("GET", "/shop/items").bearer(&bearer).send().await;
        refused.refusal(401, "proof_required");
        let mut other = Holder::new(&gate).await;
        let bound = other.token(&bot, &[("task", &task)]).await;
        other
            .reads("/shop/items", &bound)
            .await
            .refusal(401, "proof_required");
        // A new token for the same key goes on where the old one was.
        let again = holder.token(&bot, &[("task", &task)]).await;
        holder.reads("/shop/items", &again).await.expect(200);
        // At the token endpoint it is the same: the scope is granted to the key.
        let scoped = [("task", task.as_str()), ("scope", "work")];
        let scoped = holder.token(&bot, &scoped).await;
        holder.reads("/shop/find?most=1", &scoped).await.expect(200);
        let refused = gate.call("GET", "/shop/find?most=1").bearer(&bearer);
        refused.send().await.refusal(401, "proof_required");
    });
}

#[test]
fn an_unbound_token_has_no_proof_to_show() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let mut holder = Holder::new(&gate).await;
        let bearer = bot.token().await;
        let answer = holder.reads("/shop/status", &bearer).await;
        answer.refusal(401, "proof_invalid");
        let answer = holder
            .calls("POST", "/v1/tasks", &bearer, |call| call)
            .await;
        answer.problem(401, "proof_invalid");
        let token = holder.token(&bot, &[]).await;
        let answer = gate
            .control("POST", "/v1/tasks")
            .bearer(&token)
            .send()
            .await;
        answer.problem(401, "proof_required");
        assert_eq!(gate.upstream.count(), 0);
    });
}

#[test]
fn a_proof_is_good_for_a_creation_that_has_a_key() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let mut holder = Holder::new(&gate).await;
        let token = holder.token(&bot, &[]).await;
        let body = json!({ "kind": "refund" });
        for replayed in [None, Some("true")] {
            let answer = holder.calls("POST", "/v1/tasks", &token, |call| {
                call.header("idempotency-key", "k").json(&body)
            });
            let answer = answer.await.expect(201);
            assert_eq!(answer.header("idempotent-replayed"), replayed);
        }
    });
}
