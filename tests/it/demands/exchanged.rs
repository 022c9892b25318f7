//! A token that an outside issuer's was exchanged for (RFC 8693) tells of the factors that the other told of, and of
//! no more.

use serde_json::{Value, json};

use super::{Outside, REQUESTS, call, follow};
use crate::harness::{Answer, Work, run};
use crate::oauth::signed;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

impl Outside {
    /// An outside token with these claims, exchanged.
    async fn exchanges(&self, work: &Work, claims: &Value, more: &[(&str, &str)]) -> Answer {
        let subject = self.token(work, claims);
        let mut fields = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", subject.as_str()),
            ("subject_token_type", JWT),
        ];
        fields.extend_from_slice(more);
        let assertion = self.gate.agent("bot").assertion();
        let call = signed(&self.gate, &assertion, "/oauth/token", &fields);
        call.send().await
    }

    async fn introspects(&self, token: &str) -> Value {
        let assertion = self.gate.agent("bot").assertion();
        let fields = [("token", token)];
        let call = signed(&self.gate, &assertion, "/oauth/introspect", &fields);
        call.send().await.expect(200).json()
    }
}

#[test]
fn the_factors_come_along_and_no_more_than_there_were() {
    run(async {
        let outside = Outside::start("mfa_acr = [\"phr\"]\n").await;
        let gate = &outside.gate;
        let work = gate.agent("bot").works("aaa").await;
        for (claims, amr, acr, passes) in [
            (json!({}), json!([]), None, false),
            // The key that the agent holds is no second factor beside what somebody knows.
            (json!({ "amr": ["pwd"] }), json!(["pwd"]), None, false),
            (
                json!({ "amr": ["own-name"], "acr": "1" }),
                json!([]),
                None,
                false,
            ),
            (
                json!({ "amr": ["pwd", "otp"] }),
                json!(["pwd", "otp"]),
                None,
                true,
            ),
            (json!({ "acr": "phr" }), json!(["mfa"]), Some("phr"), true),
        ] {
            let answer = outside.exchanges(&work, &claims, &[]).await;
            let answer = answer.expect(200).json();
            let token = answer["access_token"].as_str().unwrap();
            let told = outside.introspects(token).await;
            let mut expected = vec![json!("private_key_jwt"), json!("trusted_issuer")];
            expected.extend(amr.as_array().unwrap().iter().cloned());
            assert_eq!(told["amr"], json!(expected), "{claims}");
            assert_eq!(told.get("acr").and_then(Value::as_str), acr, "{claims}");
            let answer = call(gate, "/shop/second", token).await;
            if passes {
                assert_eq!(answer.status, 200, "{claims} {}", answer.text());
            } else {
                let refused = answer.refusal(403, "mfa_required");
                assert_eq!(refused["rule"], "second-factor", "{claims}");
            }
        }
        // What the agent gets by its key alone tells of its key alone.
        let own = gate.agent("bot").token_for(&work.task).await;
        assert_eq!(
            outside.introspects(&own).await["amr"],
            json!(["private_key_jwt"])
        );
        let refused = call(gate, "/shop/second", &own).await;
        let refused = refused.refusal(403, "mfa_required");
        follow(gate, &work, &refused, "strong").await;
    });
}

#[test]
fn what_is_asked_for_in_an_exchange_is_asked_with_the_subjects_factors() {
    run(async {
        let outside = Outside::start("mfa_acr = [\"phr\", \"phrh\"]\n").await;
        let gate = &outside.gate;
        gate.write_policy("rules.cedar", REQUESTS);
        gate.publish().await;
        let work = gate.agent("bot").opens().await;
        let scope = [("scope", "aaa")];
        let weak = json!({ "amr": ["pwd"] });
        let refused = outside.exchanges(&work, &weak, &scope).await;
        let refused = refused.expect(400).json();
        assert_eq!(refused["error"], "access_denied", "{refused}");
        assert_eq!(refused["code"], "mfa_required", "{refused}");
        assert_eq!(refused["next"], json!({ "acr_values": "phr phrh" }));
        let strong = json!({ "acr": "phr" });
        outside.exchanges(&work, &strong, &scope).await.expect(200);
    });
}
