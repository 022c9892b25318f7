//! The control side: agents see what is theirs, people what they may, and whatever comes in, it is never
//! the server's fault.

mod described;
mod unfinished;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, Plan, Raw, Work, run};

/// An answer of the API that says no: a problem document with a status of the 400s.
#[track_caller]
fn is_problem(what: &str, answer: &Answer) {
    let shown = String::from_utf8_lossy(&answer.body);
    assert!(
        (400..500).contains(&answer.status),
        "{what}: {} {shown}",
        answer.status
    );
    let kind = answer.header("content-type");
    assert_eq!(
        kind,
        Some("application/problem+json"),
        "{what}: {} {shown}",
        answer.status
    );
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status, "{what}: {shown}");
    let code = problem["code"].as_str().expect("a code");
    assert_eq!(
        problem["type"],
        format!("urn:portcullis:refusal:{code}"),
        "{what}"
    );
    assert_eq!(answer.status == 401, answer.challenge().is_some(), "{what}");
}

async fn get(gate: &Gateway, key: &str, path: &str) -> Answer {
    gate.control("GET", path).bearer(key).send().await
}

async fn post(gate: &Gateway, key: &str, path: &str, body: &Value) -> Answer {
    gate.control("POST", path)
        .bearer(key)
        .json(body)
        .send()
        .await
}

/// The request that led to a grant.
async fn request_of(gate: &Gateway, work: &Work) -> String {
    let requests = get(gate, &work.token, "/v1/requests")
        .await
        .expect(200)
        .json();
    let items = requests["items"].as_array().unwrap();
    let request = items.iter().find(|request| request["grant"] == work.grant);
    request.expect("the request")["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn what_is_anothers_looks_like_what_is_not_there() {
    run(async {
        let gate = Plan::new().start().await;
        let own = gate.agent("bot").works("items").await;
        let request = request_of(&gate, &own).await;
        let stranger = gate.agent("rival").works("items").await;
        let identity = gate.agent("rival").token().await;
        for token in [&stranger.token, &identity] {
            for (method, path, id) in [
                ("GET", "/v1/tasks/{}", &own.task),
                ("POST", "/v1/tasks/{}/heartbeat", &own.task),
                ("POST", "/v1/tasks/{}/complete", &own.task),
                ("POST", "/v1/tasks/{}/fail", &own.task),
                ("POST", "/v1/tasks/{}/cancel", &own.task),
                ("GET", "/v1/grants/{}", &own.grant),
                ("POST", "/v1/grants/{}/revoke", &own.grant),
                ("GET", "/v1/requests/{}", &request),
            ] {
                let call = |id: &str| {
                    let path = path.replace("{}", id);
                    gate.control(method, &path).bearer(token).send()
                };
                let (foreign, absent) = (call(id).await, call("never-there").await);
                let shown = |answer: &Answer, id: &str| {
                    answer.problem(404, "not_found");
                    answer.text().replace(id, "{}")
                };
                assert_eq!(shown(&foreign, id), shown(&absent, "never-there"), "{path}");
            }
            let into = json!({ "task": own.task, "entitlement": "items" });
            post(&gate, token, "/v1/requests", &into)
                .await
                .problem(404, "not_found");
            let span = json!({ "parent": own.task });
            post(&gate, token, "/v1/tasks", &span)
                .await
                .problem(404, "not_found");
            for path in ["/v1/grants", "/v1/requests"] {
                let listed = get(&gate, token, path).await.expect(200).json();
                let agents = listed["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| &item["agent"]);
                assert!(agents.into_iter().all(|agent| agent == "rival"), "{listed}");
                let of_task = get(&gate, token, &format!("{path}?task={}", own.task)).await;
                assert_eq!(of_task.expect(200).json()["items"], json!([]));
                get(&gate, token, &format!("{path}?agent=bot"))
                    .await
                    .problem(403, "forbidden");
            }
        }
        gate.call("GET", "/shop/items")
            .bearer(&own.token)
            .send()
            .await
            .expect(200);
    });
}

/// A token for one task is all that a compromised span has.
#[test]
fn a_token_for_one_task_reaches_that_task_and_what_lies_below() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let above = bot.works("items").await;
        let below = bot
            .opens_as(&json!({ "parent": above.task, "lease_seconds": 600 }))
            .await;
        let request = json!({ "task": below.task, "entitlement": "items" });
        let below = bot.granted(below, &request).await;
        let beside = bot.works("items").await;
        for (token, reached, out_of_reach) in [
            (&above.token, vec![&above, &below], vec![&beside]),
            (&below.token, vec![&below], vec![&above, &beside]),
        ] {
            for work in reached {
                get(&gate, token, &format!("/v1/tasks/{}", work.task))
                    .await
                    .expect(200);
                get(&gate, token, &format!("/v1/grants/{}", work.grant))
                    .await
                    .expect(200);
            }
            for work in out_of_reach {
                let request = request_of(&gate, work).await;
                for (method, path) in [
                    ("GET", format!("/v1/tasks/{}", work.task)),
                    ("POST", format!("/v1/tasks/{}/complete", work.task)),
                    ("GET", format!("/v1/grants/{}", work.grant)),
                    ("POST", format!("/v1/grants/{}/revoke", work.grant)),
                    ("GET", format!("/v1/requests/{request}")),
                ] {
                    let answer = gate.control(method, &path).bearer(token).send().await;
                    assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
                }
                let into = json!({ "task": work.task, "entitlement": "items" });
                post(&gate, token, "/v1/requests", &into)
                    .await
                    .problem(404, "not_found");
                for path in ["/v1/grants", "/v1/requests"] {
                    let listed = get(&gate, token, path).await.expect(200);
                    assert!(
                        !listed.text().contains(&work.task),
                        "{path}: {}",
                        listed.text()
                    );
                }
            }
        }
        // A token that names no task is the agent itself.
        let identity = bot.token().await;
        for work in [&above, &below, &beside] {
            get(&gate, &identity, &format!("/v1/grants/{}", work.grant))
                .await
                .expect(200);
        }
    });
}

#[test]
fn after_its_end_a_task_can_be_read_and_its_end_repeated_and_nothing_else() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("items").await;
        let receipt = work.completes(&gate).await;
        let task = get(&gate, &work.token, &format!("/v1/tasks/{}", work.task)).await;
        let task = task.expect(200).json();
        assert_eq!(task["state"], "ended");
        assert_eq!(task["end_reason"], "completed");
        assert_eq!(work.completes(&gate).await, receipt);
        let request = json!({ "task": work.task, "entitlement": "items" });
        post(&gate, &work.token, "/v1/requests", &request)
            .await
            .problem(401, "task_ended");
        post(&gate, &work.token, "/v1/tasks", &json!({}))
            .await
            .problem(401, "task_ended");
        let beat = format!("/v1/tasks/{}/heartbeat", work.task);
        post(&gate, &work.token, &beat, &json!({}))
            .await
            .problem(409, "conflict");
        // A task id is never used twice.
        let again = json!({ "id": work.task });
        let identity = gate.agent("bot").token().await;
        post(&gate, &identity, "/v1/tasks", &again)
            .await
            .problem(409, "conflict");
    });
}

#[test]
fn a_task_looks_as_the_contract_says() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let token = gate.agent("bot").token().await;
        let body = json!({
            "id": "case-7", "kind": "refund", "description": "Order 7", "lease_seconds": 90,
        });
        let opened = post(&gate, &token, "/v1/tasks", &body).await.expect(201);
        assert_eq!(opened.header("location"), Some("/v1/tasks/case-7"));
        let task = opened.json();
        let at = |seconds| (gate.clock.wall() + Duration::from_secs(seconds)).to_string();
        let wanted = json!({
            "id": "case-7", "state": "open", "kind": "refund", "description": "Order 7",
            "agent": "bot", "opened_by": "bot", "opened_at": at(0), "lease_seconds": 90,
            "lease_expires_at": at(90), "grants": [],
        });
        assert_eq!(task, wanted);
        let bound = gate.agent("bot").token_for("case-7").await;
        let asked = json!({ "task": "case-7", "entitlement": "items", "reason": "7", "duration_seconds": 60 });
        let granted = post(&gate, &bound, "/v1/requests", &asked)
            .await
            .expect(201);
        let request = granted.json();
        let location = format!("/v1/requests/{}", request["id"].as_str().unwrap());
        assert_eq!(granted.header("location"), Some(location.as_str()));
        for (member, value) in [
            ("state", json!("active")),
            ("agent", json!("bot")),
            ("task", json!("case-7")),
            ("entitlement", json!("items")),
            ("reason", json!("7")),
            ("duration_seconds", json!(60)),
            ("requested_at", json!(at(0))),
            ("expires_at", json!(at(60))),
            ("approvals", json!([])),
        ] {
            assert_eq!(request[member], value, "`{member}` of {request}");
        }
        assert_eq!(request["digest"].as_str().unwrap().len(), 64);
        let grant = request["grant"].as_str().unwrap();
        let shown = get(&gate, &bound, &format!("/v1/grants/{grant}"))
            .await
            .expect(200)
            .json();
        let wanted = json!({
            "id": grant, "state": "active", "agent": "bot", "task": "case-7",
            "entitlement": "items", "operations": ["shop.list", "shop.read"],
            "starts_at": at(0), "expires_at": at(60),
        });
        assert_eq!(shown, wanted);
        let task = get(&gate, &bound, "/v1/tasks/case-7")
            .await
            .expect(200)
            .json();
        assert_eq!(task["grants"], json!([grant]));
        assert_eq!(
            get(&gate, &bound, &location).await.expect(200).json(),
            request
        );
    });
}

#[test]
fn an_agent_opens_tasks_for_others_only_where_it_may() {
    run(async {
        let gate = Plan::new().start().await;
        let file = gate.policies().join("agents/bot.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        gate.write_policy(
            "agents/bot.toml",
            &text.replacen("groups", "may_open_for = [\"rival\"]\ngroups", 1),
        );
        gate.publish().await;
        let (bot, rival) = (gate.agent("bot"), gate.agent("rival"));
        let for_other = |agent: &str| json!({ "agent": agent });
        let opened = post(&gate, &bot.token().await, "/v1/tasks", &for_other("rival")).await;
        let task = opened.expect(201).json();
        assert_eq!(task["agent"], "rival");
        assert_eq!(task["opened_by"], "bot");
        rival.token_for(task["id"].as_str().unwrap()).await;
        for (token, agent) in [
            (bot.token().await, "outsider"),
            (bot.token().await, "nobody"),
            (rival.token().await, "bot"),
        ] {
            post(&gate, &token, "/v1/tasks", &for_other(agent))
                .await
                .problem(403, "forbidden");
        }
        let by_person = post(&gate, &gate.operator(), "/v1/tasks", &for_other("outsider")).await;
        assert_eq!(by_person.expect(201).json()["opened_by"], "operator");
        is_problem(
            "a person names the agent",
            &post(&gate, &gate.operator(), "/v1/tasks", &json!({})).await,
        );
        is_problem(
            "who is there",
            &post(&gate, &gate.operator(), "/v1/tasks", &for_other("nobody")).await,
        );
    });
}

#[test]
fn whatever_a_body_says_it_is_the_senders_fault() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").opens().await;
        let identity = gate.agent("bot").token().await;
        let task = &work.task;
        let long = "x".repeat(2000);
        let bodies = [
            "null".to_owned(),
            "[]".to_owned(),
            "7".to_owned(),
            "\"text\"".to_owned(),
            "{".to_owned(),
            "{}}".to_owned(),
            "{\"kind\": \"a\", }".to_owned(),
            "\u{feff}{}".to_owned(),
            format!("{}{}", "[".repeat(5000), "]".repeat(5000)),
            "{\"unknown\": 1}".to_owned(),
            "{\"kind\": \"a\", \"kind\": \"b\"}".to_owned(),
            "{\"kind\": 7}".to_owned(),
            "{\"id\": \"\"}".to_owned(),
            "{\"id\": \"a b\"}".to_owned(),
            "{\"id\": \"../../etc\"}".to_owned(),
            "{\"id\": \"a\\u0000b\"}".to_owned(),
            "{\"id\": \"zoë\"}".to_owned(),
            format!("{{\"id\": \"{long}\"}}"),
            format!("{{\"kind\": \"{long}\"}}"),
            format!("{{\"description\": \"{long}\"}}"),
            "{\"lease_seconds\": 0}".to_owned(),
            "{\"lease_seconds\": -1}".to_owned(),
            "{\"lease_seconds\": 1.5}".to_owned(),
            "{\"lease_seconds\": \"60\"}".to_owned(),
            "{\"lease_seconds\": 1e400}".to_owned(),
            "{\"lease_seconds\": 99999999999999999999}".to_owned(),
            "{\"parent\": \"never-opened\"}".to_owned(),
        ];
        for body in &bodies {
            let call = gate.control("POST", "/v1/tasks").bearer(&identity);
            let call = call
                .header("content-type", "application/json")
                .bytes(body.clone());
            is_problem(body, &call.send().await);
        }
        let requests = [
            json!({}),
            json!({ "task": task }),
            json!({ "entitlement": "items" }),
            json!({ "task": task, "entitlement": "nothing" }),
            json!({ "task": task, "entitlement": long }),
            json!({ "task": "never-opened", "entitlement": "items" }),
            json!({ "task": task, "entitlement": "items", "duration_seconds": 0 }),
            json!({ "task": task, "entitlement": "items", "duration_seconds": -60 }),
            json!({ "task": task, "entitlement": "items", "duration_seconds": i64::MIN }),
            json!({ "task": task, "entitlement": "items", "duration_seconds": u64::MAX }),
            json!({ "task": task, "entitlement": "items", "duration_seconds": 60.5 }),
            json!({ "task": task, "entitlement": "items", "reason": long }),
            json!({ "task": task, "entitlement": "items", "reason": 7 }),
            json!({ "task": task, "entitlement": "items", "input": [] }),
            json!({ "task": task, "entitlement": "items", "input": { "nothing": 1 } }),
            json!({ "task": task, "entitlement": "items", "approval": true }),
            json!({ "task": task, "entitlement": "items", "type": "payment" }),
            json!({ "task": task, "entitlement": "items", "type": "" }),
            json!({ "task": task, "entitlement": "items", "type": 7 }),
        ];
        for body in &requests {
            is_problem(
                &body.to_string(),
                &post(&gate, &work.token, "/v1/requests", body).await,
            );
        }
        let call = gate
            .control("POST", "/v1/tasks")
            .bearer(&identity)
            .bytes("{}");
        is_problem("no content type", &call.send().await);
        let call = gate.control("POST", "/v1/tasks").bearer(&identity);
        let call = call.header("content-type", "text/plain").bytes("{}");
        is_problem("another content type", &call.send().await);
        let call = gate.control("POST", "/v1/tasks").bearer(&identity);
        let call = call
            .header("content-type", "application/json")
            .bytes(vec![0xff, 0xfe]);
        is_problem("no text", &call.send().await);
        // The longest durations are shortened, not refused.
        let forever = json!({ "task": task, "entitlement": "items", "duration_seconds": i64::MAX });
        post(&gate, &work.token, "/v1/requests", &forever)
            .await
            .expect(201);
    });
}

#[test]
fn ten_mebibytes_are_too_many() {
    run(async {
        let gate = Plan::new().start().await;
        let identity = gate.agent("bot").token().await;
        for (path, kind) in [
            ("/v1/tasks", "application/json"),
            ("/v1/requests", "application/json"),
            ("/oauth/token", "application/x-www-form-urlencoded"),
        ] {
            let mut raw = Raw::connect_to_control(&gate).await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {identity}\r\n\
                 Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                10 << 20
            );
            raw.say(head).await;
            // It may hang up before it has heard everything.
            raw.offer(vec![b' '; 10 << 20]).await;
            let answer = raw.head().await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        }
        post(&gate, &identity, "/v1/tasks", &json!({}))
            .await
            .expect(201);
    });
}

#[test]
fn odd_ids_queries_and_methods_are_problems_too() {
    run(async {
        let gate = Plan::new().start().await;
        let token = gate.agent("bot").works("items").await.token;
        let long = "x".repeat(5000);
        for id in [
            "%00",
            "%ff%fe",
            "%2e%2e",
            "%2F",
            "a%20b",
            "..%2f..%2fetc",
            "%E2%80%AE",
            "'",
            "{id}",
            "*",
            "-",
            "null",
            "%F0%9F%A6%80",
            long.as_str(),
        ] {
            for path in ["/v1/tasks/", "/v1/grants/", "/v1/requests/"] {
                let answer = get(&gate, &token, &format!("{path}{id}")).await;
                is_problem(&format!("{path}{id}"), &answer);
            }
            let end = gate.control("POST", &format!("/v1/tasks/{id}/complete"));
            is_problem(id, &end.bearer(&token).send().await);
        }
        for query in [
            "limit=many",
            "limit=-1",
            "limit=0",
            "limit=1.5",
            "limit=99999999999999999999",
            "cursor=%ff",
            "cursor=odd%20one",
            "task=a%20b",
            "agent=a%2Fb",
            "unknown=1",
            "limit=1&limit=2",
        ] {
            for path in ["/v1/grants", "/v1/requests"] {
                let answer = get(&gate, &token, &format!("{path}?{query}")).await;
                is_problem(query, &answer);
            }
        }
        for (method, path) in [
            ("GET", "/v1/nothing"),
            ("GET", "/v1"),
            ("GET", "/"),
            ("DELETE", "/v1/tasks"),
            ("PUT", "/v1/grants"),
            ("GET", "/v1/grants/x/revoke"),
            ("PATCH", "/v1/policies"),
            ("GET", "/v1/tasks/../tasks"),
        ] {
            let answer = gate.control(method, path).bearer(&token).send().await;
            is_problem(&format!("{method} {path}"), &answer);
        }
    });
}

#[test]
fn credentials_are_read_in_one_way() {
    run(async {
        let gate = Plan::new().start().await;
        let token = gate.agent("bot").token().await;
        let with = |value: &str| {
            gate.control("GET", "/v1/grants")
                .header("authorization", value)
        };
        is_problem("none", &gate.control("GET", "/v1/grants").send().await);
        for value in [
            "Basic Ym90Og==",
            "Bearer",
            "Bearer ",
            &token,
            "Bearer pk_unknown",
            "Bearer x",
        ] {
            let answer = with(value).send().await;
            assert_eq!(answer.status, 401, "{value}: {}", answer.text());
            is_problem(value, &answer);
        }
        let good = format!("Bearer {token}");
        with(&good).send().await.expect(200);
        with(&good)
            .header("authorization", &good)
            .send()
            .await
            .problem(400, "request_malformed");
        let dpop = format!("DPoP {token}");
        with(&dpop).send().await.problem(401, "proof_invalid");
    });
}

#[test]
fn the_first_operators_key_opens_what_is_for_people() {
    run(async {
        let gate = Plan::new().start().await;
        let file = gate.root().join("data/operator.key");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = gate.operator();
        assert!(key.starts_with("pk_") && key.len() >= 20, "{key}");
        let work = gate.agent("bot").works("items").await;
        for (method, path) in [
            ("GET", "/v1/policies"),
            ("POST", "/v1/policies/reload"),
            ("GET", "/metrics"),
        ] {
            let answer = gate.control(method, path).bearer(&key).send().await;
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        }
        for (method, path) in [("GET", "/v1/policies"), ("POST", "/v1/policies/reload")] {
            let answer = gate.control(method, path).bearer(&work.token).send().await;
            answer.problem(403, "forbidden");
            is_problem(path, &gate.control(method, path).send().await);
        }
        // An operator sees everybody's, and asks for nothing.
        let grants = get(&gate, &key, "/v1/grants?agent=bot")
            .await
            .expect(200)
            .json();
        assert_eq!(grants["items"][0]["id"], work.grant);
        get(&gate, &key, &format!("/v1/tasks/{}", work.task))
            .await
            .expect(200);
        let request = json!({ "task": work.task, "entitlement": "items" });
        post(&gate, &key, "/v1/requests", &request)
            .await
            .problem(403, "forbidden");
        // At the gateway a person's key is no token.
        let call = gate.call("GET", "/shop/status").bearer(&key).send().await;
        call.refusal(401, "token_invalid");
    });
}

#[test]
fn the_policies_are_shown_as_the_contract_says() {
    run(async {
        let gate = Plan::new().start().await;
        let status = get(&gate, &gate.operator(), "/v1/policies")
            .await
            .expect(200)
            .json();
        let generation = status["generation"].as_str().unwrap();
        assert!(generation.len() >= 12, "{status}");
        assert_eq!(status["rules"], 5);
        assert_eq!(status["last_refused"], Value::Null);
        status["since"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap();
    });
}

#[test]
fn the_api_describes_itself_and_every_route_of_it_is_there() {
    run(async {
        let gate = Plan::new().start().await;
        let document = gate
            .control("GET", "/v1/openapi.json")
            .send()
            .await
            .expect(200);
        assert_eq!(document.header("content-type"), Some("application/json"));
        let document = document.json();
        let version = document["openapi"].as_str().unwrap();
        assert!(version.starts_with("3.1"), "{version}");
        let paths = document["paths"].as_object().unwrap();
        for path in [
            "/v1/grants",
            "/v1/grants/{id}",
            "/v1/grants/{id}/revoke",
            "/v1/policies",
            "/v1/policies/reload",
            "/v1/requests",
            "/v1/requests/{id}",
            "/v1/tasks",
            "/v1/tasks/{id}",
            "/v1/tasks/{id}/cancel",
            "/v1/tasks/{id}/complete",
            "/v1/tasks/{id}/fail",
            "/v1/tasks/{id}/heartbeat",
        ] {
            assert!(paths.contains_key(path), "{path} is not described");
        }
        for (path, methods) in paths {
            for method in methods.as_object().unwrap().keys() {
                let concrete = path.replace("{id}", "x");
                let answer = gate.control(&method.to_uppercase(), &concrete).send().await;
                assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
            }
        }
    });
}

#[test]
fn health_needs_no_key_and_metrics_name_nobody() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("items").await;
        gate.call("GET", "/shop/items")
            .bearer(&work.token)
            .send()
            .await
            .expect(200);
        gate.call("GET", "/shop/dpop")
            .bearer(&work.token)
            .send()
            .await
            .expect(403);
        gate.control("GET", "/livez").send().await.expect(200);
        gate.control("GET", "/readyz").send().await.expect(200);
        let metrics = gate.control("GET", "/metrics").bearer(&gate.operator());
        let metrics = metrics.send().await.expect(200);
        let kind = metrics.header("content-type").unwrap();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let text = metrics.text();
        assert!(text.trim_end().ends_with("# EOF"), "{text}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        for sample in samples {
            assert!(sample.starts_with("portcullis_"), "{sample}");
            let (_, value) = sample.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
        }
        assert!(text.contains("grant_required"), "{text}");
        for name in [work.task.as_str(), &work.grant, "\"bot\"", "rival"] {
            assert!(!text.contains(name), "`{name}` in {text}");
        }
        assert!(text.contains(gate.status().generation.as_str()), "{text}");
    });
}

#[test]
fn a_list_is_read_in_parts() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let mut made = Vec::new();
        for _ in 0..7 {
            let request = json!({ "task": work.task, "entitlement": "items" });
            made.push(bot.granted(work.clone(), &request).await.grant);
        }
        made.reverse();
        for key in [work.token.clone(), gate.operator()] {
            let mut seen = Vec::new();
            let mut path = "/v1/grants?limit=3".to_owned();
            let mut parts = 0;
            loop {
                let page = get(&gate, &key, &path).await.expect(200).json();
                let items = page["items"].as_array().unwrap();
                assert!(items.len() <= 3);
                seen.extend(
                    items
                        .iter()
                        .map(|item| item["id"].as_str().unwrap().to_owned()),
                );
                parts += 1;
                match page["next"].as_str() {
                    Some(next) => path = format!("/v1/grants?limit=3&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, made, "newest first, each once");
            assert_eq!(parts, 3);
        }
        let unique: BTreeSet<_> = made.iter().collect();
        assert_eq!(unique.len(), 7);
        for limit in ["1", "500", "100000"] {
            get(&gate, &work.token, &format!("/v1/grants?limit={limit}"))
                .await
                .expect(200);
        }
        // A page of nothing could have no next.
        for list in ["/v1/grants", "/v1/requests", "/v1/audit"] {
            get(&gate, &gate.operator(), &format!("{list}?limit=0"))
                .await
                .problem(400, "request_malformed");
        }
    });
}

#[test]
fn the_token_endpoint_grants_what_a_scope_asks_for() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let task = ("task", work.task.as_str());
        let granted = bot
            .ask_for_token(&[task, ("scope", "items work")])
            .await
            .expect(200);
        assert_eq!(granted.header("cache-control"), Some("no-store"));
        let granted = granted.json();
        assert_eq!(granted["token_type"], "Bearer");
        assert_eq!(granted["scope"], "items work");
        let left = granted["expires_in"].as_u64().unwrap();
        assert!((290..=300).contains(&left), "{granted}");
        let token = granted["access_token"].as_str().unwrap();
        gate.call("GET", "/shop/items")
            .bearer(token)
            .send()
            .await
            .expect(200);
        gate.call("PUT", "/shop/data/x")
            .bearer(token)
            .send()
            .await
            .expect(200);

        let details = json!([{
            "type": "portcullis_grant", "entitlement": "items", "reason": "because",
            "duration_seconds": 60, "input": { "id": "7" },
        }]);
        let details = details.to_string();
        let details = [task, ("authorization_details", details.as_str())];
        let granted = bot.ask_for_token(&details).await.expect(200).json();
        let echoed = &granted["authorization_details"][0];
        assert_eq!(echoed["type"], "portcullis_grant");
        assert_eq!(echoed["task"], work.task);
        assert_eq!(echoed["duration_seconds"], 60);

        for (more, error) in [
            (vec![("scope", "items")], "invalid_request"),
            (vec![task, ("scope", "items nothing")], "access_denied"),
            (vec![("task", "never-opened")], "invalid_request"),
            (
                vec![task, ("authorization_details", "{")],
                "invalid_authorization_details",
            ),
            (
                vec![task, ("authorization_details", "[{\"type\": \"other\"}]")],
                "invalid_authorization_details",
            ),
            (
                vec![("resource", "https://elsewhere.example")],
                "invalid_target",
            ),
            (vec![("client_secret", "s3cret")], "invalid_client"),
        ] {
            let refused = bot.ask_for_token(&more).await;
            assert!(
                matches!(refused.status, 400 | 401),
                "{more:?}: {}",
                refused.text()
            );
            assert_eq!(refused.json()["error"], error, "{more:?}");
        }
        // All or nothing: of the two in one request, the one that may be had was not kept.
        let grants = get(&gate, &work.token, "/v1/grants")
            .await
            .expect(200)
            .json();
        let active = grants["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|g| g["state"] == "active");
        assert_eq!(active.count(), 3, "{grants}");
    });
}

#[test]
fn another_grant_type_or_a_malformed_form_is_an_oauth_error() {
    run(async {
        let gate = Plan::new().start().await;
        for body in [
            "",
            "grant_type",
            "grant_type=client_credentials",
            "grant_type=client_credentials&grant_type=client_credentials",
            "grant_type=%ff",
            "grant_type=%zz",
            "a=b&client_assertion=x&client_assertion_type=y",
        ] {
            let call = gate.control("POST", "/oauth/token");
            let call = call
                .header("content-type", "application/x-www-form-urlencoded")
                .bytes(body);
            let answer = call.send().await;
            assert!(
                matches!(answer.status, 400 | 401),
                "{body}: {}",
                answer.text()
            );
            assert!(answer.json()["error"].is_string(), "{body}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let json = gate
            .control("POST", "/oauth/token")
            .json(&json!({ "grant_type": "x" }));
        assert_eq!(
            json.send().await.expect(400).json()["error"],
            "invalid_request"
        );
        let keys = gate
            .control("GET", "/oauth/jwks")
            .send()
            .await
            .expect(200)
            .json();
        let key = &keys["keys"][0];
        assert_eq!(key["alg"], "ES256");
        assert_eq!(key.get("d"), None, "the private half stays here");
    });
}

#[test]
fn a_list_is_no_object_whose_names_were_left_out() {
    run(async {
        let gate = Plan::new().start().await;
        let token = gate.agent("bot").token().await;
        let odd = json!(["t-1", null, "kind", null, null, null]);
        post(&gate, &token, "/v1/tasks", &odd)
            .await
            .problem(400, "request_malformed");
    });
}
