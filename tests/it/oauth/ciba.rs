//! Waiting for people by polling.

use std::time::Duration;

use serde_json::{Value, json};

use super::post;
use crate::harness::{Agent, Answer, Gateway, Plan, Work, run};

const CIBA: &str = "urn:openid:params:grant-type:ciba";

async fn begins(gate: &Gateway, bot: &Agent<'_>, more: &[(&str, &str)]) -> Answer {
    post(gate, bot, "/oauth/bc-authorize", more).send().await
}

async fn polls(gate: &Gateway, bot: &Agent<'_>, id: &str) -> Answer {
    let fields = [("grant_type", CIBA), ("auth_req_id", id)];
    post(gate, bot, "/oauth/token", &fields).send().await
}

/// What a poll that gets no token is told.
async fn told(gate: &Gateway, bot: &Agent<'_>, id: &str) -> Value {
    polls(gate, bot, id).await.expect(400).json()
}

async fn waits(gate: &Gateway, bot: &Agent<'_>) -> (Work, String) {
    let work = bot.opens().await;
    let fields = [("task", work.task.as_str()), ("scope", "openid reviewed")];
    let begun = begins(gate, bot, &fields).await.expect(200);
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    let begun = begun.json();
    assert_eq!(begun["interval"], 5);
    assert!(begun["expires_in"].as_u64().unwrap() > 1700, "{begun}");
    let id = begun["auth_req_id"].as_str().unwrap().to_owned();
    (work, id)
}

#[test]
fn who_waits_for_people_polls_in_measure() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let (_, id) = waits(&gate, &bot).await;
        let first = told(&gate, &bot, &id).await;
        assert_eq!(first["error"], "authorization_pending");
        assert_eq!(first["auth_req_id"], id.as_str());
        let soon = told(&gate, &bot, &id).await;
        assert_eq!(
            (&soon["error"], &soon["interval"]),
            (&json!("slow_down"), &json!(10))
        );
        gate.advance(Duration::from_secs(10));
        assert_eq!(
            told(&gate, &bot, &id).await["error"],
            "authorization_pending"
        );
        // Polling kept the task alive; silence past the time for people ends the waiting.
        gate.advance(Duration::from_secs(1800));
        assert_eq!(told(&gate, &bot, &id).await["error"], "expired_token");
    });
}

#[test]
fn client_credentials_lead_to_the_same_waiting() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let (work, id) = waits(&gate, &bot).await;
        let scope = [("task", work.task.as_str()), ("scope", "reviewed")];
        for _ in 0..2 {
            let pending = bot.ask_for_token(&scope).await.expect(400);
            assert_eq!(pending.header("cache-control"), Some("no-store"));
            let pending = pending.json();
            assert_eq!(pending["error"], "authorization_pending");
            assert_eq!(pending["auth_req_id"], id.as_str());
            assert_eq!(pending["interval"], 5);
            assert!(pending["expires_in"].as_u64().unwrap() > 1700, "{pending}");
        }
        // With something that nobody has to agree to, all of it is waited for.
        let both = [("task", work.task.as_str()), ("scope", "items reviewed")];
        let pending = bot.ask_for_token(&both).await.expect(400).json();
        let both = pending["auth_req_id"].as_str().unwrap();
        assert!(both.ends_with(&id) && both.len() > id.len(), "{both} {id}");
        assert_eq!(
            told(&gate, &bot, both).await["error"],
            "authorization_pending"
        );
    });
}

#[test]
fn what_needs_nobody_is_there_at_the_first_poll() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let fields = [
            ("task", work.task.as_str()),
            ("scope", "items"),
            ("login_hint", "ana@example.com"),
            ("binding_message", "for the books"),
        ];
        let begun = begins(&gate, &bot, &fields).await.expect(200).json();
        let id = begun["auth_req_id"].as_str().unwrap();
        let answer = polls(&gate, &bot, id).await.expect(200).json();
        assert_eq!(
            (&answer["scope"], &answer["token_type"]),
            (&json!("items"), &json!("Bearer"))
        );
        assert_eq!(answer["id_token"], Value::Null);
        assert_eq!(
            answer["authorization_details"][0]["reason"],
            "for the books"
        );
        let token = answer["access_token"].as_str().unwrap();
        let read = gate.call("GET", "/shop/items").bearer(token);
        read.send().await.expect(200);
        work.completes(&gate).await;
        assert_eq!(told(&gate, &bot, id).await["error"], "invalid_grant");
    });
}

#[test]
fn an_id_is_its_agents_and_nobody_elses() {
    run(async {
        let gate = Plan::new().start().await;
        let (bot, rival) = (gate.agent("bot"), gate.agent("rival"));
        let (work, id) = waits(&gate, &bot).await;
        for (agent, id) in [
            (&rival, id.as_str()),
            (&bot, "req_00000000000000000000000000"),
            (&bot, "x"),
            (&bot, "."),
            (&bot, &format!("{id}.")),
            (&bot, &vec![id.as_str(); 17].join(".")),
        ] {
            assert_eq!(
                told(&gate, agent, id).await["error"],
                "invalid_grant",
                "{id}"
            );
        }
        let (_, other) = waits(&gate, &bot).await;
        let mixed = format!("{id}.{other}");
        assert_eq!(told(&gate, &bot, &mixed).await["error"], "invalid_grant");
        // The end of the task is the end of the waiting.
        work.completes(&gate).await;
        assert_eq!(told(&gate, &bot, &id).await["error"], "invalid_grant");
    });
}

#[test]
fn what_can_not_be_asked_for_is_refused_at_once() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let task = ("task", work.task.as_str());
        let check = async |agent: &Agent<'_>, more: &[(&str, &str)], status, code: &str| {
            let refused = begins(&gate, agent, more).await.expect(status).json();
            assert_eq!((more, &refused["error"]), (more, &json!(code)));
        };
        check(&bot, &[task], 400, "invalid_request").await;
        check(&bot, &[task, ("scope", "openid")], 400, "invalid_request").await;
        check(&bot, &[("scope", "items")], 400, "invalid_request").await;
        check(
            &bot,
            &[task, ("scope", "items"), ("request", "x")],
            400,
            "invalid_request",
        )
        .await;
        check(&bot, &[task, ("scope", "nothing")], 403, "access_denied").await;
        let rival = gate.agent("rival");
        check(&rival, &[task, ("scope", "items")], 400, "invalid_request").await;
    });
}

/// The key of the person of the group that approves.
async fn lead(gate: &Gateway) -> String {
    let call = gate.control("POST", "/v1/people/ana@example.com/keys");
    let made = call.bearer(&gate.operator()).send().await.expect(201);
    made.json()["key"].as_str().unwrap().to_owned()
}

async fn decides(gate: &Gateway, key: &str, id: &str, step: &str, body: &Value) -> Value {
    let call = gate.control("POST", &format!("/v1/requests/{id}/{step}"));
    let call = call.bearer(key).json(body);
    call.send().await.expect(200).json()
}

/// The digest that a person is shown.
async fn digest(gate: &Gateway, key: &str, id: &str) -> Value {
    let call = gate.control("GET", &format!("/v1/requests/{id}"));
    let shown = call.bearer(key).send().await.expect(200).json();
    assert_eq!(shown["state"], "pending");
    shown["digest"].clone()
}

#[test]
fn a_person_agrees_and_the_next_poll_has_the_token() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let (work, id) = waits(&gate, &bot).await;
        let refused = gate.call("GET", "/shop/reviewed").bearer(&work.token);
        refused.send().await.refusal(403, "grant_required");
        assert_eq!(
            told(&gate, &bot, &id).await["error"],
            "authorization_pending"
        );
        assert_eq!(told(&gate, &bot, &id).await["error"], "slow_down");

        let ana = lead(&gate).await;
        let body = json!({ "digest": digest(&gate, &ana, &id).await });
        let approved = decides(&gate, &ana, &id, "approve", &body).await;
        assert_eq!(approved["state"], "active");
        let answer = polls(&gate, &bot, &id).await.expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("pragma"), Some("no-cache"));
        let answer = answer.json();
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["scope"], "reviewed");
        let granted = &answer["authorization_details"][0];
        assert_eq!(granted["type"], "portcullis_grant");
        assert_eq!(granted["entitlement"], "reviewed");
        let token = answer["access_token"].as_str().unwrap();
        let call = gate.call("GET", "/shop/reviewed").bearer(token);
        call.send().await.expect(200);
        // It was given out once; another token for the task has the same grants behind it.
        for again in [id.clone(), format!("{id}.{id}")] {
            assert_eq!(told(&gate, &bot, &again).await["error"], "invalid_grant");
        }
        let another = bot.token_for(&work.task).await;
        let call = gate.call("GET", "/shop/reviewed").bearer(&another);
        call.send().await.expect(200);
        // What was shown on the way is worth as much: authority is in the grant.
        let call = gate.call("GET", "/shop/reviewed").bearer(&work.token);
        call.send().await.expect(200);
        work.completes(&gate).await;
        let call = gate.call("GET", "/shop/reviewed").bearer(token);
        call.send().await.refusal(401, "task_ended");
    });
}

#[test]
fn a_person_refuses_and_the_next_poll_says_so() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let (work, id) = waits(&gate, &bot).await;
        let ana = lead(&gate).await;
        let body = json!({ "reason": "not today" });
        let denied = decides(&gate, &ana, &id, "deny", &body).await;
        assert_eq!(denied["state"], "declined");
        let answer = told(&gate, &bot, &id).await;
        assert_eq!(answer["error"], "access_denied");
        let why = answer["error_description"].as_str().unwrap();
        assert!(why.contains("not today"), "{why}");
        let refused = gate.call("GET", "/shop/reviewed").bearer(&work.token);
        refused.send().await.refusal(403, "grant_required");
    });
}
