//! No standing privilege: without a live grant nothing but the baseline passes, whatever the rules say,
//! and the call after an end is refused.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Gateway, Plan, Work, run};

/// The most generous rule that there is.
const EVERYTHING: &str = "permit (principal, action, resource);";

async fn list(gate: &Gateway, token: &str) -> Answer {
    gate.call("GET", "/shop/items").bearer(token).send().await
}

#[test]
fn with_a_rule_that_permits_everything_a_grant_is_still_needed() {
    run(async {
        let gate = Plan::new().file("rules.cedar", EVERYTHING).start().await;
        for agent in ["bot", "rival", "outsider"] {
            let agent = gate.agent(agent);
            list(&gate, &agent.token().await)
                .await
                .refusal(403, "grant_required");
            let work = agent.opens().await;
            list(&gate, &work.token)
                .await
                .refusal(403, "grant_required");
            let pay = gate.call("POST", "/shop/pay").bearer(&work.token);
            let pay = pay.json(&json!({ "amount": 1 })).send().await;
            pay.refusal(403, "grant_required");
        }
        assert_eq!(gate.upstream.count(), 0);
        for agent in ["bot", "outsider"] {
            let token = gate.agent(agent).token().await;
            let status = gate.call("GET", "/shop/status").bearer(&token).send().await;
            status.expect(200);
            let work = gate.agent(agent).works("items").await;
            list(&gate, &work.token).await.expect(200);
        }
    });
}

#[test]
fn a_grant_covers_its_own_operations_and_no_others() {
    run(async {
        let gate = Plan::new().file("rules.cedar", EVERYTHING).start().await;
        let work = gate.agent("bot").works("items").await;
        list(&gate, &work.token).await.expect(200);
        let data = gate
            .call("PUT", "/shop/data/x")
            .bearer(&work.token)
            .send()
            .await;
        data.refusal(403, "grant_required");
    });
}

#[test]
fn a_grant_of_one_task_is_of_no_use_to_another() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let granted = bot.works("items").await;
        let (other, unbound) = (bot.opens().await, bot.token().await);
        let rival = gate.agent("rival").opens().await;
        for token in [&other.token, &unbound, &rival.token] {
            list(&gate, token).await.refusal(403, "grant_required");
        }
        list(&gate, &granted.token).await.expect(200);
        assert_eq!(gate.upstream.count(), 1);
    });
}

/// What ends a grant: the very next call is refused.
async fn ends(gate: &Gateway, work: &Work, status: u16, code: &str) {
    let arrived = gate.upstream.count();
    let refused = list(gate, &work.token).await;
    refused.refusal(status, code);
    assert_eq!(gate.upstream.count(), arrived);
}

#[test]
fn the_call_after_a_revocation_is_refused() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("items").await;
        for by in [work.token.clone(), gate.operator()] {
            let again = json!({ "task": work.task, "entitlement": "items" });
            let work = gate.agent("bot").granted(work.clone(), &again).await;
            // The first grant of the two is taken back too, so that one is left at a time.
            let grants = gate.control("GET", "/v1/grants").bearer(&work.token);
            let grants = grants.send().await.expect(200).json();
            list(&gate, &work.token).await.expect(200);
            for grant in grants["items"].as_array().unwrap() {
                if grant["state"] == "active" {
                    let path = format!("/v1/grants/{}/revoke", grant["id"].as_str().unwrap());
                    let revoked = gate.control("POST", &path).bearer(&by).send().await;
                    assert_eq!(revoked.expect(200).json()["state"], "closed");
                }
            }
            ends(&gate, &work, 403, "grant_required").await;
        }
    });
}

#[test]
fn the_call_after_the_end_of_the_task_is_refused() {
    run(async {
        let gate = Plan::new().start().await;
        for how in ["complete", "fail", "cancel"] {
            let work = gate.agent("bot").works("items").await;
            list(&gate, &work.token).await.expect(200);
            let path = format!("/v1/tasks/{}/{how}", work.task);
            let end = gate.control("POST", &path).bearer(&work.token).send().await;
            let receipt = end.expect(200).json();
            assert_eq!(receipt["grants"][0]["id"], work.grant, "{receipt}");
            assert_eq!(receipt["grants"][0]["calls_finished"], 1, "{receipt}");
            ends(&gate, &work, 401, "task_ended").await;
            // The end can be repeated, with the same receipt.
            let again = gate.control("POST", &path).bearer(&work.token).send().await;
            assert_eq!(again.expect(200).json(), receipt);
        }
    });
}

#[test]
fn the_end_of_a_task_ends_what_lies_below_it() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let parent = bot.works("items").await;
        let span = bot.opens_as(&json!({ "parent": parent.task })).await;
        let request = json!({ "task": span.task, "entitlement": "items" });
        let span = bot.granted(span, &request).await;
        list(&gate, &span.token).await.expect(200);
        let receipt = parent.completes(&gate).await;
        assert_eq!(receipt["grants"].as_array().unwrap().len(), 2, "{receipt}");
        ends(&gate, &span, 401, "task_ended").await;
    });
}

#[test]
fn the_call_after_the_deadline_is_refused() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let request = json!({ "task": work.task, "entitlement": "items", "duration_seconds": 60 });
        let work = bot.granted(work, &request).await;
        gate.advance(Duration::from_millis(59_999));
        list(&gate, &work.token).await.expect(200);
        gate.advance(Duration::from_millis(1));
        ends(&gate, &work, 403, "grant_required").await;
    });
}

#[test]
fn nobody_is_granted_more_time_than_the_entitlement_has() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let request =
            json!({ "task": work.task, "entitlement": "items", "duration_seconds": 9_000_000 });
        let work = bot.granted(work, &request).await;
        gate.advance(Duration::from_secs(30 * 60));
        let fresh = Work {
            token: bot.token_for(&work.task).await,
            ..work
        };
        ends(&gate, &fresh, 403, "grant_required").await;
    });
}

#[test]
fn a_stepped_wall_clock_neither_lengthens_nor_shortens_a_grant() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let request = json!({ "task": work.task, "entitlement": "items", "duration_seconds": 60 });
        let work = bot.granted(work, &request).await;
        let noon = gate.clock.wall();
        gate.time().step_wall(noon + Duration::from_secs(3600));
        let work = Work {
            token: bot.token_for(&work.task).await,
            ..work
        };
        list(&gate, &work.token).await.expect(200);
        gate.time().step_wall(noon - Duration::from_secs(3600));
        gate.advance(Duration::from_secs(60));
        let work = Work {
            token: bot.token_for(&work.task).await,
            ..work
        };
        ends(&gate, &work, 403, "grant_required").await;
    });
}

#[test]
fn a_task_without_a_sign_of_life_ends_and_calls_are_one() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens_as(&json!({ "lease_seconds": 60 })).await;
        let request = json!({ "task": work.task, "entitlement": "items" });
        let work = bot.granted(work, &request).await;
        let refused = || gate.call("PUT", "/shop/data/x").bearer(&work.token).send();
        gate.advance(Duration::from_secs(59));
        list(&gate, &work.token).await.expect(200);
        gate.advance(Duration::from_secs(59));
        let path = format!("/v1/tasks/{}/heartbeat", work.task);
        gate.control("POST", &path)
            .bearer(&work.token)
            .send()
            .await
            .expect(200);
        gate.advance(Duration::from_secs(59));
        // A refused call is no sign of life.
        refused().await.refusal(403, "grant_required");
        gate.advance(Duration::from_secs(1));
        ends(&gate, &work, 401, "task_ended").await;
        let task = gate.control("GET", &format!("/v1/tasks/{}", work.task));
        let task = task.bearer(&work.token).send().await.expect(200).json();
        assert_eq!(task["end_reason"], "lease_lapsed", "{task}");
    });
}

#[test]
fn a_task_ends_at_its_maximum_age_however_busy() {
    run(async {
        let limits = "[limits]\ntask_max_age = \"10m\"\n";
        let gate = Plan::new().manual_clock().settings(limits).start().await;
        let bot = gate.agent("bot");
        let mut work = bot.works("items").await;
        for _ in 0..9 {
            gate.advance(Duration::from_secs(60));
            work.token = bot.token_for(&work.task).await;
            list(&gate, &work.token).await.expect(200);
        }
        gate.advance(Duration::from_secs(60));
        let refused = list(&gate, &work.token).await;
        assert_eq!(refused.status, 401, "{}", refused.text());
        let answer = bot.ask_for_token(&[("task", &work.task)]).await.expect(400);
        assert_eq!(answer.json()["error"], "invalid_request");
    });
}

#[test]
fn a_grant_shrinks_with_its_entitlement_and_never_grows() {
    run(async {
        let entitlement = |operations: &str| {
            format!(
                "[[entitlement]]\nid = \"items\"\noperations = [{operations}]\nmax_ttl = \"1h\"\n"
            )
        };
        let both = entitlement(r#""shop.list", "shop.read""#);
        let gate = Plan::new().file("entitlements.toml", &both).start().await;
        let work = gate.agent("bot").works("items").await;
        let read = || gate.call("GET", "/shop/items/7").bearer(&work.token).send();
        list(&gate, &work.token).await.expect(200);
        read().await.expect(200);

        let other = entitlement(r#""shop.data", "shop.list""#);
        gate.write_policy("entitlements.toml", &other);
        gate.publish().await;
        list(&gate, &work.token).await.expect(200);
        read().await.refusal(403, "not_entitled");
        let data = gate
            .call("PUT", "/shop/data/x")
            .bearer(&work.token)
            .send()
            .await;
        data.refusal(403, "grant_required");

        // What comes back is covered again: the grant still stands, frozen as it was approved.
        gate.write_policy("entitlements.toml", &both);
        gate.publish().await;
        read().await.expect(200);
    });
}

#[test]
fn a_grant_for_one_input_passes_no_other() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let request = json!({ "task": work.task, "entitlement": "items", "input": { "id": "7" } });
        let work = bot.granted(work, &request).await;
        let read = |path: &'static str| gate.call("GET", path).bearer(&work.token).send();
        read("/shop/items/7").await.expect(200);
        read("/shop/items/8").await.refusal(403, "condition_denied");
        // One that has no such input is not concerned.
        read("/shop/items").await.expect(200);
        assert_eq!(gate.upstream.count(), 2);

        // Beside it, a grant without the pin passes the other.
        let wider = json!({ "task": work.task, "entitlement": "items" });
        let _ = bot.granted(work.clone(), &wider).await;
        read("/shop/items/8").await.expect(200);
        for odd in [json!({ "id": 7 }), json!({ "nothing": "7" })] {
            let body = json!({ "task": work.task, "entitlement": "items", "input": odd });
            let asked = gate.control("POST", "/v1/requests").bearer(&work.token);
            asked
                .json(&body)
                .send()
                .await
                .problem(400, "request_malformed");
        }
    });
}

#[test]
fn of_several_grants_the_one_that_ends_first_is_used() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let ask = |seconds: u64| json!({ "task": work.task, "entitlement": "items", "duration_seconds": seconds });
        let long = bot.granted(work.clone(), &ask(600)).await;
        let short = bot.granted(work.clone(), &ask(60)).await;
        let longer = bot.granted(work.clone(), &ask(900)).await;
        let mut used = Vec::new();
        for _ in 0..3 {
            list(&gate, &work.token).await.expect(200);
            let grant = gate
                .upstream
                .last()
                .header("portcullis-grant")
                .unwrap()
                .to_owned();
            let path = format!("/v1/grants/{grant}/revoke");
            gate.control("POST", &path)
                .bearer(&work.token)
                .send()
                .await
                .expect(200);
            used.push(grant);
        }
        assert_eq!(used, [short.grant, long.grant, longer.grant]);
    });
}
