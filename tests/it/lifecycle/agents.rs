//! An agent is revoked with everything of it.

use serde_json::json;

use super::{list, plan, post};
use crate::harness::run;

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
