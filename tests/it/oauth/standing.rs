//! What a token is worth now (RFC 7662), and taking it back (RFC 7009).

use std::time::Duration;

use serde_json::{Value, json};

use super::holder::Holder;
use super::post;
use crate::harness::{Agent, Client, Gateway, Plan, run};

async fn introspect(gate: &Gateway, agent: &Agent<'_>, token: &str) -> Value {
    let call = post(gate, agent, "/oauth/introspect", &[("token", token)]);
    let answer = call.send().await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

#[test]
fn introspection_tells_what_lives_now() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.works("items").await;
        let told = introspect(&gate, &bot, &work.token).await;
        assert_eq!(told["active"], true);
        assert_eq!(told["client_id"], "bot");
        assert_eq!(told["sub"], "bot");
        assert_eq!(told["iss"], gate.control_url.as_str());
        assert_eq!(told["aud"], gate.public_url.as_str());
        assert_eq!(told["task"], work.task.as_str());
        assert_eq!(told["token_type"], "Bearer");
        assert_eq!(told["scope"], "items");
        assert_eq!(
            told["authorization_details"][0]["grant"],
            work.grant.as_str()
        );
        assert!(told["exp"].as_i64() > told["iat"].as_i64());

        // To others, and of what is no token, nothing is told.
        let nothing = json!({ "active": false });
        let rival = gate.agent("rival");
        assert_eq!(introspect(&gate, &rival, &work.token).await, nothing);
        assert_eq!(introspect(&gate, &bot, "x").await, nothing);

        let revoke = gate.control("POST", &format!("/v1/grants/{}/revoke", work.grant));
        revoke.bearer(&gate.operator()).send().await.expect(200);
        let told = introspect(&gate, &bot, &work.token).await;
        assert_eq!(
            (&told["active"], &told["scope"]),
            (&json!(true), &Value::Null)
        );
        let identity = bot.token().await;
        work.completes(&gate).await;
        assert_eq!(introspect(&gate, &bot, &work.token).await, nothing);
        assert_eq!(introspect(&gate, &bot, &identity).await["active"], true);
        gate.advance(Duration::from_secs(301));
        assert_eq!(introspect(&gate, &bot, &identity).await, nothing);
    });
}

#[test]
fn introspection_names_only_grants_that_the_token_can_use() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let work = bot.works("work").await;
        let mut holder = Holder::new(&gate).await;
        let wanted = [("task", work.task.as_str()), ("scope", "items")];
        let bound = holder.token(&bot, &wanted).await;
        let told = introspect(&gate, &bot, &bound).await;
        assert_eq!(told["scope"], "items work");
        assert_eq!(told["token_type"], "DPoP");
        assert_eq!(told["cnf"]["jkt"], holder.thumbprint());
        assert_eq!(introspect(&gate, &bot, &work.token).await["scope"], "work");
    });
}

#[test]
fn an_agent_that_is_gone_is_told_nothing() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let token = bot.token().await;
        std::fs::remove_file(gate.policies().join("agents/bot.toml")).unwrap();
        gate.publish().await;
        let call = post(&gate, &bot, "/oauth/introspect", &[("token", &token)]);
        assert_eq!(
            call.send().await.expect(401).json()["error"],
            "invalid_client"
        );
    });
}

#[test]
fn a_revoked_token_is_refused_at_once_everywhere() {
    run(async {
        let mut gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let work = bot.works("items").await;
        let read = |token: &str| gate.call("GET", "/shop/items").bearer(token).send();
        read(&work.token).await.expect(200);
        let other = bot.token_for(&work.task).await;
        read(&other).await.expect(200);
        for _ in 0..2 {
            let call = post(&gate, &bot, "/oauth/revoke", &[("token", &work.token)]);
            call.send().await.expect(200);
        }
        read(&work.token).await.refusal(401, "token_invalid");
        let path = format!("/v1/tasks/{}", work.task);
        let control = gate.control("GET", &path).bearer(&work.token).send().await;
        control.problem(401, "token_invalid");
        let told = introspect(&gate, &bot, &work.token).await;
        assert_eq!(told, json!({ "active": false }));
        // The grant is the task's, and the task goes on.
        read(&other).await.expect(200);
        let revoked = gate.stop().await;
        let recorded = |line: &Value| {
            let detail = line["detail"].as_str().unwrap_or_default();
            detail.starts_with("revoked tok_")
        };
        assert!(revoked.iter().any(recorded), "{revoked:?}");
    });
}

/// A connection is no credential: whatever it has shown before, each request is judged by its own token, and
/// that one as it stands now.
#[test]
fn a_connection_that_has_shown_a_token_vouches_for_none() {
    run(async {
        let limits = "[limits]\nidle_timeout = \"1h\"\n";
        let gate = Plan::new().settings(limits).manual_clock().start().await;
        let (bot, rival) = (gate.agent("bot"), gate.agent("rival"));
        let (ours, theirs) = (bot.works("items").await, rival.works("items").await);
        let mut client = Client::http1(&gate).await;
        let read = |token: &str| gate.call("GET", "/shop/items").bearer(token);
        for _ in 0..2 {
            for (work, agent) in [(&ours, "bot"), (&ours, "bot"), (&theirs, "rival")] {
                let answer = read(&work.token).send_on(&mut client).await;
                answer.expect(200);
                let arrived = gate.upstream.last();
                assert_eq!(arrived.header("portcullis-agent"), Some(agent));
            }
        }
        let (rest, signature) = theirs.token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{rest}.{other}{}", signature.split_at(1).1);
        let answer = read(&forged).send_on(&mut client).await;
        answer.refusal(401, "token_invalid");
        read(&theirs.token).send_on(&mut client).await.expect(200);
        let revoke = post(&gate, &rival, "/oauth/revoke", &[("token", &theirs.token)]);
        revoke.send().await.expect(200);
        let answer = read(&theirs.token).send_on(&mut client).await;
        answer.refusal(401, "token_invalid");
        read(&ours.token).send_on(&mut client).await.expect(200);
        gate.advance(Duration::from_mins(5));
        let answer = read(&ours.token).send_on(&mut client).await;
        answer.refusal(401, "token_expired");
        assert!(client.is_usable().await, "it was one connection");
    });
}

#[test]
fn nobody_revokes_anothers_token() {
    run(async {
        let gate = Plan::new().start().await;
        let (bot, rival) = (gate.agent("bot"), gate.agent("rival"));
        let token = bot.token().await;
        let call = post(&gate, &rival, "/oauth/revoke", &[("token", &token)]);
        assert_eq!(
            call.send().await.expect(400).json()["error"],
            "invalid_grant"
        );
        let call = gate.call("GET", "/shop/status").bearer(&token);
        call.send().await.expect(200);
        // What is no token needs no revoking.
        let call = post(&gate, &rival, "/oauth/revoke", &[("token", "x")]);
        call.send().await.expect(200);
        for path in ["/oauth/revoke", "/oauth/introspect"] {
            let call = post(&gate, &rival, path, &[]);
            assert_eq!(
                call.send().await.expect(400).json()["error"],
                "invalid_request"
            );
            let call = gate.control("POST", path).form(&[("token", &token)]);
            let refused = call.send().await.expect(401);
            assert_eq!(refused.json()["error"], "invalid_client");
            assert!(refused.challenge().is_some());
        }
    });
}
