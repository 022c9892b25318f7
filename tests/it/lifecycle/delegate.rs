//! A part of a grant, handed down.

use serde_json::{Value, json};

use super::{list, plan, post};
use crate::harness::{Answer, Gateway, Work, run};

/// A span of `work`, with a token for it.
async fn span(gate: &Gateway, agent: &str, work: &Work) -> Work {
    let body = json!({ "parent": work.task, "lease_seconds": 3600 });
    let opened = post(gate, &work.token, "/v1/tasks", &body)
        .await
        .expect(201)
        .json();
    let task = opened["id"].as_str().unwrap().to_owned();
    let token = gate.agent(agent).token_for(&task).await;
    Work {
        task,
        token,
        grant: String::new(),
    }
}

async fn delegate(gate: &Gateway, work: &Work, body: &Value) -> Answer {
    let path = format!("/v1/grants/{}/delegate", work.grant);
    post(gate, &work.token, &path, body).await
}

#[test]
fn a_span_gets_a_share_and_loses_it_with_the_whole() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").works("few").await;
        let span = span(&gate, "bot", &work).await;
        list(&gate, &span).await.refusal(403, "grant_required");
        let body = json!({
            "task": span.task, "operations": ["shop.list"], "max_calls": 1, "duration_seconds": 60,
        });
        let part = delegate(&gate, &work, &body).await.expect(201).json();
        assert_eq!(part["parent"], work.grant.as_str());
        assert_eq!(part["task"], span.task.as_str());
        assert_eq!(part["operations"], json!(["shop.list"]));
        assert_eq!(part["calls_left"], 1);
        assert!(super::seconds(&part) <= 60);
        list(&gate, &span).await.expect(200);
        list(&gate, &span).await.refusal(403, "budget_exhausted");
        let read = gate
            .call("GET", "/shop/items/1")
            .bearer(&span.token)
            .send()
            .await;
        read.refusal(403, "grant_required");
        // Three of four are left above.
        for _ in 0..3 {
            list(&gate, &work).await.expect(200);
        }
        list(&gate, &work).await.refusal(403, "budget_exhausted");

        let path = format!("/v1/grants/{}/revoke", work.grant);
        post(&gate, &work.token, &path, &json!({}))
            .await
            .expect(200);
        let path = format!("/v1/grants/{}", part["id"].as_str().unwrap());
        let part = gate.control("GET", &path).bearer(&span.token).send().await;
        assert_eq!(part.expect(200).json()["end_reason"], "parent_ended");
    });
}

#[test]
fn a_part_is_narrower_or_is_not() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").works("few").await;
        let span = span(&gate, "bot", &work).await;
        for more in [
            json!({}),
            json!({ "max_calls": 5 }),
            json!({ "max_calls": 0 }),
            json!({ "max_calls": -1 }),
            json!({ "max_calls": 1, "operations": ["shop.pay"] }),
            json!({ "max_calls": 1, "operations": [] }),
            json!({ "max_calls": 1, "operations": ["no such"] }),
            json!({ "max_calls": 1, "duration_seconds": -1 }),
            json!({ "max_calls": 1, "agent": "rival" }),
        ] {
            let mut body = json!({ "task": span.task });
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            let refused = delegate(&gate, &work, &body).await;
            refused.problem(400, "request_malformed");
        }
        let rival = gate.agent("rival").opens().await;
        let foreign = json!({ "task": rival.task, "max_calls": 1 });
        delegate(&gate, &work, &foreign)
            .await
            .problem(404, "not_found");
        for _ in 0..4 {
            list(&gate, &work).await.expect(200);
        }
    });
}

#[test]
fn another_agent_receives_what_its_own_rules_let_it() {
    run(async {
        let gate = plan().start().await;
        gate.edit_policy(
            "agents/bot.toml",
            "id = \"bot\"",
            "id = \"bot\"\nmay_open_for = [\"rival\", \"outsider\"]",
        );
        gate.publish().await;
        let work = gate.agent("bot").works("items").await;
        let mut received = Vec::new();
        for agent in ["rival", "outsider"] {
            let body = json!({ "agent": agent, "parent": work.task, "lease_seconds": 600 });
            let opened = post(&gate, &work.token, "/v1/tasks", &body)
                .await
                .expect(201)
                .json();
            let body = json!({ "agent": agent, "task": opened["id"] });
            received.push((delegate(&gate, &work, &body).await, opened));
        }
        let (outsider, _) = received.pop().unwrap();
        outsider.problem(403, "condition_denied");
        let (rival, opened) = received.pop().unwrap();
        assert_eq!(rival.expect(201).json()["agent"], "rival");
        let token = gate
            .agent("rival")
            .token_for(opened["id"].as_str().unwrap())
            .await;
        let call = gate.call("GET", "/shop/items").bearer(&token);
        call.send().await.expect(200);
        work.completes(&gate).await;
        let call = gate.call("GET", "/shop/items").bearer(&token);
        call.send().await.refusal(401, "task_ended");
    });
}
