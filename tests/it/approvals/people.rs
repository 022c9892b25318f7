//! Keys: one's own to make, but for the first.

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
