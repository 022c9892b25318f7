//! An agent is revoked with everything of it.

use http::Response;
use serde_json::json;

use super::{list, plan, post};
use crate::harness::{Client, pipe, run, within};

#[test]
fn a_revoked_agent_is_refused_everywhere_until_it_is_restored() {
    run(async {
        let gate = plan().start().await;
        let operator = gate.operator();
        let bot = gate.agent("bot");
        let (work, rival) = (
            bot.works("items").await,
            gate.agent("rival").works("items").await,
        );
        let unbound = bot.token().await;
        list(&gate, &work).await.expect(200);
        let revoke = "/v1/agents/bot/revoke";
        post(&gate, &rival.token, revoke, &json!({}))
            .await
            .problem(403, "forbidden");
        let revoked = post(&gate, &operator, revoke, &json!({}))
            .await
            .expect(200)
            .json();
        assert_eq!(revoked["tasks"], 1);
        assert_eq!(revoked["grants"][0]["id"], work.grant.as_str());

        list(&gate, &work).await.refusal(401, "token_invalid");
        // What needs no grant is refused too.
        let call = gate.call("GET", "/shop/status").bearer(&unbound);
        call.send().await.refusal(401, "token_invalid");
        let open = post(&gate, &unbound, "/v1/tasks", &json!({})).await;
        open.problem(401, "token_invalid");
        let token = bot.ask_for_token(&[]).await;
        assert_eq!(token.expect(401).json()["error"], "invalid_client");
        list(&gate, &rival).await.expect(200);

        let restore = "/v1/agents/bot/restore";
        post(&gate, &operator, restore, &json!({}))
            .await
            .expect(200);
        let anew = bot.works("items").await;
        list(&gate, &anew).await.expect(200);
        list(&gate, &work).await.refusal(401, "task_ended");
        let nobody = post(&gate, &operator, "/v1/agents/nobody/revoke", &json!({})).await;
        nobody.problem(404, "not_found");
    });
}

#[test]
fn what_a_revoked_agent_runs_without_a_task_is_cut_and_nothing_else() {
    run(async {
        let gate = plan()
            .file(
                "live.toml",
                "[[operation]]\nid = \"shop.live\"\nservice = \"shop\"\nroute = \"GET /shop/live\"\n\
                 groups = [\"open\"]\nbaseline = true\nprotocol = \"sse\"\n",
            )
            .start()
            .await;
        let (bot, rival) = (
            gate.agent("bot").token().await,
            gate.agent("rival").token().await,
        );
        let mut streams = Vec::new();
        for token in [&bot, &rival] {
            let (feed, body) = pipe();
            let answer = Response::builder().header("content-type", "text/event-stream");
            gate.upstream.answer_next(answer.body(body).unwrap());
            let mut client = Client::http1(&gate).await;
            let call = gate.call("GET", "/shop/live").bearer(token);
            let (mut opened, ()) =
                tokio::join!(call.open_on(&mut client), feed.send("data: 1\n\n"));
            assert_eq!(opened.text().await, "data: 1\n\n");
            streams.push((feed, opened, client));
        }
        let (other_feed, mut other, _other_client) = streams.pop().unwrap();
        let (feed, mut cut, _client) = streams.pop().unwrap();
        let revoked = post(&gate, &gate.operator(), "/v1/agents/bot/revoke", &json!({})).await;
        revoked.expect(200);
        within("the cut", cut.cut()).await;
        feed.closed().await;
        other_feed.send("data: 2\n\n").await;
        assert_eq!(other.text().await, "data: 2\n\n");

        let restore = post(
            &gate,
            &gate.operator(),
            "/v1/agents/bot/restore",
            &json!({}),
        )
        .await;
        restore.expect(200);
        let anew = gate.agent("bot").token().await;
        let call = gate.call("GET", "/shop/status").bearer(&anew);
        call.send().await.expect(200);
        let mut gate = gate;
        let lines = gate.stop().await;
        let line = lines
            .iter()
            .find(|line| line["kind"] == "call" && line["end"] == "agent_revoked");
        assert!(line.is_some(), "{lines:?}");
    });
}
