//! A request for a grant of which a rule demands more names its next step as the refusal of a call does.

use serde_json::{Value, json};

use super::{Outside, REQUESTS, follow, plan, request};
use crate::harness::{Gateway, Plan, Work, run};
use crate::oauth::holder::Holder;
use crate::oauth::signed;

const SECURITY: &str = r#"
@id("asking-security")
@require("approval:security")
permit (principal, action == Action::"request", resource == Entitlement::"silent-by-leads");

@id("asking")
permit (principal, action == Action::"request", resource)
unless { resource == Entitlement::"silent-by-leads" };
"#;

fn bound(proof: &str) -> String {
    format!("@id(\"bound\") @require(\"{proof}\") permit (principal, action, resource);")
}

async fn asks(gate: &Gateway, work: &Work, entitlement: &str) -> crate::harness::Answer {
    request(gate, work, &json!({ "entitlement": entitlement })).await
}

/// What the token endpoint, or that for CIBA, says to the same.
async fn asks_by_scope(gate: &Gateway, path: &str, work: &Work, scope: &str) -> Value {
    let fields = [
        ("grant_type", "client_credentials"),
        ("task", work.task.as_str()),
        ("scope", scope),
    ];
    let assertion = gate.agent("bot").assertion();
    let refused = signed(gate, &assertion, path, &fields).send().await.json();
    assert_eq!(refused["error"], "access_denied", "{refused}");
    refused
}

#[test]
fn a_second_factor_is_sought_of_people_who_agree_to_as_much() {
    run(async {
        let plan = plan().file("rules.cedar", REQUESTS);
        let gate = plan.start().await;
        let work = gate.agent("bot").opens().await;
        for entitlement in ["aaa", "by-leads"] {
            let refused = asks(&gate, &work, entitlement).await;
            assert_eq!(refused.challenge(), None);
            let refused = refused.problem(403, "mfa_required");
            assert_eq!(refused["rule"], "asking");
            follow(&gate, &work, &refused, "strong").await;
            for path in ["/oauth/token", "/oauth/bc-authorize"] {
                let told = asks_by_scope(&gate, path, &work, entitlement).await;
                assert_eq!(told["code"], "mfa_required", "{told}");
                assert_eq!(told["next"], refused["next"], "{told}");
            }
        }
    });
}

#[test]
fn the_people_who_are_demanded_are_named_and_nobody_where_there_are_none() {
    run(async {
        let plan = plan().file("rules.cedar", SECURITY);
        let gate = plan.start().await;
        let work = gate.agent("bot").opens().await;
        let refused = asks(&gate, &work, "silent-by-leads").await;
        assert_eq!(refused.challenge(), None);
        let refused = refused.problem(403, "approval_required");
        follow(&gate, &work, &refused, "secured").await;
        gate.edit_policy("rules.cedar", "approval:security", "approval:operators");
        gate.publish().await;
        let refused = asks(&gate, &work, "silent-by-leads").await;
        let refused = refused.problem(403, "approval_required");
        assert_eq!(refused.get("next"), None, "{refused}");
    });
}

#[test]
fn a_missing_proof_is_asked_for_in_its_own_scheme() {
    run(async {
        let plan = Plan::new().file("rules.cedar", &bound("proof:dpop"));
        let gate = plan.start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let refused = asks(&gate, &work, "items").await;
        refused.problem(401, "proof_required");
        let challenge = refused.challenge().unwrap();
        assert_eq!(challenge.scheme, "DPoP");
        assert_eq!(challenge.param("algs"), "ES256 EdDSA PS256 RS256");
        let told = asks_by_scope(&gate, "/oauth/token", &work, "items").await;
        assert_eq!(told["code"], "proof_required");
        assert_eq!(told["next"], json!({ "proof": "dpop" }));
        let mut holder = Holder::new(&gate).await;
        let wanted = [("task", work.task.as_str()), ("scope", "items")];
        holder.asks(&bot, &wanted).await.expect(200);

        gate.write_policy("rules.cedar", &bound("proof:mtls"));
        gate.publish().await;
        let refused = asks(&gate, &work, "items").await;
        refused.problem(401, "proof_required");
        let challenge = refused.challenge().unwrap();
        assert_eq!(challenge.scheme, "Bearer");
        assert_eq!(challenge.param("error"), "invalid_token");
    });
}

#[test]
fn an_issuer_that_can_tell_of_factors_is_asked_to() {
    run(async {
        let outside = Outside::start("mfa_acr = [\"phr\", \"phrh\"]\n").await;
        let gate = &outside.gate;
        gate.write_policy("rules.cedar", REQUESTS);
        gate.publish().await;
        let opened = gate.agent("bot").opens().await;
        let asks_with = async |claims: Value| {
            let token = outside.token(&opened, &claims);
            let body = json!({ "task": opened.task, "entitlement": "aaa" });
            let call = gate.control("POST", "/v1/requests").bearer(&token);
            call.json(&body).send().await
        };
        let refused = asks_with(json!({ "amr": ["pwd"] })).await;
        let told = refused.problem(401, "mfa_required");
        assert_eq!(told.get("next"), None, "{told}");
        let challenge = refused.challenge().unwrap();
        assert_eq!(challenge.scheme, "Bearer");
        let error = "insufficient_user_authentication";
        assert_eq!(challenge.param("error"), error);
        assert_eq!(challenge.param("acr_values"), "phr phrh");
        asks_with(json!({ "acr": "phr" })).await.expect(201);
    });
}
