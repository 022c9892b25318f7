//! The refusals that agents see, as the contract's table has them: status, code, challenge, next step,
//! and the order in which a request is checked.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Es256, Feed, Gateway, Plan, Raw, Stub, now_seconds, pipe, run};

/// A refused call leaves no trace at the upstream.
#[track_caller]
fn nothing_arrived(gate: &Gateway) {
    assert_eq!(gate.upstream.count(), 0, "{:?}", gate.upstream.recorded());
}

/// `WWW-Authenticate` is `scheme` with exactly these parameters, whose values are in `known` if they
/// are fixed.
#[track_caller]
fn challenges(answer: &Answer, scheme: &str, names: &[&str], known: &[(&str, &str)]) {
    let challenge = answer.challenge().expect("a challenge");
    assert_eq!(challenge.scheme, scheme);
    assert_eq!(challenge.names(), names, "{challenge:?}");
    for (name, value) in known {
        assert_eq!(challenge.param(name), *value);
    }
}

#[track_caller]
fn no_challenge(answer: &Answer) {
    assert_eq!(answer.challenge(), None);
}

fn shop_metadata(gate: &Gateway) -> String {
    let path = "/.well-known/oauth-protected-resource/shop";
    format!("{}{path}", gate.public_url)
}

async fn get(gate: &Gateway, token: &str, path: &str) -> Answer {
    gate.call("GET", path).bearer(token).send().await
}

#[test]
fn without_a_token_the_challenge_leads_to_the_authorization_server() {
    run(async {
        let gate = Plan::new().start().await;
        let metadata = shop_metadata(&gate);
        for credential in [
            None,
            Some("Basic Ym90OnNlY3JldA=="),
            Some("Bearer"),
            Some("Bearer "),
        ] {
            let call = gate.call("GET", "/shop/items");
            let call = match credential {
                None => call,
                Some(credential) => call.header("authorization", credential),
            };
            let answer = call.send().await;
            answer.refusal(401, "token_missing");
            let known = [("resource_metadata", metadata.as_str())];
            challenges(&answer, "Bearer", &["resource_metadata"], &known);
        }
        nothing_arrived(&gate);

        // Where the challenge points, the resource is described, and its server is really there.
        let path = metadata.strip_prefix(&gate.public_url).unwrap();
        let document = gate.call("GET", path).send().await.expect(200).json();
        assert_eq!(document["resource"], format!("{}/shop", gate.public_url));
        assert_eq!(document["authorization_servers"], json!([gate.control_url]));
        let server = "/.well-known/oauth-authorization-server";
        let server = gate.control("GET", server).send().await.expect(200).json();
        assert_eq!(server["issuer"], gate.control_url);
        let endpoint = format!("{}/oauth/token", gate.control_url);
        assert_eq!(server["token_endpoint"], endpoint);
    });
}

#[test]
fn a_token_that_is_not_believed_is_said_to_be_invalid() {
    run(async {
        let gate = Plan::new().start().await;
        let answer = get(&gate, "not.a.token", "/shop/items").await;
        answer.refusal(401, "token_invalid");
        let names = ["error", "error_description", "resource_metadata"];
        let metadata = shop_metadata(&gate);
        let known = [
            ("error", "invalid_token"),
            ("resource_metadata", metadata.as_str()),
        ];
        challenges(&answer, "Bearer", &names, &known);
        nothing_arrived(&gate);
    });
}

#[test]
fn an_expired_token_is_told_apart_from_an_invalid_one() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let work = gate.agent("bot").works("items").await;
        get(&gate, &work.token, "/shop/items").await.expect(200);
        gate.advance(Duration::from_secs(299));
        get(&gate, &work.token, "/shop/items").await.expect(200);
        gate.advance(Duration::from_secs(1));
        let answer = get(&gate, &work.token, "/shop/items").await;
        answer.refusal(401, "token_expired");
        let names = ["error", "error_description", "resource_metadata"];
        challenges(&answer, "Bearer", &names, &[("error", "invalid_token")]);

        // The grant lives on: a fresh token of the same task is all that it takes.
        let fresh = gate.agent("bot").token_for(&work.task).await;
        get(&gate, &fresh, "/shop/items").await.expect(200);
    });
}

#[test]
fn unknown_foreign_and_ended_tasks_answer_alike() {
    run(async {
        let outside = Outside::new();
        let gate = outside.plan().start().await;
        let (bot, rival) = (gate.agent("bot"), gate.agent("rival"));
        let ended = bot.works("items").await;
        ended.completes(&gate).await;
        let foreign = rival.works("items").await;
        let mut answers = Vec::new();
        for task in [
            "never-opened",
            ended.task.as_str(),
            foreign.task.as_str(),
            "not/an id",
        ] {
            let token = outside.token(&gate, &json!({ "sub": "bot", "task": task }));
            answers.push(get(&gate, &token, "/shop/items").await);
        }
        answers.push(get(&gate, &ended.token, "/shop/items").await);
        let problem = |answer: &Answer| {
            let mut problem = answer.refusal(401, "task_ended");
            problem["request_id"].take();
            problem
        };
        for answer in &answers {
            assert_eq!(problem(answer), problem(&answers[0]));
            assert_eq!(answer.challenge(), answers[0].challenge());
            let names = ["error", "error_description", "resource_metadata"];
            challenges(answer, "Bearer", &names, &[("error", "invalid_token")]);
        }
        nothing_arrived(&gate);
    });
}

#[test]
fn a_missing_proof_is_asked_for_in_its_own_scheme() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let dpop = bot.works("dpop").await;
        let answer = get(&gate, &dpop.token, "/shop/dpop").await;
        answer.refusal(401, "proof_required");
        let algorithms = [("algs", "ES256 EdDSA PS256 RS256")];
        challenges(&answer, "DPoP", &["algs"], &algorithms);

        let mtls = bot.works("mtls").await;
        let answer = get(&gate, &mtls.token, "/shop/mtls").await;
        answer.refusal(401, "proof_required");
        let challenge = answer.challenge().unwrap();
        assert_eq!(challenge.scheme, "Bearer");
        assert_eq!(challenge.param("error"), "invalid_token");
        nothing_arrived(&gate);
    });
}

#[test]
fn a_proof_that_does_not_belong_to_the_token_is_invalid() {
    run(async {
        let outside = Outside::new();
        let gate = outside.plan().start().await;
        // A token that is bound to nothing, under the scheme for bound ones.
        let work = gate.agent("bot").works("items").await;
        let call = gate.call("GET", "/shop/items");
        let call = call.header("authorization", format!("DPoP {}", work.token));
        let answer = call.send().await;
        answer.refusal(401, "proof_invalid");
        let known = [("error", "invalid_dpop_proof")];
        challenges(&answer, "DPoP", &["algs", "error"], &known);

        // A token that is bound to a certificate, from somebody who does not show it.
        let bound = json!({ "sub": "bot", "cnf": { "x5t#S256": "A".repeat(43) } });
        let answer = get(&gate, &outside.token(&gate, &bound), "/shop/status").await;
        answer.refusal(401, "proof_invalid");
        let challenge = answer.challenge().unwrap();
        assert_eq!(challenge.scheme, "Bearer");
        assert_eq!(challenge.param("error"), "invalid_token");
        nothing_arrived(&gate);
    });
}

/// The next step of a refusal without a task, followed to the letter, ends in a call that passes.
#[test]
fn a_missing_grant_comes_with_the_steps_to_get_it() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let token = bot.token().await;
        let answer = get(&gate, &token, "/shop/items/7").await;
        let problem = answer.refusal(403, "grant_required");
        let metadata = shop_metadata(&gate);
        let known = [
            ("error", "insufficient_scope"),
            ("scope", "items"),
            ("resource_metadata", metadata.as_str()),
        ];
        let names = ["error", "resource_metadata", "scope"];
        challenges(&answer, "Bearer", &names, &known);
        let control = &gate.control_url;
        let next = json!({
            "task_url": format!("{control}/v1/tasks"),
            "token_url": format!("{control}/oauth/token"),
            "request_url": format!("{control}/v1/requests"),
            "authorization_details": [{ "type": "portcullis_grant", "entitlement": "items" }],
            "approval": false,
        });
        assert_eq!(problem["next"], next);

        let path = |name: &str| {
            let url = problem["next"][name].as_str().unwrap();
            url.strip_prefix(control.as_str()).unwrap().to_owned()
        };
        let opened = gate.control("POST", &path("task_url")).bearer(&token);
        let task = opened.json(&json!({})).send().await.expect(201).json();
        let task = task["id"].as_str().unwrap();
        let token = bot.token_for(task).await;
        let answer = get(&gate, &token, "/shop/items/7").await;
        let problem = answer.refusal(403, "grant_required");
        let next = json!({
            "request_url": format!("{control}/v1/requests"),
            "authorization_details":
                [{ "type": "portcullis_grant", "entitlement": "items", "task": task }],
            "approval": false,
        });
        assert_eq!(problem["next"], next, "the token names a task already");

        // The details are the body to send as they are.
        let details = &problem["next"]["authorization_details"][0];
        let request = gate.control("POST", &path("request_url")).bearer(&token);
        request.json(details).send().await.expect(201);
        nothing_arrived(&gate);
        get(&gate, &token, "/shop/items/7").await.expect(200);
    });
}

#[test]
fn a_person_who_has_to_approve_is_announced() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").opens().await;
        let answer = get(&gate, &work.token, "/shop/reviewed").await;
        let problem = answer.refusal(403, "grant_required");
        assert_eq!(problem["next"]["approval"], true);
        assert_eq!(answer.challenge().unwrap().param("scope"), "reviewed");
    });
}

#[test]
fn the_narrowest_entitlement_that_may_be_asked_for_is_named() {
    run(async {
        let one = |id: &str, operations: &str| {
            format!(
                "[[entitlement]]\nid = \"{id}\"\noperations = [{operations}]\nmax_ttl = \"1h\"\n"
            )
        };
        let entitlements = [
            one("a-wide", r#""shop.list", "shop.read", "shop.data""#),
            one("c-narrow", r#""shop.list", "shop.read""#),
            one("b-narrow", r#""shop.list", "shop.data""#),
            one("d-closed", r#""shop.list""#),
        ];
        let rules = r#"
            @id("open") permit (principal, action in Action::"open", resource);
            @id("ask") permit (principal, action == Action::"request", resource)
            unless { resource == Entitlement::"d-closed" };"#;
        let plan = Plan::new().file("entitlements.toml", &entitlements.concat());
        let gate = plan.file("rules.cedar", rules).start().await;
        let token = gate.agent("bot").token().await;
        // The narrowest of all may not be asked for; of two alike, the first by name counts.
        let answer = get(&gate, &token, "/shop/items").await;
        answer.refusal(403, "grant_required");
        assert_eq!(answer.challenge().unwrap().param("scope"), "b-narrow");
    });
}

#[test]
fn who_may_ask_for_nothing_learns_no_names() {
    run(async {
        let gate = Plan::new().start().await;
        let token = gate.agent("outsider").token().await;
        let answer = get(&gate, &token, "/shop/items").await;
        let problem = answer.refusal(403, "not_entitled");
        no_challenge(&answer);
        assert_eq!(problem["next"], Value::Null);
        for name in ["items", "work", "shop.list", "bots"] {
            assert!(
                !answer.text().contains(&format!("`{name}`")),
                "{}",
                answer.text()
            );
        }
        nothing_arrived(&gate);
    });
}

#[test]
fn a_rule_that_says_no_is_named_and_explained_but_never_quoted() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let call = gate.call("POST", "/shop/pay").bearer(&work.token);
        let answer = call.json(&json!({ "amount": 101 })).send().await;
        let problem = answer.refusal(403, "condition_denied");
        no_challenge(&answer);
        assert_eq!(problem["rule"], "small-payments");
        assert_eq!(problem["detail"], "a payment has at most 100");
        for piece in ["forbid", "context.input", "> 100", "principal"] {
            assert!(!answer.text().contains(piece), "{}", answer.text());
        }
        // No rule at all permits this one.
        let answer = get(&gate, &work.token, "/shop/silent").await;
        let problem = answer.refusal(403, "condition_denied");
        assert_eq!(problem["rule"], Value::Null);
        no_challenge(&answer);
        nothing_arrived(&gate);
        let call = gate.call("POST", "/shop/pay").bearer(&work.token);
        call.json(&json!({ "amount": 100 }))
            .send()
            .await
            .expect(200);
    });
}

#[test]
fn a_rule_that_wants_a_person_or_a_second_factor_names_no_grant_that_nobody_is_asked_for() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        for (path, code, rule) in [
            ("/shop/sealed", "approval_required", "sealed-by-leads"),
            ("/shop/second", "mfa_required", "second-factor"),
        ] {
            let answer = get(&gate, &work.token, path).await;
            let problem = answer.refusal(403, code);
            no_challenge(&answer);
            assert_eq!(problem["rule"], rule);
            // All that covers it is given without asking anybody: another such grant would meet the same.
            assert_eq!(problem.get("next"), None, "{problem}");
        }
        nothing_arrived(&gate);
    });
}

#[test]
fn a_used_up_budget_is_no_missing_grant() {
    run(async {
        let once = "[[entitlement]]\nid = \"once\"\noperations = [\"shop.list\"]\n\
                    max_ttl = \"1h\"\nmax_calls = 1\n";
        let gate = Plan::new().file("entitlements.toml", once).start().await;
        let work = gate.agent("bot").works("once").await;
        get(&gate, &work.token, "/shop/items").await.expect(200);
        let answer = get(&gate, &work.token, "/shop/items").await;
        answer.refusal(403, "budget_exhausted");
        no_challenge(&answer);
        assert_eq!(gate.upstream.count(), 1);
    });
}

#[test]
fn inputs_are_read_exactly_as_declared() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        for query in [
            "",
            "?most=",
            "?most=ten",
            "?most=1.5",
            "?most=+5",
            "?most=007",
            "?most=1&most=1",
            "?most=1&MOST=2",
            "?most=%zz",
            "?most=9223372036854775808",
        ] {
            let answer = get(&gate, &work.token, &format!("/shop/find{query}")).await;
            let problem = answer.refusal(400, "input_invalid");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("`most`"), "{query}: {detail}");
        }
        let bodies = [
            ("application/json", ""),
            ("application/json", "{"),
            ("application/json", r#"{"amount": "5"}"#),
            ("application/json", r#"{"amount": 5.5}"#),
            ("application/json", r#"{"amount": 5, "amount": 500}"#),
            ("application/json", r#"{"amount": 5, "Amount": 500}"#),
            ("application/json", r#"{"other": 5}"#),
            ("application/json; charset=utf-16", r#"{"amount": 5}"#),
            ("text/plain", r#"{"amount": 5}"#),
        ];
        for (kind, body) in bodies {
            let call = gate.call("POST", "/shop/pay").bearer(&work.token);
            let answer = call.header("content-type", kind).bytes(body).send().await;
            answer.refusal(400, "input_invalid");
            no_challenge(&answer);
        }
        let call = gate.call("POST", "/shop/pay").bearer(&work.token);
        let call = call.header("content-encoding", "gzip");
        let answer = call.json(&json!({ "amount": 5 })).send().await;
        answer.refusal(400, "input_invalid");
        nothing_arrived(&gate);
        get(&gate, &work.token, "/shop/find?most=10")
            .await
            .expect(200);
    });
}

#[test]
fn a_path_with_two_readings_is_refused() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        for path in [
            "/shop/items/a%2Fb",
            "/shop/items/%2e%2e",
            "/shop/items/../status",
            "/shop/./items",
            "/shop//items",
            "/shop/items/a%00b",
            "/shop/items/a%5Cb",
            "/shop/items/a\\b",
            "/shop/items/%zz",
            "/shop/items/%",
            "/shop/items/%252e%252e/x",
        ] {
            let mut raw = Raw::connect(&gate).await;
            let token = &work.token;
            raw.say(format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .await;
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 400 "), "{path}: {head}");
            let (body, _) = raw.rest().await;
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["code"], "path_ambiguous", "{path}");
        }
        nothing_arrived(&gate);
    });
}

#[test]
fn a_malformed_request_is_refused() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let token = &work.token;
        let authorized = format!("Authorization: Bearer {token}\r\n");
        let twice = format!("Host: localhost\r\n{authorized}{authorized}");
        let two = format!("Host: localhost\r\n{authorized}Authorization: Bearer other\r\n");
        let hosts = format!("Host: localhost\r\nHost: elsewhere\r\n{authorized}");
        let copied = format!("Host: localhost\r\n{authorized}X-Copy: {token}\r\n");
        let task = format!("Host: localhost\r\n{authorized}Portcullis-Task: another\r\n");
        for (line, headers) in [
            ("GET /shop/items HTTP/1.1", twice.as_str()),
            ("GET /shop/items HTTP/1.1", two.as_str()),
            ("GET /shop/items HTTP/1.1", hosts.as_str()),
            ("GET /shop/items HTTP/1.1", authorized.as_str()),
            ("GET /shop/items HTTP/1.1", copied.as_str()),
            ("GET /shop/items HTTP/1.1", task.as_str()),
            (
                "TRACE /shop/items HTTP/1.1",
                &format!("Host: localhost\r\n{authorized}"),
            ),
            (
                "GET http://elsewhere/shop/items HTTP/1.1",
                &format!("Host: localhost\r\n{authorized}"),
            ),
        ] {
            let mut raw = Raw::connect(&gate).await;
            raw.say(format!("{line}\r\n{headers}Connection: close\r\n\r\n"))
                .await;
            let head = raw.head().await;
            assert!(
                head.starts_with("HTTP/1.1 400 "),
                "{line} {headers}: {head}"
            );
            assert!(
                !head.to_ascii_lowercase().contains("www-authenticate"),
                "{head}"
            );
            let (body, _) = raw.rest().await;
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["code"], "request_malformed", "{headers}");
        }
        nothing_arrived(&gate);
        get(&gate, token, "/shop/items").await.expect(200);
    });
}

#[test]
fn an_operation_that_is_not_listed_does_not_exist() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/shop"),
            ("GET", "/shop/nothing"),
            ("GET", "/Shop/items"),
            ("GET", "/shop/data"),
            ("GET", "/shop/items/7/more"),
            ("DELETE", "/shop/items"),
            ("GET", "/elsewhere"),
        ] {
            let answer = gate.call(method, path).bearer(&work.token).send().await;
            answer.refusal(404, "operation_unknown");
            no_challenge(&answer);
        }
        nothing_arrived(&gate);
    });
}

#[test]
fn a_body_that_stops_coming_is_a_timeout() {
    run(async {
        let limits = "[limits]\nbody_idle_timeout = \"200ms\"\n";
        let gate = Plan::new().settings(limits).start().await;
        let work = gate.agent("bot").works("work").await;
        let (feed, body) = pipe();
        let call = gate.call("POST", "/shop/pay").bearer(&work.token);
        let call = call.header("content-type", "application/json").body(body);
        let (answer, ()) = tokio::join!(call.send(), stall(&feed));
        answer.refusal(408, "timeout");
        no_challenge(&answer);
        nothing_arrived(&gate);
    });
}

/// Sends a beginning, and nothing more.
async fn stall(feed: &Feed) {
    feed.send("{\"amount\": ").await;
}

#[test]
fn what_is_too_large_is_not_read() {
    run(async {
        let limits = "[limits]\nbody_peek_bytes = \"1KiB\"\nuri_bytes = \"1KiB\"\n";
        let gate = Plan::new().settings(limits).start().await;
        let work = gate.agent("bot").works("work").await;
        let call = gate.call("POST", "/shop/pay").bearer(&work.token);
        let body = json!({ "amount": 5, "note": "x".repeat(1100) });
        let answer = call.json(&body).send().await;
        answer.refusal(413, "too_large");
        assert_eq!(answer.header("connection"), Some("close"));

        let path = format!("/shop/items/{}", "x".repeat(1100));
        let answer = get(&gate, &work.token, &path).await;
        answer.refusal(414, "too_large");

        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let call = (0..101).fold(call, |call, n| call.header(&format!("x-{n}"), "x"));
        assert_eq!(call.send().await.status, 431);
        nothing_arrived(&gate);
    });
}

/// RFC 9112 §9.6: most clients look for an answer when they have sent all.
#[test]
fn a_client_that_sends_on_finds_its_refusal() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let gate = plan.start().await;
            let mut raw = Raw::connect(&gate).await;
            let length = 16 << 20;
            raw.say(format!(
                "POST /shop/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
            raw.say(vec![b'x'; length]).await;
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
        }
    });
}

/// A request has all faults behind a place in the order of checks, and is refused for the first one.
#[test]
fn checks_are_made_in_the_order_of_the_contract() {
    run(async {
        let gate = Plan::new()
            .file("entitlements.toml", ONE_PAYMENT)
            .start()
            .await;
        let (bot, outsider) = (gate.agent("bot"), gate.agent("outsider"));
        let asks = |token: Option<String>, path: &'static str, amount: Value| {
            let call = gate.call("POST", path).json(&json!({ "amount": amount }));
            match token {
                Some(token) => call.bearer(&token),
                None => call,
            }
        };
        let stranger = outsider.token().await;
        let work = bot.works("payment").await;
        let token = Some(work.token.clone());
        let none = || json!("many");
        let too_much = || json!(1000);
        for (call, status, code) in [
            // Canonical before token, token before operation.
            (
                asks(None, "/shop/../nowhere", none()),
                400,
                "path_ambiguous",
            ),
            (asks(None, "/nowhere", none()), 401, "token_missing"),
            (
                asks(Some("bad".into()), "/nowhere", none()),
                401,
                "token_invalid",
            ),
            // Operation before grant, grant before inputs.
            (
                asks(Some(stranger.clone()), "/nowhere", none()),
                404,
                "operation_unknown",
            ),
            (
                asks(Some(stranger), "/shop/pay", none()),
                403,
                "not_entitled",
            ),
            (
                asks(Some(bot.token().await), "/shop/pay", none()),
                403,
                "grant_required",
            ),
            // Inputs before conditions, conditions before budget.
            (
                asks(token.clone(), "/shop/pay", none()),
                400,
                "input_invalid",
            ),
            (
                asks(token.clone(), "/shop/pay", too_much()),
                403,
                "condition_denied",
            ),
        ] {
            call.send().await.refusal(status, code);
        }
        nothing_arrived(&gate);
        asks(token.clone(), "/shop/pay", json!(1))
            .send()
            .await
            .expect(200);
        let last = asks(token.clone(), "/shop/pay", too_much()).send().await;
        last.refusal(403, "condition_denied");
        let last = asks(token, "/shop/pay", json!(1)).send().await;
        last.refusal(403, "budget_exhausted");
        assert_eq!(gate.upstream.count(), 1);
    });
}

const ONE_PAYMENT: &str = r#"
[[entitlement]]
id = "payment"
operations = ["shop.pay"]
max_ttl = "1h"
max_calls = 1
"#;

/// The body of a call that is refused for its grant is not waited for.
#[test]
fn a_call_without_a_right_is_refused_before_its_body_comes() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").opens().await;
        let (_feed, body) = pipe();
        let call = gate.call("POST", "/shop/pay").bearer(&work.token);
        let call = call.header("content-type", "application/json").body(body);
        let opened = call.open().await;
        assert_eq!(opened.status(), 403);
    });
}

#[test]
fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    run(async {
        let nowhere = SERVICE.replace("{address}", "127.0.0.1:1");
        let gate = Plan::new().file("services.toml", &nowhere).start().await;
        let work = gate.agent("bot").works("items").await;
        let answer = get(&gate, &work.token, "/shop/items").await;
        answer.refusal(502, "upstream_unreachable");
        no_challenge(&answer);
        assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    });
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_a_gateway_timeout() {
    run(async {
        let slow = format!("{SERVICE}timeouts = {{ response = \"150ms\" }}\n");
        let stub = Stub::bind().await;
        let slow = slow.replace("{address}", &stub.address().to_string());
        let gate = Plan::new().file("services.toml", &slow).start().await;
        let work = gate.agent("bot").works("items").await;
        let answered = get(&gate, &work.token, "/shop/items");
        let (answer, mut peer) = tokio::join!(answered, async {
            let mut peer = stub.accept().await;
            peer.head().await;
            peer
        });
        answer.refusal(504, "upstream_timeout");
        no_challenge(&answer);
        peer.closed().await;
    });
}

const SERVICE: &str = r#"
[[service]]
name = "shop"
match = { path = "/shop" }
upstreams = ["http://{address}"]
"#;

/// A trusted outside issuer, whose tokens say what a test wants.
struct Outside(Es256);

impl Outside {
    fn new() -> Self {
        Self(Es256::generate())
    }

    fn plan(&self) -> Plan {
        let keys = json!({ "keys": [self.0.public_jwk("outside")] });
        Plan::new().data("outside.json", &keys.to_string()).settings(
            "[[trusted_issuer]]\nissuer = \"https://idp.example\"\njwks_file = \"outside.json\"\n\
             task_claim = \"task\"\n",
        )
    }

    fn token(&self, gate: &Gateway, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": "outside", "typ": "JWT" });
        let mut all = json!({
            "iss": "https://idp.example",
            "aud": gate.public_url,
            "iat": now_seconds(),
            "exp": now_seconds() + 300,
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.0.sign(&header, &all)
    }
}

/// An answer to HEAD has no content, over HTTP/2 either, and the head that one to GET would have (RFC 9110 §9.3.2).
#[test]
fn a_refusal_of_head_is_a_head() {
    run(async {
        let gate = Plan::new().tls().start().await;
        for http2 in [false, true] {
            let call = |method: &str, path: &str| {
                let call = gate.call(method, path);
                if http2 { call.http2() } else { call }
            };
            for (path, status) in [
                ("/shop/items", 401),
                ("/shop//items", 400),
                ("/.well-known/oauth-protected-resource", 200),
                ("/.well-known/oauth-protected-resource/nothing", 404),
            ] {
                let get = call("GET", path).send().await.expect(status);
                let head = call("HEAD", path).send().await.expect(status);
                assert_eq!(head.text(), "");
                for name in ["content-type", "content-length"] {
                    assert_eq!(head.header(name), get.header(name), "{path}");
                }
            }
        }
    });
}
