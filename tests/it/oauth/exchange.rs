//! Token exchange (RFC 8693) with the token of a trusted issuer.

use serde_json::{Value, json};

use super::holder::Holder;
use super::{claims, post};
use crate::harness::{Answer, Es256, Gateway, Plan, now_seconds, run};

const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "https://gate.example";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// An outside issuer, and a gateway that trusts it.
struct Idp {
    key: Es256,
    gate: Gateway,
}

impl Idp {
    async fn start() -> Self {
        let key = Es256::generate();
        let jwks = json!({ "keys": [key.public_jwk("outside")] });
        let settings = format!(
            "[[trusted_issuer]]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n\
             jwks_file = \"idp.json\"\ntask_claim = \"task\""
        );
        let plan = Plan::new().settings(&settings);
        let gate = plan.data("idp.json", &jwks.to_string()).start().await;
        let idp = Self { key, gate };
        // The key set is read beside the start.
        let bot = idp.gate.agent("bot");
        let token = idp.token(&json!({}));
        for _ in 0..500 {
            let fields = [("subject_token", token.as_str())];
            if idp.exchange(&bot.assertion(), &fields).await.status == 200 {
                return idp;
            }
            tokio::task::yield_now().await;
        }
        panic!("the issuer's keys are not read");
    }

    /// A token about `bot` with changes laid over it.
    fn token(&self, changes: &Value) -> String {
        let now = now_seconds();
        let mut claims = json!({
            "iss": ISSUER, "sub": "bot", "aud": AUDIENCE, "iat": now, "exp": now + 3600, "jti": "1",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "alg": "ES256", "kid": "outside", "typ": "JWT" });
        self.key.sign(&header, &claims)
    }

    async fn exchange(&self, assertion: &str, more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![("grant_type", EXCHANGE)];
        if !more.iter().any(|(name, _)| *name == "subject_token_type") {
            fields.push(("subject_token_type", JWT));
        }
        fields.extend_from_slice(more);
        let call = super::signed(&self.gate, assertion, "/oauth/token", &fields);
        call.send().await
    }

    async fn exchanged(&self, token: &str, more: &[(&str, &str)]) -> Value {
        let mut fields = vec![("subject_token", token)];
        fields.extend_from_slice(more);
        let assertion = self.gate.agent("bot").assertion();
        self.exchange(&assertion, &fields).await.expect(200).json()
    }

    async fn refused(&self, agent: &str, token: &str, more: &[(&str, &str)]) -> String {
        let mut fields = vec![("subject_token", token)];
        fields.extend_from_slice(more);
        let assertion = self.gate.agent(agent).assertion();
        let answer = self.exchange(&assertion, &fields).await.expect(400).json();
        answer["error"].as_str().unwrap().to_owned()
    }
}

#[test]
fn an_outside_token_becomes_one_of_ours() {
    run(async {
        let idp = Idp::start().await;
        let gate = &idp.gate;
        let answer = idp.exchanged(&idp.token(&json!({})), &[]).await;
        assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
        assert_eq!(answer["token_type"], "Bearer");
        let ours = claims(&answer);
        assert_eq!(
            (&ours["sub"], &ours["client_id"]),
            (&json!("bot"), &json!("bot"))
        );
        assert_eq!(ours["iss"], gate.control_url.as_str());
        assert_eq!(ours["aud"], gate.public_url.as_str());
        let token = answer["access_token"].as_str().unwrap();
        let read = gate.call("GET", "/shop/status").bearer(token);
        read.send().await.expect(200);

        let shop = format!("{}/shop", gate.public_url);
        let more = [
            ("requested_token_type", JWT),
            ("subject_token_type", ACCESS_TOKEN),
            ("audience", shop.as_str()),
        ];
        let narrowed = idp.exchanged(&idp.token(&json!({})), &more).await;
        assert_eq!(narrowed["issued_token_type"], JWT);
        assert_eq!(claims(&narrowed)["aud"], shop.as_str());
    });
}

#[test]
fn what_is_exchanged_ends_no_later_than_what_it_was() {
    run(async {
        let idp = Idp::start().await;
        let ends = now_seconds() + 40;
        let answer = idp
            .exchanged(&idp.token(&json!({ "exp": ends })), &[])
            .await;
        assert!(claims(&answer)["exp"].as_i64().unwrap() <= ends);
        assert!(answer["expires_in"].as_i64().unwrap() <= 40);
        let answer = idp.exchanged(&idp.token(&json!({})), &[]).await;
        assert_eq!(answer["expires_in"], 300);
    });
}

#[test]
fn the_task_and_the_scope_come_along() {
    run(async {
        let idp = Idp::start().await;
        let gate = &idp.gate;
        let work = gate.agent("bot").opens().await;
        let subject = idp.token(&json!({ "task": work.task }));
        let answer = idp.exchanged(&subject, &[("scope", "items")]).await;
        assert_eq!(claims(&answer)["task"], work.task.as_str());
        let token = answer["access_token"].as_str().unwrap();
        let read = gate.call("GET", "/shop/items").bearer(token);
        read.send().await.expect(200);
        let other = gate.agent("bot").opens().await;
        let refused = idp.refused("bot", &subject, &[("task", &other.task)]).await;
        assert_eq!(refused, "invalid_request");
        let named = idp.token(&json!({}));
        let answer = idp.exchanged(&named, &[("task", &other.task)]).await;
        assert_eq!(claims(&answer)["task"], other.task.as_str());
    });
}

#[test]
fn only_a_good_token_about_the_same_agent_is_exchanged() {
    run(async {
        let idp = Idp::start().await;
        let good = idp.token(&json!({}));
        let now = now_seconds();
        let invalid = "invalid_request";
        assert_eq!(idp.refused("rival", &good, &[]).await, invalid);
        for changes in [
            json!({ "sub": "rival" }),
            json!({ "sub": "nobody" }),
            json!({ "iss": "https://other.example" }),
            json!({ "aud": "https://other.example" }),
            json!({ "exp": now - 60, "iat": now - 600 }),
            json!({ "task": "not-there" }),
            json!({ "cnf": { "jkt": "x" } }),
        ] {
            let refused = idp.refused("bot", &idp.token(&changes), &[]).await;
            assert_eq!((&changes, refused.as_str()), (&changes, invalid));
        }
        let own = idp.gate.agent("bot").token().await;
        assert_eq!(idp.refused("bot", &own, &[]).await, invalid);
        let saml = "urn:ietf:params:oauth:token-type:saml2";
        for more in [
            [("actor_token", good.as_str())],
            [("actor_token_type", JWT)],
            [("subject_token_type", saml)],
            [("requested_token_type", saml)],
        ] {
            assert_eq!(
                (more, idp.refused("bot", &good, &more).await.as_str()),
                (more, invalid)
            );
        }
        let elsewhere = [("audience", "https://other.example")];
        assert_eq!(
            idp.refused("bot", &good, &elsewhere).await,
            "invalid_target"
        );
        let fields = [("grant_type", EXCHANGE), ("subject_token", good.as_str())];
        let alone = idp.gate.control("POST", "/oauth/token").form(&fields);
        assert_eq!(
            alone.send().await.expect(401).json()["error"],
            "invalid_client"
        );
    });
}

#[test]
fn a_bound_token_is_exchanged_for_its_holder_alone() {
    run(async {
        let idp = Idp::start().await;
        let bot = idp.gate.agent("bot");
        let mut holder = Holder::new(&idp.gate).await;
        let bound = idp.token(&json!({ "cnf": { "jkt": holder.thumbprint() } }));
        assert_eq!(idp.refused("bot", &bound, &[]).await, "invalid_request");
        let mut thief = Holder::new(&idp.gate).await;
        let url = format!("{}/oauth/token", idp.gate.control_url);
        let fields = [
            ("grant_type", EXCHANGE),
            ("subject_token", bound.as_str()),
            ("subject_token_type", JWT),
        ];
        for (holder, expected) in [(&mut thief, 400), (&mut holder, 200)] {
            let proof = holder.proof("POST", &url, None);
            let call = post(&idp.gate, &bot, "/oauth/token", &fields);
            let answer = call
                .header("dpop", proof)
                .send()
                .await
                .expect(expected)
                .json();
            if expected == 200 {
                assert_eq!(answer["token_type"], "DPoP");
                assert_eq!(claims(&answer)["cnf"]["jkt"], holder.thumbprint());
            }
        }
    });
}
