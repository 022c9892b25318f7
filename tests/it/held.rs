//! A change of policies whose consequences an operator has to see first waits until one lets it go live.

use std::process::Command;

use http::Response;
use serde_json::{Value, json};

use crate::harness::{Gateway, Plan, pipe, program, run};

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

/// What the command says on its standard error output; it has to fail.
fn policy_reload(gate: &Gateway, more: &[&str]) -> String {
    let mut command = Command::new(program());
    command.args(["policy", "reload", "--control", &gate.control_url]);
    command
        .arg("--operator-key")
        .arg(gate.root().join("data/operator.key"));
    let output = command.args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
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
        let held = is_held(&gate, "tests: 1 case comes otherwise").await;
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
        let said = policy_reload(&gate, &[]);
        assert!(said.contains("held: tests: 1 case comes"), "{said}");
        assert!(said.contains(&format!("--accept {held}")), "{said}");
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
        assert!(
            told("waits for an operator: tests: 1 case comes"),
            "{lines:#?}"
        );
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
        is_held(&gate, "grants: 1 live grant would end").await;
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
fn exchanges_that_would_be_cut_and_decisions_that_come_otherwise_hold() {
    run(async {
        let plan = plan("\"exchanges\", \"replay\"");
        let gate = plan.policies("replay_window = \"10m\"").start().await;
        let work = gate.agent("bot").works("work").await;
        let (tap, body) = pipe();
        gate.upstream.answer_next(Response::new(body));
        let call = gate.call("GET", "/shop/stream").bearer(&work.token);
        let mut stream = call.open().await;
        assert_eq!(stream.status(), 200);
        tap.send("one").await;
        assert_eq!(stream.text().await, "one");
        let pay = |amount: i64| {
            let call = gate.call("POST", "/shop/pay").bearer(&work.token);
            call.json(&json!({ "amount": amount })).send()
        };
        pay(50).await.expect_bytes(200);

        let diff = || async {
            let call = gate.control("POST", "/v1/policies/diff");
            let call = call.bearer(&gate.operator());
            call.send().await.expect(200).json()
        };
        let same = diff().await;
        let none = json!({ "count": 0, "complete": true, "items": [] });
        assert_eq!(same["exchanges"], none, "{same:#}");
        let rules = std::fs::read_to_string(gate.policies().join("rules.cedar")).unwrap();
        let forbid = "@id(\"no-streams\") forbid (principal, action == Action::\"shop.stream\", resource);\n";
        gate.write_policy("rules.cedar", &format!("{rules}{forbid}"));
        let told = diff().await;
        assert_eq!(told["grants"]["count"], 0, "{told:#}");
        let cut = &told["exchanges"];
        assert_eq!(
            (&cut["count"], &cut["complete"]),
            (&json!(1), &json!(true)),
            "{told:#}"
        );
        let item = &cut["items"][0];
        assert_eq!(
            json!([
                item["agent"],
                item["task"],
                item["grant"],
                item["operation"]
            ]),
            json!(["bot", work.task, work.grant, "shop.stream"]),
        );
        assert!(!item["request_id"].as_str().unwrap().is_empty(), "{told:#}");
        is_held(&gate, "exchanges: 1 running exchange would be cut").await;
        // It runs all the same.
        tap.send("two").await;
        assert_eq!(stream.text().await, "two");

        gate.write_policy("rules.cedar", &rules.replace("amount > 100", "amount > 10"));
        is_held(&gate, "replay: 1 of").await;
        gate.write_policy("rules.cedar", &rules.replace("amount > 100", "amount > 60"));
        let (status, answer) = reload(&gate, &json!({})).await;
        assert_eq!((status, &answer["held"]), (200, &Value::Null), "{answer}");
        drop(tap);
        stream.whole().await.unwrap();
    });
}

#[test]
fn what_was_decided_before_an_accepted_change_is_no_difference_any_more() {
    run(async {
        let gate = plan("\"replay\"").start().await;
        let work = gate.agent("bot").works("work").await;
        let pay = |amount: i64| {
            let call = gate.call("POST", "/shop/pay").bearer(&work.token);
            call.json(&json!({ "amount": amount })).send()
        };
        let diff = || async {
            let call = gate.control("POST", "/v1/policies/diff");
            let told = call.bearer(&gate.operator()).send().await.expect(200);
            told.json()["replay"].clone()
        };
        pay(500).await.refusal(403, "condition_denied");
        pay(9).await.expect_bytes(200);
        // What is written at last may not be on the disk yet; what was asked for before is.
        diff().await;
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 1000");
        let held = is_held(&gate, "replay: 1 of").await;
        let (status, answer) = reload(&gate, &json!({ "accept": held })).await;
        assert_eq!(status, 200, "{answer}");

        // The files are what is live: nothing differs, whatever was recorded.
        let same = diff().await;
        for kind in ["gains", "losses", "others"] {
            assert_eq!(same[kind], json!([]), "{same:#}");
        }
        assert_eq!(same["drifted"], 1, "{same:#}");
        gate.edit_policy("rules.cedar", "amount > 1000", "amount > 900");
        let (status, answer) = reload(&gate, &json!({})).await;
        assert_eq!((status, &answer["held"]), (200, &Value::Null), "{answer}");

        // What passes by what is live and would not is a loss, though it did not pass then.
        gate.edit_policy("rules.cedar", "amount > 900", "amount > 100");
        let lost = diff().await["losses"].clone();
        let told = json!([
            lost[0]["what"],
            lost[0]["before"],
            lost[0]["after"],
            lost[0]["recorded"]
        ]);
        let expected = ["shop.pay", "allow", "condition_denied", "condition_denied"];
        assert_eq!(told, json!(expected), "{lost:#}");
        is_held(&gate, "replay: 1 of").await;

        // What is no call is found by what was decided.
        gate.edit_policy("entitlements.toml", "id = \"work\"", "id = \"labour\"");
        let told = diff().await;
        let changes = ["gains", "losses", "others"].map(|kind| told[kind].as_array().unwrap());
        let mut changes = changes.into_iter().flatten();
        let asked = changes.find(|one| one["what"] == "work").unwrap();
        assert_ne!(asked["first"], "", "{told:#}");
    });
}

#[test]
fn a_change_may_touch_as_many_as_the_settings_say() {
    run(async {
        let plan = plan("\"grants\", \"replay\"").policies("hold_above = 2");
        let gate = plan.start().await;
        let work = gate.agent("bot").works("work").await;
        let pay = |amount: i64| {
            let call = gate.call("POST", "/shop/pay").bearer(&work.token);
            call.json(&json!({ "amount": amount })).send()
        };
        for _ in 0..2 {
            pay(50).await.expect_bytes(200);
        }
        pay(9).await.expect_bytes(200);
        // What is written at last may not be on the disk yet; what was asked for before is.
        gate.control("POST", "/v1/policies/diff")
            .bearer(&gate.operator())
            .send()
            .await
            .expect(200);
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 5");
        is_held(&gate, "replay: 3 of").await;
        gate.edit_policy("rules.cedar", "amount > 5", "amount > 10");
        let (status, answer) = reload(&gate, &json!({})).await;
        assert_eq!((status, &answer["held"]), (200, &Value::Null), "{answer}");
        gate.edit_policy("entitlements.toml", "id = \"work\"", "id = \"labour\"");
        let (_, answer) = reload(&gate, &json!({})).await;
        let reasons = answer["held"]["reasons"].to_string();
        assert!(!reasons.contains("grants:"), "{answer}");
    });
}

#[test]
fn what_harms_nobody_goes_live_by_itself() {
    run(async {
        let gate = plan("\"tests\", \"grants\", \"access\"").start().await;
        let before = gate.status().generation;
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 50");
        // The gateway may have noticed first.
        let (status, answer) = reload(&gate, &json!({})).await;
        assert_eq!((status, &answer["held"]), (200, &Value::Null), "{answer}");
        assert_ne!(answer["generation"], before.as_str());
    });
}

#[test]
fn what_a_candidate_would_change_is_told_and_nothing_goes_live() {
    run(async {
        let gate = plan("\"grants\"").start().await;
        let work = gate.agent("bot").works("items").await;
        let list = || gate.call("GET", "/shop/items").bearer(&work.token).send();
        list().await.expect_bytes(200);
        let diff = || {
            let call = gate.control("POST", "/v1/policies/diff");
            call.bearer(&gate.operator()).send()
        };
        let same = diff().await.expect(200).json();
        assert_eq!(same["live"], same["candidate"]);
        assert_eq!(same["grants"]["count"], 0);
        assert_eq!(
            same["access"],
            json!({ "gains": [], "losses": [], "others": [] })
        );
        assert_eq!(same["replay"]["losses"], json!([]), "{same}");
        assert!(same["replay"]["same"].as_u64().unwrap() >= 2, "{same}");

        let live = gate.status().generation;
        gate.edit_policy("entitlements.toml", "id = \"items\"", "id = \"things\"");
        let told = diff().await.expect(200).json();
        assert_eq!(told["grants"]["items"][0]["id"], work.grant, "{told}");
        let lost = told["replay"]["losses"].as_array().unwrap();
        assert!(lost.iter().any(|one| one["what"] == "shop.list"), "{told}");
        let others = told["access"]["others"].as_array().unwrap();
        assert!(others.iter().any(|one| one["after"] == "things"), "{told}");
        assert_ne!(told["candidate"], live.as_str());

        gate.edit_policy("entitlements.toml", "id = \"things\"", "idd = \"things\"");
        let answer = diff().await;
        assert_eq!(answer.status, 422);
        let diagnostics = answer.json()["diagnostics"].as_array().unwrap().len();
        assert!(diagnostics > 0);
        let agent = gate
            .control("POST", "/v1/policies/diff")
            .bearer(&work.token);
        agent.send().await.problem(403, "forbidden");
    });
}

#[test]
fn a_restart_lets_nothing_go_live_that_has_to_wait() {
    run(async {
        let mut gate = plan("\"access\"").start().await;
        let live = gate.status().generation;
        gate.edit_policy(
            "rules.cedar",
            "principal in AgentGroup::\"bots\"",
            "principal",
        );
        let held = is_held(&gate, "access: ").await;
        let waits = async |gate: &Gateway| {
            let waits = gate.notices("that it waits", |status| status.held.is_some());
            let status = waits.await;
            assert_eq!(status.generation, live);
            assert_eq!(status.held.unwrap().generation.as_str(), held);
        };
        gate.restart().await;
        assert_eq!(gate.status().generation, live);
        waits(&gate).await;
        let outsider = gate.agent("outsider").opens().await;
        let body = json!({ "task": outsider.task, "entitlement": "items" });
        let call = gate.control("POST", "/v1/requests").bearer(&outsider.token);
        assert_eq!(call.json(&body).send().await.status, 403);

        // So it is when the files are changed while nobody looks.
        gate.stop().await;
        gate.edit_policy(
            "rules.cedar",
            "(principal, action == Action::\"request\"",
            "(broken",
        );
        gate.restart().await;
        let refused = gate.notices("a refusal", |status| status.last_refused.is_some());
        assert_eq!(refused.await.generation, live);
        gate.edit_policy(
            "rules.cedar",
            "(broken",
            "(principal, action == Action::\"request\"",
        );
        waits(&gate).await;

        let (status, answer) = reload(&gate, &json!({ "accept": held })).await;
        assert_eq!(status, 200, "{answer}");
        gate.restart().await;
        assert_eq!(gate.status().generation.as_str(), held);

        // What harms nobody goes live by itself, as ever.
        gate.stop().await;
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 50");
        gate.restart().await;
        gate.notices("what harms nobody", |status| {
            status.generation.as_str() != held
        })
        .await;

        // Nothing starts beside a copy that can't be used.
        gate.stop().await;
        let copy = gate.root().join("data/policies.live.json");
        std::fs::write(&copy, "{").unwrap();
        let said = gate.try_restart().await.unwrap_err().to_string();
        assert!(said.contains("policies.live.json"), "{said}");
        assert!(said.contains("remove this file"), "{said}");
        std::fs::remove_file(&copy).unwrap();
        gate.restart().await;
        assert!(copy.is_file());
    });
}

#[test]
fn where_nothing_has_to_wait_the_files_go_live_at_a_start() {
    run(async {
        let mut gate = Plan::new().start().await;
        let copy = gate.root().join("data/policies.live.json");
        std::fs::write(&copy, "{").unwrap();
        let live = gate.status().generation;
        gate.stop().await;
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 1000");
        gate.restart().await;
        assert_ne!(gate.status().generation, live);
        assert!(!copy.exists());
    });
}
