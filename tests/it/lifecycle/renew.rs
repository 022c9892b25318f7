//! Renewal: before the end, within the longest life, by the rules of the moment.

use std::time::Duration;

use serde_json::json;

use super::{key_of, list, plan, post, seconds};
use crate::harness::run;

#[test]
fn a_grant_is_renewed_before_its_end_and_never_past_its_longest_life() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let ask = json!({ "task": work.task, "entitlement": "items", "duration_seconds": 600 });
        let work = bot.granted(work, &ask).await;
        let path = format!("/v1/grants/{}/renew", work.grant);

        gate.advance(Duration::from_secs(500));
        let token = bot.token_for(&work.task).await;
        let call = gate.call("GET", "/shop/items").bearer(&token);
        let early = call.send().await.expect(200);
        assert_eq!(early.header("portcullis-grant-expires-in"), None);
        gate.advance(Duration::from_secs(45));
        let token = bot.token_for(&work.task).await;
        let call = gate.call("GET", "/shop/items").bearer(&token);
        let warned = call.send().await.expect(200);
        assert_eq!(warned.header("portcullis-grant-expires-in"), Some("55"));

        let renewed = post(&gate, &token, &path, &json!({}))
            .await
            .expect(200)
            .json();
        assert_eq!(
            seconds(&renewed),
            545 + 600,
            "as long again as was asked for"
        );
        let most = json!({ "duration_seconds": 1_000_000 });
        let renewed = post(&gate, &token, &path, &most).await.expect(200).json();
        assert_eq!(seconds(&renewed), 1800, "max_ttl from first activation");
        post(&gate, &token, &path, &most)
            .await
            .problem(409, "conflict");
        for odd in [
            json!({ "duration_seconds": 0 }),
            json!({ "duration_seconds": -5 }),
        ] {
            post(&gate, &token, &path, &odd)
                .await
                .problem(400, "request_malformed");
        }
        gate.advance(Duration::from_secs(1800 - 545));
        let token = bot.token_for(&work.task).await;
        let late = post(&gate, &token, &path, &json!({})).await;
        late.problem(409, "conflict");
        let call = gate.call("GET", "/shop/items").bearer(&token);
        call.send().await.refusal(403, "grant_required");
    });
}

#[test]
fn a_renewal_is_asked_of_the_rules_and_is_ones_own() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").works("items").await;
        let rival = gate.agent("rival").opens().await;
        let path = format!("/v1/grants/{}/renew", work.grant);
        post(&gate, &rival.token, &path, &json!({}))
            .await
            .problem(404, "not_found");
        let night = "\n@id(\"night\")\n@message(\"nothing at night\")\n\
                     forbid (principal, action == Action::\"request\", resource);\n";
        gate.write_policy("night.cedar", night);
        gate.publish().await;
        let refused = post(&gate, &work.token, &path, &json!({})).await;
        assert_eq!(refused.problem(403, "condition_denied")["rule"], "night");
        list(&gate, &work).await.expect(200);
    });
}

#[test]
fn a_renewal_does_not_go_past_what_people_agreed_to() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let ask = json!({ "task": work.task, "entitlement": "reviewed", "duration_seconds": 600 });
        let asked = post(&gate, &work.token, "/v1/requests", &ask)
            .await
            .expect(202)
            .json();
        let ana = key_of(&gate, "ana").await;
        let path = format!("/v1/requests/{}/approve", asked["id"].as_str().unwrap());
        let agreed = json!({ "digest": asked["digest"], "duration_seconds": 120 });
        let active = post(&gate, &ana, &path, &agreed).await.expect(200).json();
        gate.advance(Duration::from_secs(60));
        let path = format!("/v1/grants/{}/renew", active["grant"].as_str().unwrap());
        let more = json!({ "duration_seconds": 1800 });
        post(&gate, &work.token, &path, &more)
            .await
            .problem(409, "conflict");
    });
}
