//! A candidate that is asked beside the live policies: it tells what it would have decided, and changes
//! nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{Gateway, Plan, Work, program, run, within};

/// Lays a copy of the live policies beside them, with one file changed.
fn lay(gate: &Gateway, name: &str, file: &str, from: &str, to: &str) {
    let candidate = gate.root().join(name);
    copy(&gate.policies(), &candidate);
    let text = fs::read_to_string(gate.policies().join(file)).unwrap();
    assert!(text.contains(from), "{text}");
    // As editors do it, so that no half of it is seen.
    let new = gate.root().join("new");
    fs::write(&new, text.replace(from, to)).unwrap();
    fs::rename(new, candidate.join(file)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = entry
            .map(|one| (one.path(), to.join(one.file_name())))
            .unwrap();
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

async fn look(gate: &Gateway) -> Value {
    let call = gate.control("POST", "/v1/policies/reload");
    let answer = call.bearer(&gate.operator()).json(&json!({})).send().await;
    answer.expect(200).json()["shadow"].clone()
}

async fn shadow(gate: &Gateway) -> Value {
    let call = gate.control("GET", "/v1/policies").bearer(&gate.operator());
    call.send().await.expect(200).json()["shadow"].clone()
}

/// Asks until the shadow is as wanted.
async fn comes(gate: &Gateway, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let shadow = shadow(gate).await;
            if wanted(&shadow) {
                return shadow;
            }
        }
    };
    within(what, asking).await
}

async fn chooses(gate: &Gateway, body: &Value) -> (u16, Value) {
    let call = gate.control("POST", "/v1/policies/shadow");
    let answer = call.bearer(&gate.operator()).json(body).send().await;
    (answer.status, answer.json())
}

async fn pays(gate: &Gateway, work: &Work, amount: i64) -> u16 {
    let call = gate.call("POST", "/shop/pay").bearer(&work.token);
    call.json(&json!({ "amount": amount })).send().await.status
}

async fn metric(gate: &Gateway, name: &str) -> u64 {
    let text = gate.control("GET", "/metrics").bearer(&gate.operator());
    let answer = text.send().await.expect(200);
    let lines = answer.text().lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(name));
    found
        .next()
        .unwrap_or_else(|| panic!("no {name}"))
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn a_candidate_tells_what_it_would_have_decided() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        assert_eq!(look(&gate).await, Value::Null);
        assert_eq!(pays(&gate, &work, 50).await, 200);
        lay(
            &gate,
            "policies.candidate",
            "rules.cedar",
            "amount > 100",
            "amount > 10 && context.input.amount < 1000",
        );
        let shown = look(&gate).await;
        assert!(
            shown["directory"]
                .as_str()
                .unwrap()
                .ends_with("policies.candidate"),
            "{shown}"
        );
        assert_ne!(shown["generation"], gate.status().generation.as_str());
        // What was decided before it was there is not counted, and it lets nothing pass nor refuses it.
        for (amount, status) in [(5, 200), (50, 200), (500, 403), (5000, 403)] {
            assert_eq!(pays(&gate, &work, amount).await, status);
        }
        let status = gate.call("GET", "/shop/status").bearer(&work.token);
        status.send().await.expect(200);
        gate.call("GET", "/nowhere")
            .bearer(&work.token)
            .send()
            .await
            .refusal(404, "operation_unknown");
        let shown = comes(&gate, "six decisions", |one| one["decisions"] == 6).await;
        let expected = json!({ "gains": 1, "losses": 1, "others": 0 });
        assert_eq!(shown["differences"], expected, "{shown:#}");
        let samples = shown["samples"].as_array().unwrap();
        let brief: Vec<_> = samples
            .iter()
            .map(|one| {
                assert!(!one["request_id"].as_str().unwrap().is_empty());
                json!([
                    one["agent"],
                    one["operation"],
                    one["live"],
                    one["candidate"]
                ])
            })
            .collect();
        let side = |verdict: &str, rule: &str| json!({ "verdict": verdict, "rules": [rule] });
        let (allow, deny) = (
            side("allow", "open"),
            side("condition_denied", "small-payments"),
        );
        assert_eq!(
            brief,
            [
                json!(["bot", "shop.pay", deny, allow]),
                json!(["bot", "shop.pay", allow, deny]),
            ],
            "the newest first"
        );
        assert_eq!(metric(&gate, "portcullis_shadow_decisions_total").await, 6);
        for (kind, count) in [("gain", 1), ("loss", 1), ("other", 0)] {
            let name = format!("portcullis_shadow_differences_total{{kind=\"{kind}\"}}");
            assert_eq!(metric(&gate, &name).await, count, "{kind}");
        }
    });
}

#[test]
fn requests_are_put_to_the_candidate_too() {
    run(async {
        let gate = Plan::new().start().await;
        let rule =
            "permit (principal in AgentGroup::\"bots\", action == Action::\"request\", resource);";
        let other = "permit (principal in AgentGroup::\"bots\", action == Action::\"request\", resource == Entitlement::\"items\");";
        lay(&gate, "policies.candidate", "rules.cedar", rule, other);
        look(&gate).await;
        gate.agent("bot").works("work").await;
        let shown = comes(&gate, "a loss", |one| one["differences"]["losses"] == 1).await;
        let sample = &shown["samples"][0];
        assert_eq!(sample["entitlement"], "work", "{shown:#}");
        assert_eq!(
            sample["candidate"]["verdict"], "condition_denied",
            "{shown:#}"
        );
    });
}

#[test]
fn a_candidate_that_cant_be_used_is_told_and_one_that_is_edited_is_noticed() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let live = gate.status().generation;
        lay(
            &gate,
            "policies.candidate",
            "rules.cedar",
            "amount > 100",
            "amont > 100",
        );
        let shown = look(&gate).await;
        assert_eq!(shown["generation"], Value::Null, "{shown}");
        let problem = &shown["refused"]["diagnostics"][0];
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains("input.amont"), "{shown:#}");
        assert!(problem["line"].as_u64().unwrap() > 1, "{shown:#}");
        assert_eq!(pays(&gate, &work, 50).await, 200);
        assert_eq!(
            (
                gate.status().generation,
                gate.status().last_refused.is_none()
            ),
            (live, true)
        );
        // Nobody says that it is another now.
        lay(
            &gate,
            "policies.candidate",
            "rules.cedar",
            "amount > 100",
            "amount > 10",
        );
        let first = comes(&gate, "it is asked", |one| one["generation"].is_string()).await;
        assert_eq!(first["refused"], Value::Null);
        assert_eq!(pays(&gate, &work, 50).await, 200);
        comes(&gate, "a loss", |one| one["differences"]["losses"] == 1).await;
        lay(
            &gate,
            "policies.candidate",
            "rules.cedar",
            "amount > 100",
            "amount > 20",
        );
        let other =
            |one: &Value| one["generation"].is_string() && one["generation"] != first["generation"];
        let second = comes(&gate, "another is asked", other).await;
        assert_eq!(second["decisions"], 0, "another is counted anew");
        fs::remove_dir_all(gate.root().join("policies.candidate")).unwrap();
        comes(&gate, "it is gone", Value::is_null).await;
    });
}

#[test]
fn an_operator_names_another_candidate_and_stops_it() {
    run(async {
        let mut gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        lay(
            &gate,
            "policies.next",
            "rules.cedar",
            "amount > 100",
            "amount > 10",
        );
        for (body, why) in [
            (json!({}), "name a `directory`"),
            (
                json!({ "directory": "policies.next", "stop": true }),
                "name a `directory`",
            ),
            (json!({ "directory": "nowhere" }), "is no directory"),
            (json!({ "directory": "policies" }), "is live already"),
            (json!({ "directory": "/tmp" }), "does not lie beside"),
            (
                json!({ "directory": "policies.next/.." }),
                "does not lie beside",
            ),
        ] {
            let (status, answer) = chooses(&gate, &body).await;
            let detail = answer["detail"].as_str().unwrap();
            assert!(
                status == 400 && detail.contains(why),
                "{body}: {status} {answer}"
            );
        }
        let bot = gate
            .control("POST", "/v1/policies/shadow")
            .bearer(&work.token);
        bot.json(&json!({ "stop": true }))
            .send()
            .await
            .problem(403, "forbidden");
        let (status, answer) = chooses(&gate, &json!({ "directory": "policies.next" })).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["shadow"]["generation"].is_string(), "{answer}");
        assert_eq!(pays(&gate, &work, 50).await, 200);
        comes(&gate, "a loss", |one| one["differences"]["losses"] == 1).await;
        let shown = cli(&gate, &["policy", "status"]).await;
        let text = String::from_utf8(shown.stdout).unwrap();
        for part in [
            "1 would no longer pass",
            "bot shop.pay: allow (open) > condition_denied (small-payments)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let stopped = cli(&gate, &["policy", "shadow", "--stop"]).await;
        assert!(stopped.status.success(), "{stopped:?}");
        assert_eq!(shadow(&gate).await, Value::Null);
        let before = metric(&gate, "portcullis_shadow_decisions_total").await;
        assert_eq!(pays(&gate, &work, 50).await, 200);
        lay(
            &gate,
            "policies.next",
            "rules.cedar",
            "amount > 100",
            "amont > 1",
        );
        let odd = cli(&gate, &["policy", "shadow", "policies.next"]).await;
        assert_eq!(odd.status.code(), Some(1), "{odd:?}");
        let said = String::from_utf8(odd.stderr).unwrap();
        assert!(said.contains("input.amont"), "{said}");
        assert_eq!(
            metric(&gate, "portcullis_shadow_decisions_total").await,
            before
        );
        let lines = gate.stop().await;
        let recorded = |text: &str| {
            lines.iter().any(|line| {
                line["detail"]
                    .as_str()
                    .is_some_and(|one| one.contains(text))
            })
        };
        assert!(recorded("policy shadow: policies.next") && recorded("policy shadow: stopped"));
    });
}

#[test]
fn what_is_decided_is_checked_by_cedar() {
    run(async {
        let gate = Plan::new()
            .policies("shadow = \"cedar\"")
            .file("proofs.cedar", NOT_COMPILED)
            .start()
            .await;
        // Opening a task asks no rule; its request does.
        let work = gate.agent("bot").works("work").await;
        for (amount, status) in [(50, 200), (500, 403)] {
            assert_eq!(pays(&gate, &work, amount).await, status);
        }
        let get = |path: &'static str| gate.call("GET", path).bearer(&work.token).send();
        get("/shop/status").await.expect(200);
        get("/nowhere").await.refusal(404, "operation_unknown");
        get("/shop/items").await.expect(200);
        let outsider = gate.agent("outsider").opens().await;
        let request = json!({ "task": outsider.task, "entitlement": "work" });
        let asks = gate.control("POST", "/v1/requests").bearer(&outsider.token);
        let refused = asks.json(&request).send().await;
        refused.problem(403, "condition_denied");
        let checks = checked(&gate, 6).await;
        // Another generation, and what it decides.
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 10");
        gate.publish().await;
        for (amount, status) in [(5, 200), (50, 403)] {
            assert_eq!(pays(&gate, &work, amount).await, status);
        }
        let later = checked(&gate, 8).await;
        assert_eq!(later["since"], checks["since"]);
        let none = json!({ "verdicts": 0, "rules": 0 });
        assert_eq!(
            (&later["differences"], &later["samples"]),
            (&none, &json!([])),
            "{later:#}"
        );
        assert_eq!(
            metric(&gate, "portcullis_policy_cedar_checks_total").await,
            8
        );
        assert_eq!(
            metric(&gate, "portcullis_policy_cedar_questions_total").await,
            0,
            "checks are not counted as what only Cedar could answer"
        );
        get("/shop/find?most=3").await.expect(200);
        checked(&gate, 9).await;
        assert_eq!(
            metric(&gate, "portcullis_policy_cedar_questions_total").await,
            1
        );
        let shown = cli(&gate, &["policy", "status"]).await;
        let text = String::from_utf8(shown.stdout).unwrap();
        let (told, shown) = ("Cedar has checked 9 decisions", "0 by other rules");
        assert!(text.contains(told) && text.contains(shown), "{text}");
    });
}

/// The compiler leaves this to Cedar.
const NOT_COMPILED: &str = r#"
@id("no-proofs")
forbid (principal, action == Action::"shop.find", resource)
when { [context.auth.proof].contains("dpop") };
"#;

/// Waits until so many decisions were checked.
async fn checked(gate: &Gateway, count: u64) -> Value {
    let asking = async {
        loop {
            let call = gate.control("GET", "/v1/policies").bearer(&gate.operator());
            let checks = call.send().await.expect(200).json()["cedar"].clone();
            assert!(checks["checked"].as_u64().unwrap() <= count, "{checks:#}");
            if checks["checked"] == count {
                return checks;
            }
        }
    };
    within("the checks", asking).await
}

async fn cli(gate: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .args(["--control", &gate.control_url]);
    command
        .arg("--operator-key")
        .arg(gate.root().join("data/operator.key"));
    command.env_remove("PORTCULLIS_OUTPUT");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    output.await.unwrap()
}
