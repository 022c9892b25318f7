//! Keys: one's own to make, but for the first.

use serde_json::{Value, json};

use super::{key_of, make_key, plan, recorded};
use crate::harness::run;

#[test]
fn no_operator_makes_a_key_for_a_person_who_has_had_one() {
    run(async {
        let gate = plan().start().await;
        let operator = gate.operator();
        let ben = key_of(&gate, "ben").await;
        make_key(&gate, &operator, "ben")
            .await
            .problem(403, "key_exists");
        // Not after taking it away, either.
        let path = "/v1/people/ben";
        let seen = gate.control("GET", path).bearer(&operator).send().await;
        let seen = seen.expect(200).json();
        let key = seen["keys"][0]["id"].as_str().unwrap();
        assert_eq!(seen["keys"][0]["made_by"], "operator");
        let path = format!("/v1/people/ben/keys/{key}");
        gate.control("DELETE", &path)
            .bearer(&operator)
            .send()
            .await
            .expect(204);
        let dead = gate
            .control("GET", "/v1/requests")
            .bearer(&ben)
            .send()
            .await;
        dead.problem(401, "token_invalid");
        make_key(&gate, &operator, "ben")
            .await
            .problem(403, "key_exists");
        let dot = key_of(&gate, "dot").await;
        make_key(&gate, &dot, "ben").await.problem(403, "forbidden");
        make_key(&gate, &operator, "nobody")
            .await
            .problem(404, "not_found");
        let told = [
            "make a key for `ben`: key_",
            "refused: make a key for `ben`: `ben` has had",
        ];
        recorded(gate, &told).await;
    });
}

#[test]
fn a_reset_takes_a_second_operator() {
    run(async {
        let gate = plan().start().await;
        let operator = gate.operator();
        let ben = key_of(&gate, "ben").await;
        let of = serde_json::json!({ "of": "keys" });
        let reset = async |key: &str, confirm: &str| {
            let path = format!("/v1/people/ben/reset{confirm}");
            let call = gate.control("POST", &path).bearer(key);
            let call = if confirm.is_empty() {
                call.json(&of)
            } else {
                call
            };
            call.send().await
        };
        reset(&ben, "").await.problem(403, "forbidden");
        reset(&operator, "").await.expect(202);
        let same = reset(&operator, "/confirm").await;
        same.problem(403, "second_operator_needed");
        let ana = key_of(&gate, "ana").await;
        let puppet = reset(&ana, "/confirm").await;
        puppet.problem(403, "second_operator_needed");
        recorded(
            gate,
            &["ask to reset `ben` (keys)", "refused: confirm the reset"],
        )
        .await;
    });
}

#[test]
fn a_person_opens_a_task_for_an_agent_and_ends_it_and_no_other_persons() {
    run(async {
        let gate = plan().start().await;
        let (ben, cem) = (key_of(&gate, "ben").await, key_of(&gate, "cem").await);
        let open = |key: &str, body: Value| {
            let call = gate.control("POST", "/v1/tasks").bearer(key);
            call.json(&body).send()
        };
        let opened = open(&ben, json!({ "agent": "bot", "kind": "payroll" })).await;
        let opened = opened.expect(201).json();
        assert_eq!(opened["opened_by"], "ben");
        let path = format!("/v1/tasks/{}", opened["id"].as_str().unwrap());
        let cancel = format!("{path}/cancel");
        let look = |key: &str| gate.control("GET", &path).bearer(key).send();
        look(&ben).await.expect(200);
        look(&gate.operator()).await.expect(200);
        look(&cem).await.problem(404, "not_found");
        let end = |key: &str| {
            let call = gate.control("POST", &cancel).bearer(key);
            call.json(&json!({})).send()
        };
        end(&cem).await.problem(404, "not_found");
        let below = json!({ "agent": "bot", "parent": opened["id"] });
        open(&cem, below.clone()).await.problem(404, "not_found");
        open(&ben, below).await.expect(201);
        let nobodys = json!({ "agent": "nobody" });
        open(&ben, nobodys).await.problem(400, "request_malformed");
        // It is the agent's own all the same.
        let bot = gate.agent("bot");
        let token = bot.token_for(opened["id"].as_str().unwrap()).await;
        look(&token).await.expect(200);
        end(&ben).await.expect(200);
    });
}
