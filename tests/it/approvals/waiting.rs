//! Waiting: by looking again, by a look that is held open, and not for ever.

use std::time::Duration;

use serde_json::json;

use super::{approve, asks, id, key_of, look, plan, step};
use crate::harness::{run, within};

#[test]
fn the_same_request_asked_again_is_the_same_request() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").opens().await;
        let first = asks(&gate, &work, "reviewed").await;
        let again = asks(&gate, &work, "reviewed").await;
        assert_eq!(first, again);
        let other = gate.agent("bot").opens().await;
        let other = asks(&gate, &other, "reviewed").await;
        assert_ne!(first["id"], other["id"], "another task is another request");
    });
}

#[test]
fn a_look_that_is_held_open_ends_with_the_decision() {
    run(async {
        let gate = plan().start().await;
        let ben = key_of(&gate, "ben").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        let path = format!("/v1/requests/{}?wait=30s", id(&request));
        let waiting = gate.control("GET", &path).bearer(&work.token).send();
        let deciding = async {
            tokio::task::yield_now().await;
            approve(&gate, &ben, &request).await.expect(200)
        };
        let (seen, _) = within("the decision", async { tokio::join!(waiting, deciding) }).await;
        assert_eq!(seen.expect(200).json()["state"], "active");
        let after = gate.control("GET", &path).bearer(&work.token).send().await;
        assert_eq!(after.json()["state"], "active", "at once");
    });
}

#[test]
fn a_look_is_held_open_no_longer_than_it_says() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        let path = format!("/v1/requests/{}", id(&request));
        for wait in ["0", "1s", "50ms"] {
            let path = format!("{path}?wait={wait}");
            let seen = gate.control("GET", &path).bearer(&work.token).send().await;
            assert_eq!(seen.expect(200).json()["state"], "pending");
        }
        for wait in ["-1s", "soon", ""] {
            let path = format!("{path}?wait={wait}");
            let seen = gate.control("GET", &path).bearer(&work.token).send().await;
            seen.problem(400, "request_malformed");
        }
    });
}

#[test]
fn a_look_at_an_empty_list_is_held_open_until_somebody_asks() {
    run(async {
        let gate = plan().start().await;
        let ben = key_of(&gate, "ben").await;
        let list = |wait: &str| {
            let path = format!("/v1/requests?state=pending&wait={wait}");
            gate.control("GET", &path).bearer(&ben).send()
        };
        let none = list("1s").await.expect(200).json();
        assert_eq!(none["items"], json!([]));
        let work = gate.agent("bot").opens().await;
        let asking = async {
            tokio::task::yield_now().await;
            asks(&gate, &work, "reviewed").await
        };
        let both = async { tokio::join!(list("30s"), asking) };
        let (seen, request) = within("a request", both).await;
        assert_eq!(seen.expect(200).json()["items"][0]["id"], request["id"]);
        let at_once = list("30s").await.expect(200).json();
        assert_eq!(at_once["items"].as_array().unwrap().len(), 1);
        list("soon").await.problem(400, "request_malformed");
    });
}

#[test]
fn a_look_is_a_sign_of_life_until_the_request_is_over() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens_as(&json!({ "lease_seconds": 60 })).await;
        let request = asks(&gate, &work, "reviewed").await;
        let mut token = work.token.clone();
        for _ in 0..12 {
            gate.advance(Duration::from_secs(50));
            token = bot.token_for(&work.task).await;
            look(&gate, &token, &request).await;
        }
        // Ten minutes are over, and with them the request: looking does not keep the task any more.
        gate.advance(Duration::from_secs(50));
        look(&gate, &token, &request).await;
        gate.advance(Duration::from_secs(15));
        let path = format!("/v1/tasks/{}", work.task);
        let task = gate.control("GET", &path).bearer(&token).send().await;
        assert_eq!(task.expect(200).json()["end_reason"], "lease_lapsed");
    });
}

#[test]
fn an_agent_withdraws_its_own_and_nobody_elses() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").opens().await;
        let rival = gate.agent("rival").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        let foreign = step(&gate, &rival.token, &request, "withdraw", &json!({})).await;
        foreign.problem(404, "not_found");
        for _ in 0..2 {
            let withdrawn = step(&gate, &work.token, &request, "withdraw", &json!({})).await;
            assert_eq!(withdrawn.expect(200).json()["state"], "withdrawn");
        }
        let ben = key_of(&gate, "ben").await;
        approve(&gate, &ben, &request)
            .await
            .problem(409, "already_decided");
        let active = asks(&gate, &work, "reviewed").await;
        approve(&gate, &ben, &active).await.expect(200);
        let late = step(&gate, &work.token, &active, "withdraw", &json!({})).await;
        late.problem(409, "already_decided");
    });
}

#[test]
fn the_end_of_the_task_is_the_end_of_what_waits() {
    run(async {
        let gate = plan().start().await;
        let ben = key_of(&gate, "ben").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        work.completes(&gate).await;
        approve(&gate, &ben, &request)
            .await
            .problem(409, "already_decided");
        assert_eq!(look(&gate, &ben, &request).await["state"], "ended");
    });
}

#[test]
fn people_see_what_they_are_asked_and_no_more() {
    run(async {
        let gate = plan().start().await;
        let (ben, dot) = (key_of(&gate, "ben").await, key_of(&gate, "dot").await);
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        let list = async |key: &str, query: &str| {
            let path = format!("/v1/requests{query}");
            let list = gate.control("GET", &path).bearer(key).send().await;
            list.expect(200).json()["items"].as_array().unwrap().clone()
        };
        assert_eq!(list(&ben, "").await, std::slice::from_ref(&request));
        assert_eq!(list(&dot, "").await, [] as [serde_json::Value; 0]);
        let operator = gate.operator();
        assert_eq!(
            list(&operator, "?state=pending").await,
            std::slice::from_ref(&request)
        );
        assert_eq!(
            list(&work.token, "?state=pending").await,
            std::slice::from_ref(&request)
        );
        let path = format!("/v1/requests/{}", id(&request));
        let foreign = gate.control("GET", &path).bearer(&dot).send().await;
        foreign.problem(404, "not_found");
        approve(&gate, &ben, &request).await.expect(200);
        assert_eq!(list(&ben, "").await.len(), 0, "nothing waits any more");
        let path = format!(
            "/v1/grants/{}/revoke",
            look(&gate, &ben, &request).await["grant"].as_str().unwrap()
        );
        let revoked = gate.control("POST", &path).bearer(&ben).send().await;
        revoked.problem(403, "forbidden");
    });
}
