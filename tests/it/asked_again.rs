//! What was allowed is asked about again when what its answer rests on changes: what rules demand of a call
//! that runs, and the time for grants at rest.

use std::time::Duration;

use http::Response;
use portcullis::base::Clock;
use serde_json::{Value, json};

use crate::harness::{Gateway, Plan, Stub, Work, pipe, run, within};

/// Lets the permit of everything demand `what` from now on.
async fn demand(gate: &Gateway, what: &str) {
    let demanded = format!("@id(\"open\")\n@require(\"{what}\")");
    gate.edit_policy("rules.cedar", "@id(\"open\")", &demanded);
    gate.publish().await;
}

const SIGNED: &str = r#"
[[entitlement]]
id = "signed"
operations = ["shop.list", "shop.read", "shop.sealed"]
max_ttl = "30m"
approval = { group = "leads", mfa = true, expires = "10m" }
"#;

#[test]
fn a_call_that_a_demand_overtakes_is_told_the_next_step() {
    run(async {
        for (what, status, code) in [
            ("approval:leads", 403, "approval_required"),
            ("mfa", 403, "mfa_required"),
            ("proof:dpop", 401, "proof_required"),
        ] {
            let stub = Stub::bind().await;
            let services = stub.service();
            let plan = Plan::new().file("services.toml", &services);
            let mut gate = plan.file("signed.toml", SIGNED).start().await;
            let work = gate.agent("bot").works("items").await;
            let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
            let (overtaken, ()) = tokio::join!(call, async {
                let mut peer = stub.accept().await;
                peer.head().await;
                demand(&gate, what).await;
                peer.closed().await;
            });
            let refused = overtaken.refusal(status, code);
            let later = gate.call("GET", "/shop/items").bearer(&work.token);
            let later = later.send().await.refusal(status, code);
            assert_eq!(
                refused["next"], later["next"],
                "as a call that begins is told"
            );
            assert_eq!(refused["next"].is_object(), status == 403, "{refused}");
            let records = gate.stop().await;
            let call = records.iter().find(|one| one["kind"] == "call").unwrap();
            assert_eq!(call["verdict"], "deny", "{call}");
            assert_eq!(call["end"], "policy_changed", "{call}");
            assert_eq!(call["rules"], json!(["open"]), "{call}");
        }
    });
}

const UNTIL_THEN: &str = r#"
@id("free")
permit (principal, action == Action::"shop.sealed", resource)
when { context has grant && context.grant.age_seconds < 200 };
"#;

/// The permit that a stream runs by stops holding, and what is left demands more.
#[test]
fn a_stream_is_cut_when_only_a_demand_is_left_of_what_permits_it() {
    run(async {
        let plan = Plan::new().file("free.cedar", UNTIL_THEN).manual_clock();
        let plan = plan.file("signed.toml", SIGNED);
        let mut gate = plan.start().await;
        let work = gate.agent("bot").works("work").await;
        let (feed, body) = pipe();
        gate.upstream.answer_next(Response::new(body));
        let call = gate.call("GET", "/shop/sealed").bearer(&work.token);
        let mut opened = call.open().await;
        feed.send("1").await;
        assert_eq!(opened.text().await, "1");
        gate.advance(Duration::from_secs(199));
        feed.send("2").await;
        assert_eq!(opened.text().await, "2");
        gate.advance(Duration::from_secs(1));
        opened.cut().await;
        feed.closed().await;
        let call = gate.call("GET", "/shop/sealed").bearer(&work.token);
        let refused = call.send().await.refusal(403, "approval_required");
        assert!(refused["next"].is_object(), "{refused}");
        let records = gate.stop().await;
        let cut = |record: &&Value| record["end"] == "condition_changed";
        let cut = records.iter().find(cut).expect("the cut is recorded");
        assert_eq!(
            cut["detail"], "approval_required by sealed-by-leads",
            "{cut}"
        );
    });
}

async fn state(gate: &Gateway, work: &Work) -> String {
    let path = format!("/v1/grants/{}", work.grant);
    let call = gate.control("GET", &path).bearer(&gate.operator());
    let grant = call.send().await.expect(200).json();
    grant["state"].as_str().unwrap().to_owned()
}

async fn becomes(gate: &Gateway, work: &Work, wanted: &str) {
    within(wanted, async {
        while state(gate, work).await != wanted {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Ages suspend the one, a span of the wall clock the other, and a third reads no time.
#[test]
fn time_turns_the_grants_at_rest_whose_rules_read_it() {
    run(async {
        let wall = Clock::system().wall();
        let gate = Plan::new().manual_clock().start().await;
        let at = |minutes: i64| {
            let at = wall + jiff::SignedDuration::from_mins(minutes);
            at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        };
        let rules = format!(
            "@id(\"closed\") @on_change(\"suspend\") forbid (principal == Agent::\"rival\", action in Action::\"open\", resource)\n\
             when {{ context.now >= datetime(\"{}\") && context.now < datetime(\"{}\") }};\n\
             @id(\"old\") @on_change(\"suspend\") forbid (principal == Agent::\"bot\", action == Action::\"shop.pay\", resource)\n\
             when {{ context has grant && context.grant.age_seconds >= 1200 }};\n",
            at(5),
            at(10)
        );
        gate.write_policy("times.cedar", &rules);
        gate.publish().await;
        let pays = gate.agent("bot").works("work").await;
        let reads = gate.agent("bot").works("items").await;
        let hours = gate.agent("rival").works("items").await;
        let minutes = |count: u64| gate.advance(Duration::from_secs(60 * count));
        minutes(5);
        becomes(&gate, &hours, "suspended").await;
        // One that comes into force meanwhile is out of it at once.
        let late = gate.agent("rival").works("items").await;
        becomes(&gate, &late, "suspended").await;
        assert_eq!(state(&gate, &pays).await, "active");
        minutes(5);
        becomes(&gate, &hours, "active").await;
        becomes(&gate, &late, "active").await;
        minutes(10);
        becomes(&gate, &pays, "suspended").await;
        assert_eq!(state(&gate, &reads).await, "active");
        assert_eq!(state(&gate, &hours).await, "active");
        // A wall clock that is put back is noticed.
        gate.time()
            .step_wall(wall + jiff::SignedDuration::from_mins(7));
        gate.advance(Duration::from_secs(1));
        becomes(&gate, &hours, "suspended").await;
        assert_eq!(state(&gate, &reads).await, "active");
    });
}

/// How often grants at rest have been asked about.
async fn asked(gate: &Gateway) -> u64 {
    metric(gate, "portcullis_grants_asked_again_total ").await
}

/// What was put to Cedar because it is not compiled.
async fn put_to_cedar(gate: &Gateway) -> u64 {
    metric(gate, "portcullis_policy_cedar_questions_total ").await
}

async fn metric(gate: &Gateway, name: &str) -> u64 {
    let text = gate.control("GET", "/metrics").bearer(&gate.operator());
    let answer = text.send().await.expect(200);
    let mut found = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix(name));
    found.next().expect("the metric").trim().parse().unwrap()
}

async fn is_risky(gate: &Gateway, agent: &str, score: i64) {
    let body = json!({ "agent": agent, "score": score, "source": "siem", "expires_in": 3600 });
    let call = gate.control("POST", "/v1/signals").bearer(&gate.operator());
    call.json(&body).send().await.expect(204);
}

/// A rule that suspends what an agent holds from a score on.
fn risky(agent: &str, from: i64) -> String {
    format!(
        "@id(\"risky-{agent}\") @on_change(\"suspend\") forbid (principal == Agent::\"{agent}\", action in Action::\"open\", resource)\n\
         when {{ context.risk.known && context.risk.score >= {from} }};\n"
    )
}

#[test]
fn a_new_generation_asks_about_those_alone_whose_rules_differ() {
    run(async {
        let rules = risky("bot", 70) + &risky("rival", 70);
        let gate = Plan::new().file("risky.cedar", &rules).start().await;
        is_risky(&gate, "bot", 50).await;
        is_risky(&gate, "rival", 50).await;
        let mut works = Vec::new();
        for _ in 0..4 {
            works.push(gate.agent("bot").works("work").await);
        }
        let rival = gate.agent("rival").works("work").await;
        within("each is asked about when it comes", async {
            while asked(&gate).await < 5 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let before = asked(&gate).await;
        // What has no say in what becomes of grants asks about none.
        gate.edit_policy("rules.cedar", "amount > 100", "amount > 99");
        gate.publish().await;
        gate.write_policy("risky.cedar", &(risky("bot", 70) + &risky("rival", 40)));
        gate.publish().await;
        becomes(&gate, &rival, "suspended").await;
        gate.write_policy("risky.cedar", &risky("bot", 70));
        gate.publish().await;
        // By then all have been compared with the first of these generations, too.
        becomes(&gate, &rival, "active").await;
        assert_eq!(asked(&gate).await, before + 2);
        gate.write_policy("risky.cedar", "// none");
        gate.publish().await;
        gate.write_policy("risky.cedar", &risky("bot", 50));
        gate.publish().await;
        for work in &works {
            becomes(&gate, work, "suspended").await;
        }
        assert_eq!(state(&gate, &rival).await, "active");
    });
}

/// Rules that are asked of Cedar: in the one it can be told what it reads, in the other not.
#[test]
fn rules_that_are_not_compiled_turn_grants_at_rest_too() {
    run(async {
        for condition in [
            "{ score: context.risk.score }.score > 70",
            "(if context.risk.known then context else context).risk.score > 70",
            "(context).risk.score > 70 && { score: 1 }.score == 1",
        ] {
            let rule = format!(
                "@id(\"odd\") @on_change(\"suspend\") forbid (principal, action == Action::\"shop.list\", resource)\n\
                 when {{ {condition} }};\n"
            );
            let gate = Plan::new().file("odd.cedar", &rule).start().await;
            is_risky(&gate, "bot", 10).await;
            let work = gate.agent("bot").works("work").await;
            assert_eq!(state(&gate, &work).await, "active", "{condition}");
            is_risky(&gate, "bot", 90).await;
            becomes(&gate, &work, "suspended").await;
            is_risky(&gate, "bot", 10).await;
            becomes(&gate, &work, "active").await;
        }
    });
}

/// Time passes, and turns a rule that reads it: one that does not is not asked because of that.
#[test]
fn rules_that_are_not_compiled_are_not_asked_while_nothing_that_they_read_changes() {
    run(async {
        let rules = "@id(\"old\") @on_change(\"suspend\") forbid (principal == Agent::\"bot\", action == Action::\"shop.pay\", resource)\n\
             when { context has grant && context.grant.age_seconds >= 1200 };\n\
             @id(\"odd\") @on_change(\"suspend\") forbid (principal == Agent::\"rival\", action in Action::\"open\", resource)\n\
             when { { score: context.risk.score }.score > 70 };\n";
        let plan = Plan::new().file("rest.cedar", rules).manual_clock();
        let gate = plan.start().await;
        is_risky(&gate, "rival", 10).await;
        let reads = gate.agent("rival").works("items").await;
        is_risky(&gate, "rival", 90).await;
        becomes(&gate, &reads, "suspended").await;
        is_risky(&gate, "rival", 10).await;
        becomes(&gate, &reads, "active").await;
        let pays = gate.agent("bot").works("work").await;
        let before = put_to_cedar(&gate).await;
        assert!(before > 0, "it is not compiled");
        gate.advance(Duration::from_secs(1200));
        becomes(&gate, &pays, "suspended").await;
        assert_eq!(state(&gate, &reads).await, "active");
        assert_eq!(put_to_cedar(&gate).await, before);
    });
}
