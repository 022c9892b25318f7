//! What would become of a call is told as it would come, and telling it does nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Gateway, Plan, Work, run};

async fn explain(gate: &Gateway, key: &str, body: &Value) -> Value {
    let call = gate.control("POST", "/v1/explain").bearer(key).json(body);
    call.send().await.expect(200).json()
}

/// Explains a call, makes it, and compares.
async fn agrees(
    gate: &Gateway,
    work: &Work,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Value {
    let mut asked = json!({ "method": method, "url": path });
    if let Some(body) = &body {
        asked["body"] = body.clone();
    }
    let told = explain(gate, &work.token, &asked).await;
    let mut call = gate.call(method, path).bearer(&work.token);
    if let Some(body) = &body {
        call = call.json(body);
    }
    let answer = call.send().await;
    if told["decision"] == "allow" {
        assert_eq!(answer.status, 200, "{told}");
        assert_eq!(told.get("code"), None, "{told}");
    } else {
        let refusal = answer.json();
        assert_eq!(told["decision"], "deny", "{told}");
        assert_eq!(told["code"], refusal["code"], "{told} {refusal}");
        assert_eq!(told["detail"], refusal["detail"], "{told} {refusal}");
        assert_eq!(told.get("next"), refusal.get("next"), "{told} {refusal}");
        let rule = told["rules"].get(0);
        assert_eq!(rule, refusal.get("rule"), "{told} {refusal}");
    }
    told
}

#[test]
fn it_tells_what_the_call_then_gets() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let passes = agrees(&gate, &work, "GET", "/shop/items/7", None).await;
        assert_eq!(passes["rules"], json!(["open"]));
        assert_eq!(passes["operation"], "shop.read");
        assert_eq!(passes["grant"], work.grant);
        assert_eq!(passes["entitlement"], "work");
        assert_eq!(
            passes.get("sources"),
            None,
            "no places for agents: {passes}"
        );
        for (method, path, body, code) in [
            ("GET", "/shop/%2e%2e", None, "path_ambiguous"),
            ("GET", "/nowhere", None, "operation_unknown"),
            ("GET", "/shop/dpop", None, "grant_required"),
            ("GET", "/shop/find", None, "input_invalid"),
            ("GET", "/shop/silent", None, "condition_denied"),
            (
                "POST",
                "/shop/pay",
                Some(json!({ "amount": 101 })),
                "condition_denied",
            ),
            (
                "POST",
                "/shop/pay",
                Some(json!({ "amount": "1" })),
                "input_invalid",
            ),
        ] {
            let told = agrees(&gate, &work, method, path, body).await;
            assert_eq!(told["code"], code, "{told}");
        }
        let body = json!({ "amount": 101 });
        let told = explain(
            &gate,
            &work.token,
            &json!({ "method": "POST", "url": "/shop/pay", "body": body }),
        )
        .await;
        assert_eq!(told["signals"]["input"]["amount"], 101, "{told}");
        assert_eq!(told["rules"], json!(["small-payments"]));
        let gone = gate.agent("bot").opens().await;
        gone.completes(&gate).await;
        let body = json!({ "task": gone.task, "method": "GET", "url": "/shop/items" });
        let identity = gate.agent("bot").token().await;
        assert_eq!(explain(&gate, &identity, &body).await["code"], "task_ended");
    });
}

#[test]
fn telling_spends_nothing_and_leaves_no_trace() {
    run(async {
        let mut gate = Plan::new()
            .manual_clock()
            .file(
                "entitlements.toml",
                "[[entitlement]]\nid = \"work\"\noperations = [\"shop.list\"]\n\
                 max_ttl = \"1h\"\nmax_calls = 1\n",
            )
            .file(
                "rules.cedar",
                "@id(\"open\") permit (principal, action in Action::\"open\", resource)\n\
                 when { context.history[\"shop.list\"].calls == 0 };\n\
                 @id(\"ask\") permit (principal, action == Action::\"request\", resource);",
            )
            .start()
            .await;
        let work = gate.agent("bot").works("work").await;
        let body = json!({ "method": "GET", "url": "/shop/items" });
        let lease = || async {
            let path = format!("/v1/tasks/{}", work.task);
            let call = gate.control("GET", &path).bearer(&work.token);
            call.send().await.expect(200).json()["lease_expires_at"].clone()
        };
        let before = lease().await;
        gate.advance(Duration::from_secs(10));
        for _ in 0..3 {
            let told = explain(&gate, &work.token, &body).await;
            assert_eq!(told["decision"], "allow", "{told}");
            let calls = &told["signals"]["history"]["shop.list"]["calls"];
            assert_eq!(*calls, 0, "{told}");
        }
        assert_eq!(lease().await, before);
        assert_eq!(gate.upstream.count(), 0);
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        call.send().await.expect_bytes(200);
        let told = explain(&gate, &work.token, &body).await;
        assert_eq!(told["decision"], "deny", "{told}");
        let lines = gate.stop().await;
        let calls = lines.iter().filter(|line| line["kind"] == "call");
        assert_eq!(calls.count(), 1, "the one that was made: {lines:#?}");
    });
}

#[test]
fn agents_hear_of_themselves_and_operators_of_all() {
    run(async {
        let gate = Plan::new().start().await;
        let own = gate.agent("bot").works("items").await;
        let other = gate.agent("rival").works("items").await;
        let refuse = |body: Value| {
            let call = gate.control("POST", "/v1/explain").bearer(&own.token);
            call.json(&body).send()
        };
        let mut body = json!({ "agent": "rival", "method": "GET", "url": "/shop/items" });
        refuse(body.clone()).await.problem(403, "forbidden");
        body["agent"] = "nobody-there".into();
        refuse(body.clone()).await.problem(403, "forbidden");
        let foreign = json!({ "task": other.task, "method": "GET", "url": "/shop/items" });
        let unknown = json!({ "task": "tsk_none", "method": "GET", "url": "/shop/items" });
        let told = explain(&gate, &own.token, &foreign).await;
        assert_eq!(told["code"], "task_ended");
        assert_eq!(told, explain(&gate, &own.token, &unknown).await);

        let key = gate.operator();
        let told = explain(&gate, &key, &foreign).await;
        assert_eq!(told["decision"], "allow", "{told}");
        let source = &told["sources"][0];
        assert_eq!(source["rule"], "open", "{told}");
        assert_eq!(source["effect"], "permit", "{told}");
        assert!(source["line"].is_u64(), "{told}");
        let body = json!({ "agent": "outsider", "method": "GET", "url": "/shop/items" });
        assert_eq!(explain(&gate, &key, &body).await["code"], "not_entitled");
        let body = json!({ "agent": "bot", "method": "GET", "url": "/shop/items" });
        let told = explain(&gate, &key, &body).await;
        assert_eq!(told["code"], "grant_required");
        assert!(told["next"]["task_url"].is_string(), "{told}");
        let body = json!({ "agent": "nobody-there", "method": "GET", "url": "/shop/items" });
        let call = gate.control("POST", "/v1/explain").bearer(&key);
        call.json(&body).send().await.problem(404, "not_found");
    });
}

#[test]
fn moment_address_and_headers_can_be_supposed() {
    run(async {
        let rules = r#"
@id("open")
permit (principal, action in Action::"open", resource);
@id("ask")
permit (principal, action == Action::"request", resource);
@id("not-at-night")
@message("come by day")
forbid (principal, action == Action::"shop.list", resource)
when { context.local.hour < 6 };
@id("office-only")
forbid (principal, action == Action::"shop.list", resource)
unless { context.source.ip.isInRange(ip("10.0.0.0/8")) };
"#;
        let gate = Plan::new().file("rules.cedar", rules).start().await;
        let work = gate.agent("bot").works("items").await;
        for (at, ip, code, rule) in [
            ("2026-11-27T12:00:00Z", "10.1.2.3", None, "open"),
            (
                "2026-11-27T03:00:00Z",
                "10.1.2.3",
                Some("condition_denied"),
                "not-at-night",
            ),
            (
                "2026-11-27T12:00:00Z",
                "192.0.2.1",
                Some("condition_denied"),
                "office-only",
            ),
        ] {
            let body = json!({
                "method": "GET", "url": format!("{}/shop/items?x=1", gate.public_url), "at": at,
                "source_ip": ip, "headers": { "Accept": ["text/plain"], "X-One": "1" },
            });
            let told = explain(&gate, &work.token, &body).await;
            assert_eq!(told.get("code").and_then(Value::as_str), code, "{told}");
            assert_eq!(told["rules"], json!([rule]), "{told}");
            assert_eq!(told["signals"]["source"]["ip"], ip, "{told}");
            if rule == "office-only" {
                assert_eq!(told["detail"], "a rule forbids this call now");
            }
        }
        for odd in [
            json!({ "method": "GET" }),
            json!({ "method": "G T", "url": "/" }),
            json!({ "method": "GET", "url": "/", "at": "noon" }),
            json!({ "method": "GET", "url": "/", "source_ip": "home" }),
            json!({ "method": "GET", "url": "/", "headers": { "a b": "c" } }),
            json!({ "method": "GET", "url": "/", "what": 1 }),
        ] {
            let call = gate.control("POST", "/v1/explain").bearer(&work.token);
            call.json(&odd)
                .send()
                .await
                .problem(400, "request_malformed");
        }
    });
}

const CALM: &str = r#"
@id("calm")
forbid (principal, action == Action::"shop.list", resource)
when { context.risk.known && context.risk.score > 70 };

@id("bound")
@require("proof:dpop")
permit (principal, action == Action::"shop.silent", resource);

@id("early")
permit (principal, action == Action::"shop.sealed", resource)
when { context.local.hour < 6 && context.risk.known };
"#;

async fn risk(gate: &Gateway, score: i64) {
    let signal = json!({ "agent": "bot", "score": score, "source": "siem", "reason": "odd" });
    let call = gate.control("POST", "/v1/signals").bearer(&gate.operator());
    call.json(&signal).send().await.expect(204);
}

#[test]
fn the_least_that_would_help_is_told() {
    run(async {
        let rules = "@id(\"open\") permit (principal, action == Action::\"shop.list\", resource);\n\
                     @id(\"ask\") permit (principal, action == Action::\"request\", resource);";
        let plan = Plan::new().file("rules.cedar", rules);
        let gate = plan.file("calm.cedar", CALM).start().await;
        let work = gate.agent("bot").works("work").await;
        risk(&gate, 85).await;
        let key = gate.operator();
        for (path, needs) in [
            ("/shop/items", json!(["context.risk.score <= 70 (is 85)"])),
            ("/shop/sealed", json!(["context.local.hour < 6 (is 12)"])),
            ("/shop/second", Value::Null),
        ] {
            let body = json!({
                "task": work.task, "method": "GET", "url": path, "at": "2026-11-27T12:00:00Z",
            });
            let told = explain(&gate, &key, &body).await;
            assert_eq!(told["code"], "condition_denied", "{told}");
            assert_eq!(told["needs"], needs, "{told}");
            let told = explain(&gate, &work.token, &body).await;
            assert_eq!(
                told.get("needs"),
                None,
                "agents don't hear what rules say: {told}"
            );
        }
        let bound = json!({ "method": "GET", "url": "/shop/silent" });
        let told = explain(&gate, &work.token, &bound).await;
        assert_eq!(told["code"], "proof_required", "{told}");
        assert_eq!(told["next"], json!({ "proof": "dpop" }), "{told}");
        let auth = json!({ "methods": ["private_key_jwt"], "factors": 1, "proof": "bearer" });
        assert_eq!(told["signals"]["auth"], auth, "{told}");
    });
}

#[test]
fn a_call_that_was_made_is_told_as_it_was_and_as_it_would_be() {
    run(async {
        let gate = Plan::new().file("calm.cedar", CALM).start().await;
        let work = gate.agent("bot").works("work").await;
        let rival = gate.agent("rival").works("work").await;
        risk(&gate, 85).await;
        let refused = gate.call("GET", "/shop/items").bearer(&work.token);
        let refused = refused.send().await.refusal(403, "condition_denied");
        let made = json!({ "request_id": refused["request_id"] });
        let told = explain(&gate, &work.token, &made).await;
        assert_eq!(told["decision"], "deny", "{told}");
        risk(&gate, 10).await;
        for key in [work.token.clone(), gate.operator()] {
            let told = explain(&gate, &key, &made).await;
            assert_eq!(told["decision"], "allow", "{told}");
            assert_eq!(told["rules"], json!(["open"]), "{told}");
            let recorded = &told["recorded"];
            assert_eq!(recorded["decision"], "deny", "{told}");
            assert_eq!(recorded["code"], "condition_denied", "{told}");
            assert_eq!(recorded["rules"], json!(["calm"]), "{told}");
            assert_eq!(recorded["signals"]["risk"], 85, "{told}");
        }
        // That of another agent looks like none at all.
        let none = json!({ "request_id": "none" });
        for (token, body) in [(&rival.token, &made), (&work.token, &none)] {
            let call = gate.control("POST", "/v1/explain").bearer(token);
            call.json(body).send().await.problem(404, "not_found");
        }
        for (name, value) in [
            ("agent", json!("bot")),
            ("at", json!("2026-11-27T22:30:00Z")),
            ("body", json!("")),
            ("headers", json!({ "accept": "*/*" })),
            ("method", json!("GET")),
            ("source_ip", json!("192.0.2.7")),
            ("task", json!(work.task)),
            ("url", json!("/")),
        ] {
            let both = json!({ "request_id": refused["request_id"], name: value });
            let call = gate.control("POST", "/v1/explain").bearer(&work.token);
            let answer = call.json(&both).send().await;
            answer.problem(400, "request_malformed");
        }
    });
}

#[test]
fn the_audit_log_is_listed_newest_first_for_operators() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("items").await;
        for number in 0..5 {
            let path = format!("/shop/items/{number}");
            let call = gate.call("GET", &path).bearer(&work.token);
            call.send().await.expect_bytes(200);
        }
        let key = gate.operator();
        let get = |path: String| {
            let call = gate.control("GET", &path).bearer(&key);
            async move { call.send().await.expect(200).json() }
        };
        let mut paths = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = get(format!("/v1/audit?kind=call&agent=bot&limit=2{cursor}")).await;
            for item in page["items"].as_array().unwrap() {
                assert!(item["asked"]["at"].is_string(), "{item}");
                paths.push(item["path"].as_str().unwrap().to_owned());
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let expected: Vec<_> = (0..5).rev().map(|n| format!("/shop/items/{n}")).collect();
        assert_eq!(paths, expected);
        let all = get("/v1/audit?limit=1000".to_owned()).await;
        let kinds: Vec<_> = all["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| &i["kind"])
            .collect();
        assert_eq!(kinds.last().unwrap().as_str(), Some("start"));
        let agent = gate.control("GET", "/v1/audit").bearer(&work.token);
        agent.send().await.problem(403, "forbidden");
        let odd = gate.control("GET", "/v1/audit?cursor=x").bearer(&key);
        odd.send().await.problem(400, "request_malformed");
    });
}
