//! A change of the files goes live whole or not at all, while requests run.

mod under_load;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Response;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Answer, Client, Gateway, HELLO, Plan, Raw, Stub, pipe, run, within};

async fn pay(gate: &Gateway, token: &str, amount: i64) -> Answer {
    let call = gate.call("POST", "/shop/pay").bearer(token);
    call.json(&json!({ "amount": amount })).send().await
}

async fn policies(gate: &Gateway) -> Value {
    let call = gate.control("GET", "/v1/policies").bearer(&gate.operator());
    call.send().await.expect(200).json()
}

async fn reload_by_api(gate: &Gateway) -> Answer {
    let call = gate
        .control("POST", "/v1/policies/reload")
        .bearer(&gate.operator());
    call.send().await
}

/// How often the busy connections saw which rule.
#[derive(Default)]
struct Seen {
    before: AtomicUsize,
    after: AtomicUsize,
    /// Of those after, the ones that the change caught on their way.
    overtaken: AtomicUsize,
}

#[test]
fn sixty_four_busy_connections_see_a_change_at_once_and_whole() {
    run(async {
        let gate = Arc::new(Plan::new().start().await);
        let work = gate.agent("bot").works("work").await;
        let old = gate.status().generation.to_string();
        let live = Arc::new(AtomicBool::new(false));
        let enough = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Seen::default());
        let mut busy = JoinSet::new();
        for _ in 0..64 {
            let (gate, token) = (gate.clone(), work.token.clone());
            let (live, enough, seen) = (live.clone(), enough.clone(), seen.clone());
            busy.spawn(async move {
                let mut client = Client::http1(&gate).await;
                while !enough.load(Ordering::SeqCst) {
                    // Read before the request is sent: what was live then is what it must see.
                    let must_see_new = live.load(Ordering::SeqCst);
                    let call = gate.call("POST", "/shop/pay").bearer(&token);
                    let call = call.json(&json!({ "amount": 80 }));
                    let answer = call.send_on(&mut client).await;
                    if answer.status == 200 {
                        assert!(!must_see_new, "a request after the swap saw the old rule");
                        seen.before.fetch_add(1, Ordering::SeqCst);
                    } else {
                        let problem = answer.refusal(403, "condition_denied");
                        if problem["rule"].is_null() {
                            // It was on its way, and the new rule caught up with it.
                            assert!(!must_see_new, "{problem}");
                            seen.overtaken.fetch_add(1, Ordering::SeqCst);
                            client = Client::http1(&gate).await;
                        } else {
                            assert_eq!(problem["rule"], "small-payments");
                            assert_eq!(problem["detail"], "a payment has at most 50");
                        }
                        seen.after.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        reaches(&seen.before, 200).await;
        let rules = fs::read_to_string(gate.policies().join("rules.cedar")).unwrap();
        let rules = rules
            .replace("at most 100", "at most 50")
            .replace("> 100", "> 50");
        gate.write_policy("rules.cedar", &rules);
        // It may have been noticed before it was asked for.
        reload_by_api(&gate).await.expect(200);
        live.store(true, Ordering::SeqCst);
        let new = gate.status().generation.to_string();
        assert_ne!(old, new);
        reaches(&seen.after, 200).await;
        enough.store(true, Ordering::SeqCst);
        let ended = async {
            while let Some(ended) = busy.join_next().await {
                ended.unwrap()
            }
        };
        within("the connections end", ended).await;

        let mut gate = Arc::into_inner(gate).expect("the last handle");
        let (passed, refused) = (
            seen.before.load(Ordering::SeqCst),
            seen.after.load(Ordering::SeqCst),
        );
        let overtaken = seen.overtaken.load(Ordering::SeqCst);
        let arrived = passed..=passed + overtaken;
        assert!(
            arrived.contains(&gate.upstream.count()),
            "what is refused does not arrive"
        );
        let lines = gate.stop().await;
        let verdicts = |verdict: &str| {
            let calls = lines.iter().filter(|line| line["kind"] == "call");
            let calls = calls.filter(|line| line["verdict"] == verdict);
            calls
                .map(|line| line["generation"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let (allowed, denied) = (verdicts("allow"), verdicts("deny"));
        assert_eq!((allowed.len(), denied.len()), (passed, refused));
        assert!(
            allowed.iter().all(|generation| *generation == old),
            "allowed by the old rule only"
        );
        assert!(
            denied.iter().all(|generation| *generation == new),
            "denied by the new rule only"
        );
    });
}

async fn reaches(count: &AtomicUsize, wanted: usize) {
    let reached = async {
        while count.load(Ordering::SeqCst) < wanted {
            tokio::task::yield_now().await;
        }
    };
    within("the connections are busy", reached).await;
}

#[test]
fn a_broken_edit_changes_nothing_and_says_what_is_wrong_and_where() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let before = policies(&gate).await;
        assert_eq!(before["last_refused"], Value::Null);
        let rules = fs::read_to_string(gate.policies().join("rules.cedar")).unwrap();
        let line = rules
            .lines()
            .position(|line| line.contains("> 100"))
            .unwrap()
            + 1;
        gate.edit_policy(
            "rules.cedar",
            "context.input.amount > 100",
            "context.input.amoumt > 50",
        );
        gate.edit_policy(
            "entitlements.toml",
            "shop.list\", \"shop.read",
            "shop.list\", \"shop.raed",
        );
        let refused = reload_by_api(&gate).await.expect(409).json();
        assert_eq!(refused["outcome"], "refused");

        let after = policies(&gate).await;
        assert_eq!(after["generation"], before["generation"]);
        assert_eq!(after["since"], before["since"]);
        let problems = after["last_refused"]["diagnostics"].as_array().unwrap();
        assert!(after["last_refused"]["at"].is_string());
        let about = |file: &str| {
            let found = problems
                .iter()
                .find(|p| p["file"].as_str().unwrap().ends_with(file));
            found.unwrap_or_else(|| panic!("nothing about {file} in {problems:?}"))
        };
        let rule = about("rules.cedar");
        assert_eq!(rule["line"], line, "{rule}");
        assert!(rule["column"].as_u64().unwrap() > 1, "{rule}");
        assert!(
            rule["message"].as_str().unwrap().contains("amoumt"),
            "{rule}"
        );
        let entitlement = about("entitlements.toml");
        assert_eq!(entitlement["line"], 4, "{entitlement}");
        assert!(
            entitlement["message"]
                .as_str()
                .unwrap()
                .contains("shop.raed"),
            "{entitlement}"
        );
        assert!(
            entitlement["hint"].as_str().unwrap().contains("shop.read"),
            "{entitlement}"
        );

        // The old rule goes on serving, grants and all.
        pay(&gate, &work.token, 80).await.expect(200);
        pay(&gate, &work.token, 101)
            .await
            .refusal(403, "condition_denied");

        gate.write_policy("rules.cedar", &rules);
        gate.edit_policy("entitlements.toml", "shop.raed", "shop.read");
        assert_eq!(
            reload_by_api(&gate).await.expect(200).json()["outcome"],
            "unchanged"
        );
        assert_eq!(policies(&gate).await["last_refused"], Value::Null);
    });
}

#[test]
fn a_refused_change_is_noticed_without_being_asked_for() {
    run(async {
        let gate = Plan::new().start().await;
        gate.edit_policy("rules.cedar", "permit (", "permitt (");
        let status = gate
            .notices("a refusal", |status| status.last_refused.is_some())
            .await;
        let problems = status.last_refused.unwrap().diagnostics.to_string();
        assert!(problems.contains("rules.cedar:"), "{problems}");
        let metrics = gate.control("GET", "/metrics").bearer(&gate.operator());
        let metrics = metrics.send().await.expect(200);
        assert!(metrics.text().contains("refused"), "{}", metrics.text());
        gate.edit_policy("rules.cedar", "permitt (", "permit (");
        gate.notices("that all is well", |status| status.last_refused.is_none())
            .await;
    });
}

/// Waits until another generation is live, and shows that its rule is.
async fn limit_becomes(gate: &Gateway, token: &str, limit: i64, change: impl FnOnce()) {
    let old = gate.status().generation;
    change();
    gate.notices("a new generation", |status| status.generation != old)
        .await;
    pay(gate, token, limit).await.expect(200);
    pay(gate, token, limit + 1)
        .await
        .refusal(403, "condition_denied");
}

#[test]
fn edits_in_every_manner_are_noticed() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let file = gate.policies().join("rules.cedar");
        let text = fs::read_to_string(&file).unwrap();
        let limited = |limit: i64| text.replace("> 100", &format!("> {limit}"));
        limit_becomes(&gate, &work.token, 90, || {
            fs::write(&file, limited(90)).unwrap()
        })
        .await;
        limit_becomes(&gate, &work.token, 80, || {
            let draft = gate.policies().join(".rules.cedar.swp");
            fs::write(&draft, limited(80)).unwrap();
            fs::rename(draft, &file).unwrap();
        })
        .await;
        limit_becomes(&gate, &work.token, 70, || {
            fs::remove_file(&file).unwrap();
            fs::create_dir_all(gate.policies().join("deep/below")).unwrap();
            fs::write(gate.policies().join("deep/below/rules.cedar"), limited(70)).unwrap();
        })
        .await;
    });
}

#[test]
fn a_file_that_its_writer_has_not_closed_is_not_read() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let old = gate.status().generation;
        let path = gate.policies().join("rules.cedar");
        let text = fs::read_to_string(&path).unwrap();
        // Up to a rule's end, and without the forbid that comes then.
        let (first, rest) = text.split_at(text.find("@id(\"small-payments\")").unwrap());
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(first.as_bytes()).unwrap();
        file.sync_all().unwrap();
        let mut writing = gate.being_written();
        let mut status = gate.watch_status();
        let waits = async {
            tokio::select! {
                told = writing.wait_for(|files| !files.is_empty()) => {
                    assert!(told.unwrap()[0].ends_with("rules.cedar"));
                }
                _ = status.changed() => panic!("half a file was read"),
            }
        };
        within("the gateway waits for the writer", waits).await;
        let shown = policies(&gate).await;
        let named = shown["being_written"][0].as_str().unwrap();
        assert!(named.ends_with("rules.cedar"), "{shown}");
        assert_eq!(shown["generation"], old.as_str());
        pay(&gate, &work.token, 101)
            .await
            .refusal(403, "condition_denied");
        // Others wait with it.
        gate.write_policy("more.cedar", "// nothing\n");
        file.write_all(rest.replace("> 100", "> 90").as_bytes())
            .unwrap();
        drop(file);
        gate.notices("the whole file", |status| status.generation != old)
            .await;
        pay(&gate, &work.token, 90).await.expect(200);
        pay(&gate, &work.token, 91)
            .await
            .refusal(403, "condition_denied");
        assert_eq!(policies(&gate).await["being_written"], json!([]));

        // Whoever orders it means the files as they are.
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(first.as_bytes()).unwrap();
        reload_by_api(&gate).await.expect(200);
        pay(&gate, &work.token, 101).await.expect(200);
        drop(file);
    });
}

/// As Kubernetes swaps a ConfigMap: files are links through `..data`, which is one more.
#[test]
fn a_swapped_data_link_is_one_change() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let policies = gate.policies();
        let text = fs::read_to_string(policies.join("rules.cedar")).unwrap();
        for (version, limit) in [("..v1", 100), ("..v2", 60), ("..v3", 40)] {
            fs::create_dir(policies.join(version)).unwrap();
            let limited = text.replace("> 100", &format!("> {limit}"));
            fs::write(policies.join(version).join("rules.cedar"), limited).unwrap();
        }
        let swap = |version: &str| {
            symlink(version, policies.join("..data_tmp")).unwrap();
            fs::rename(policies.join("..data_tmp"), policies.join("..data")).unwrap();
        };
        swap("..v1");
        symlink("..data/rules.cedar", policies.join("rules.link")).unwrap();
        fs::rename(policies.join("rules.link"), policies.join("rules.cedar")).unwrap();
        gate.publish().await;
        pay(&gate, &work.token, 100).await.expect(200);
        limit_becomes(&gate, &work.token, 60, || swap("..v2")).await;
        limit_becomes(&gate, &work.token, 40, || swap("..v3")).await;
    });
}

#[test]
fn a_deleted_directory_leaves_the_last_good_generation() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let away = gate.root().join("away");
        fs::rename(gate.policies(), &away).unwrap();
        let refused = reload_by_api(&gate).await.expect(409).json();
        assert!(
            refused["last_refused"]["diagnostics"]
                .as_array()
                .is_some_and(|d| !d.is_empty())
        );
        pay(&gate, &work.token, 80).await.expect(200);
        fs::rename(away, gate.policies()).unwrap();
        let back = reload_by_api(&gate).await.expect(200).json();
        assert_eq!(back["last_refused"], Value::Null);
    });
}

#[test]
fn an_agent_that_is_taken_out_has_nothing_left_at_once() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let (work, identity) = (bot.works("items").await, bot.token().await);
        let other = gate.agent("rival").works("items").await;
        let list = |token: &str| gate.call("GET", "/shop/items").bearer(token).send();
        list(&work.token).await.expect(200);
        let file = gate.policies().join("agents/bot.toml");
        let enrolment = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        gate.publish().await;
        list(&work.token).await.refusal(401, "token_invalid");
        let status = gate
            .call("GET", "/shop/status")
            .bearer(&identity)
            .send()
            .await;
        status.refusal(401, "token_invalid");
        let control = gate
            .control("GET", "/v1/grants")
            .bearer(&identity)
            .send()
            .await;
        control.problem(401, "token_invalid");
        bot.ask_for_token(&[]).await.expect(401);
        list(&other.token).await.expect(200);

        // Back again it is known, and has what it is given from then on: its task is over.
        fs::write(&file, enrolment).unwrap();
        gate.publish().await;
        list(&work.token).await.refusal(401, "task_ended");
        list(&identity).await.refusal(403, "grant_required");
        let grants = gate.control("GET", &format!("/v1/grants/{}", work.grant));
        let grant = grants
            .bearer(&gate.operator())
            .send()
            .await
            .expect(200)
            .json();
        assert_eq!(grant["state"], "ended");
        assert_eq!(grant["end_reason"], "policy_changed");
    });
}

#[test]
fn an_entitlement_that_is_taken_out_ends_its_grants_for_good() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("items").await;
        let list = || gate.call("GET", "/shop/items").bearer(&work.token).send();
        list().await.expect(200);
        gate.edit_policy("entitlements.toml", "id = \"items\"", "id = \"others\"");
        gate.publish().await;
        list().await.refusal(403, "grant_required");
        gate.edit_policy("entitlements.toml", "id = \"others\"", "id = \"items\"");
        gate.publish().await;
        list().await.refusal(403, "grant_required");
        let grant = gate.control("GET", &format!("/v1/grants/{}", work.grant));
        let grant = grant.bearer(&work.token).send().await.expect(200).json();
        assert_eq!(grant["end_reason"], "policy_changed", "{grant}");
    });
}

#[test]
fn an_operation_that_is_taken_out_does_not_exist_any_more() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("items").await;
        let read = || gate.call("GET", "/shop/items/7").bearer(&work.token).send();
        read().await.expect(200);
        let text = fs::read_to_string(gate.policies().join("operations.toml")).unwrap();
        let tables: Vec<_> = text
            .split("[[operation]]")
            .filter(|t| !t.contains("shop.read"))
            .collect();
        gate.write_policy("operations.toml", &tables.join("[[operation]]"));
        let entitlements = fs::read_to_string(gate.policies().join("entitlements.toml")).unwrap();
        let without = entitlements.replace(", \"shop.read\"", "");
        gate.write_policy("entitlements.toml", &without);
        gate.publish().await;
        read().await.refusal(404, "operation_unknown");
        gate.call("GET", "/shop/items")
            .bearer(&work.token)
            .send()
            .await
            .expect(200);
    });
}

/// While its body is read, a call can be overtaken by a new generation: then that one decides.
#[test]
fn a_call_whose_inputs_come_slowly_is_judged_by_the_generation_that_is_live_then() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let mut raw = Raw::connect(&gate).await;
        raw.say(format!(
            "POST /shop/pay HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n",
            work.token
        ))
        .await;
        // The gateway waits for the inputs.
        assert!(raw.head().await.starts_with("HTTP/1.1 100 "));
        gate.edit_policy("rules.cedar", "> 100", "> 50");
        gate.publish().await;
        raw.say("{\"amount\": 80}").await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        assert_eq!(gate.upstream.count(), 0);
        let generation = gate.status().generation.to_string();
        let mut gate = gate;
        let lines = gate.stop().await;
        let calls: BTreeSet<_> = lines
            .iter()
            .filter(|line| line["kind"] == "call")
            .map(|line| line["generation"].as_str().unwrap())
            .collect();
        assert_eq!(calls, [generation.as_str()].into());
    });
}

/// Forbids one operation more.
fn forbid(gate: &Gateway, operation: &str) {
    let rules = fs::read_to_string(gate.policies().join("rules.cedar")).unwrap();
    let rule = format!(
        "@id(\"closed\")\nforbid (principal, action == Action::\"{operation}\", resource);\n"
    );
    gate.write_policy("rules.cedar", &format!("{rules}\n{rule}"));
}

#[test]
fn a_stream_that_new_rules_forbid_is_cut_and_others_go_on() {
    run(async {
        let gate = Plan::new().start().await;
        let work = gate.agent("bot").works("work").await;
        let mut open = Vec::new();
        for path in ["/shop/stream", "/shop/items"] {
            let (feed, body) = pipe();
            gate.upstream.answer_next(Response::new(body));
            let mut opened = gate.call("GET", path).bearer(&work.token).open().await;
            feed.send("1").await;
            assert_eq!(opened.text().await, "1");
            open.push((feed, opened));
        }
        let (feed, mut kept) = open.pop().unwrap();
        let (cut_feed, mut cut) = open.pop().unwrap();
        forbid(&gate, "shop.stream");
        gate.publish().await;
        cut.cut().await;
        cut_feed.closed().await;
        feed.send("2").await;
        assert_eq!(kept.text().await, "2");
        drop((feed, kept));
        let mut gate = gate;
        let lines = gate.stop().await;
        let line = lines.iter().find(|line| line["end"] == "policy_changed");
        let line = line.expect("a line about the cut");
        assert_eq!(line["operation"], "shop.stream");
        assert_eq!(
            line["verdict"], "allow",
            "it was permitted when it began: {line}"
        );
    });
}

#[test]
fn a_call_that_new_rules_overtake_is_refused_by_them_and_recorded_so() {
    run(async {
        let stub = Stub::bind().await;
        let services = stub.service();
        let mut gate = Plan::new().file("services.toml", &services).start().await;
        let work = gate.agent("bot").works("items").await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
        let (answer, ()) = tokio::join!(call, async {
            let mut peer = stub.accept().await;
            peer.head().await;
            forbid(&gate, "shop.list");
            gate.publish().await;
            peer.closed().await;
        });
        answer.refusal(403, "condition_denied");
        assert_eq!(answer.challenge(), None, "its grant still stands");
        let generation = gate.status().generation.to_string();
        let lines = gate.stop().await;
        let call = lines.iter().find(|line| line["kind"] == "call").unwrap();
        assert_eq!(call["verdict"], "deny", "{call}");
        assert_eq!(call["generation"], generation, "{call}");
        assert_eq!(call["end"], "policy_changed", "{call}");
    });
}

#[test]
fn the_connections_to_an_upstream_that_is_taken_out_are_closed() {
    run(async {
        let stub = Stub::bind().await;
        let services = |address: SocketAddr| {
            format!(
                "[[service]]\nname = \"shop\"\nmatch = {{ path = \"/shop\" }}\n\
                 upstreams = [\"http://{address}\"]\n"
            )
        };
        let plan = Plan::new().file("services.toml", &services(stub.address()));
        let gate = plan.start().await;
        let work = gate.agent("bot").works("work").await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let (answer, mut peer) = tokio::join!(call.send(), async {
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nkept")
                .await;
            peer
        });
        assert_eq!(answer.text(), "kept");
        gate.write_policy("services.toml", &services(gate.upstream.address()));
        gate.publish().await;
        assert!(peer.closed().await.is_empty());
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        assert_eq!(call.send().await.expect(200).text(), HELLO);
    });
}
