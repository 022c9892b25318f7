//! A change of policies whose consequences an operator has to see first waits until one lets it go live.

use serde_json::{Value, json};

use crate::harness::{Gateway, Plan, run};

const TESTS: &str = r#"
[[agent]]
id = "tester"
groups = ["bots"]

[[case]]
name = "a large payment"
agent = "tester"
grant = "work"
call = "POST /shop/pay"
body = { amount = 101 }
expect = "condition_denied"
rule = "small-payments"
"#;

fn plan(hold: &str) -> Plan {
    let plan = Plan::new().file("tests/pay.toml", TESTS);
    plan.policies(&format!("hold = [{hold}]"))
}

async fn reload(gate: &Gateway, body: &Value) -> (u16, Value) {
    let call = gate.control("POST", "/v1/policies/reload");
    let answer = call.bearer(&gate.operator()).json(body).send().await;
    (answer.status, answer.json())
}

/// The reload is held for this reason, and the live generation stays.
async fn is_held(gate: &Gateway, reason: &str) -> String {
    let live = gate.status().generation;
    let (status, answer) = reload(gate, &json!({})).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(answer["outcome"], "held", "{answer}");
    assert_eq!(answer["generation"], live.as_str(), "{answer}");
    let reasons = answer["held"]["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1, "{answer}");
    let told = reasons[0].as_str().unwrap();
    assert!(told.starts_with(reason), "{told}");
    let shown = gate.control("GET", "/v1/policies").bearer(&gate.operator());
    let shown = shown.send().await.expect(200).json();
    assert_eq!(shown["held"], answer["held"]);
    answer["held"]["generation"].as_str().unwrap().to_owned()
}

#[test]
fn a_case_that_comes_otherwise_holds_until_an_operator_lets_go() {
    run(async {
        let mut gate = plan("\"tests\"").start().await;
        let work = gate.agent("bot").works("work").await;
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 1000");
        let held = is_held(&gate, "tests: 1 cases come otherwise").await;
        let pay = || {
            let call = gate.call("POST", "/shop/pay").bearer(&work.token);
            call.json(&json!({ "amount": 500 })).send()
        };
        pay().await.refusal(403, "condition_denied");
        // Another generation than the one that is held is not let go.
        let (status, answer) = reload(&gate, &json!({ "accept": "0123456789abcdef" })).await;
        assert_eq!((status, &answer["outcome"]), (409, &json!("held")));
        let (status, _) = reload(&gate, &json!({ "accept": "so what" })).await;
        assert_eq!(status, 400);
        let body = json!({ "accept": held, "reason": "agreed with finance" });
        let (status, answer) = reload(&gate, &body).await;
        assert_eq!(
            (status, &answer["outcome"]),
            (200, &json!("published")),
            "{answer}"
        );
        assert_eq!(answer["held"], Value::Null);
        assert_eq!(answer["generation"], held);
        pay().await.expect_bytes(200);
        let lines = gate.stop().await;
        let told = |part: &str| {
            let details = lines.iter().filter_map(|line| line["detail"].as_str());
            details.into_iter().any(|detail| detail.contains(part))
        };
        assert!(told("waits for an operator: tests: 1 cases"), "{lines:#?}");
        assert!(told(": agreed with finance"), "{lines:#?}");
    });
}

#[test]
fn grants_that_would_end_and_ways_that_become_easier_hold() {
    run(async {
        let gate = plan("\"grants\", \"access\"").start().await;
        gate.agent("bot").works("items").await;
        let before = std::fs::read_to_string(gate.policies().join("entitlements.toml")).unwrap();
        gate.edit_policy("entitlements.toml", "id = \"items\"", "id = \"things\"");
        is_held(&gate, "grants: 1 live grants would end").await;
        gate.write_policy("entitlements.toml", &before);
        let (status, answer) = reload(&gate, &json!({})).await;
        assert_eq!((status, &answer["held"]), (200, &Value::Null), "{answer}");
        gate.edit_policy(
            "rules.cedar",
            "principal in AgentGroup::\"bots\"",
            "principal",
        );
        is_held(&gate, "access: ").await;
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 10");
        is_held(&gate, "access: ").await;
    });
}

#[test]
fn what_harms_nobody_goes_live_by_itself() {
    run(async {
        let gate = plan("\"tests\", \"grants\", \"access\"").start().await;
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 50");
        let (status, answer) = reload(&gate, &json!({})).await;
        assert_eq!(
            (status, &answer["outcome"]),
            (200, &json!("published")),
            "{answer}"
        );
    });
}
