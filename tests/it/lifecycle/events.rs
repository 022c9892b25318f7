//! What happens, as it happens.

use serde_json::{Value, json};

use super::{key_of, plan, post};
use crate::harness::{Gateway, Opened, run};

async fn follow(gate: &Gateway, key: &str) -> Opened {
    let mut opened = gate.control("GET", "/v1/events").bearer(key).open().await;
    assert_eq!(opened.status(), 200);
    assert_eq!(opened.head.headers["content-type"], "text/event-stream");
    assert_eq!(opened.text().await, ": here\n\n");
    opened
}

/// The next event: its name and its data.
async fn next(opened: &mut Opened) -> (String, Value) {
    let text = opened.text().await;
    let (name, data) = text
        .strip_prefix("event: ")
        .unwrap()
        .split_once("\ndata: ")
        .unwrap();
    let data = data.lines().next().unwrap();
    (name.to_owned(), serde_json::from_str(data).unwrap())
}

/// The id in a piece of the stream.
fn id(text: &str) -> &str {
    let id = text.lines().find_map(|line| line.strip_prefix("id: "));
    id.unwrap_or_else(|| panic!("no id in {text:?}"))
}

async fn comes_back(gate: &Gateway, key: &str, id: &str) -> Opened {
    let call = gate.control("GET", "/v1/events").bearer(key);
    let mut opened = call.header("last-event-id", id).open().await;
    assert_eq!(opened.status(), 200);
    assert_eq!(opened.text().await, ": here\n\n");
    opened
}

#[test]
fn who_comes_back_misses_nothing_or_is_told_so() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let rival = gate.agent("rival");
        let mut own = follow(&gate, &work.token).await;
        let ask = json!({ "task": work.task, "entitlement": "items" });
        let granted = bot.granted(work.clone(), &ask).await;
        let text = own.text().await;
        assert!(text.starts_with("event: grant.active\n"), "{text}");
        let active = id(&text).to_owned();
        drop(own);

        // Away, it misses an end of its own, and what is none of its business.
        rival.works("items").await.completes(&gate).await;
        let path = format!("/v1/grants/{}/revoke", granted.grant);
        post(&gate, &work.token, &path, &json!({}))
            .await
            .expect(200);
        let mut own = comes_back(&gate, &work.token, &active).await;
        let text = own.text().await;
        assert!(text.starts_with("event: grant.ended\n"), "{text}");
        let ended = id(&text).to_owned();
        drop(own);

        // Where nothing happens the stream still tells where it is.
        let mut own = comes_back(&gate, &work.token, &ended).await;
        gate.advance(std::time::Duration::from_secs(15));
        let text = own.text().await;
        assert!(text.starts_with(": still here\n"), "{text}");
        let later = id(&text).to_owned();
        for (known, name) in [(later.as_str(), "task.ended"), ("unknown", "gap")] {
            let mut own = comes_back(&gate, &work.token, known).await;
            if name == "task.ended" {
                work.completes(&gate).await;
            }
            let (told, data) = next(&mut own).await;
            assert_eq!(told, name, "{data}");
        }
        let call = gate.control("GET", "/v1/events").bearer(&gate.operator());
        let mut all = call.header("last-event-id", "unknown").open().await;
        assert_eq!(all.text().await, ": here\n\n");
        // The gap, what is remembered, and the policies, in any order.
        let mut told = Vec::new();
        for _ in 0..16 {
            told.push(next(&mut all).await.0);
            if told.contains(&"gap".to_owned()) && told.contains(&"policy.changed".to_owned()) {
                return;
            }
        }
        panic!("{told:?}");
    });
}

#[test]
fn agents_hear_of_their_own_and_people_of_what_is_theirs_to_know() {
    run(async {
        let gate = plan().start().await;
        let (operator, ana) = (gate.operator(), key_of(&gate, "ana").await);
        let work = gate.agent("bot").opens().await;
        let rival = gate.agent("rival").opens().await;
        let mut own = follow(&gate, &work.token).await;
        let mut foreign = follow(&gate, &rival.token).await;
        let mut asked = follow(&gate, &ana).await;
        let mut all = follow(&gate, &operator).await;

        let ask = json!({ "task": work.task, "entitlement": "reviewed" });
        let request = post(&gate, &work.token, "/v1/requests", &ask)
            .await
            .expect(202)
            .json();
        for reader in [&mut own, &mut asked, &mut all] {
            let (name, data) = next(reader).await;
            assert_eq!(name, "request.pending");
            assert_eq!(data["request"]["id"], request["id"]);
            assert_eq!(data["request"]["digest"], request["digest"]);
        }
        let path = format!("/v1/requests/{}/approve", request["id"].as_str().unwrap());
        let body = json!({ "digest": request["digest"] });
        post(&gate, &ana, &path, &body).await.expect(200);
        for reader in [&mut own, &mut all] {
            assert_eq!(next(reader).await.0, "grant.active");
            assert_eq!(next(reader).await.0, "request.decided");
        }
        assert_eq!(next(&mut asked).await.0, "request.decided");
        work.completes(&gate).await;
        for reader in [&mut own, &mut all] {
            let (name, data) = next(reader).await;
            assert_eq!(name, "grant.ended");
            assert_eq!(data["grant"]["end_reason"], "completed");
            assert_eq!(next(reader).await.0, "task.ended");
        }
        gate.write_policy("more.cedar", "// nothing\n");
        gate.publish().await;
        assert_eq!(next(&mut all).await.0, "policy.changed");
        // The rival has heard of none of this: the first it hears of is its own.
        rival.completes(&gate).await;
        let (name, data) = next(&mut foreign).await;
        assert_eq!(
            (name.as_str(), &data["task"]["agent"]),
            ("task.ended", &json!("rival"))
        );
    });
}

#[test]
fn one_that_follows_often_leaves_room_for_others() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").opens().await;
        let mut own = Vec::new();
        for _ in 0..16 {
            own.push(follow(&gate, &work.token).await);
        }
        // Another token is the same agent still.
        for token in [&work.token, &gate.agent("bot").token().await] {
            let refused = gate.control("GET", "/v1/events").bearer(token).send().await;
            refused.problem(429, "rate_limited");
            assert_eq!(refused.header("retry-after"), Some("1"));
        }
        follow(&gate, &gate.agent("rival").token().await).await;
        follow(&gate, &gate.operator()).await;
    });
}

#[test]
fn a_grant_tells_of_its_last_tenth() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let mut own = follow(&gate, &work.token).await;
        let ask = json!({ "task": work.task, "entitlement": "items", "duration_seconds": 100 });
        bot.granted(work, &ask).await;
        assert_eq!(next(&mut own).await.0, "grant.active");
        gate.advance(std::time::Duration::from_secs(90));
        loop {
            let text = own.text().await;
            if text.starts_with("event: grant.expiring\n") {
                break;
            }
            assert!(text.starts_with(": still here\n"), "{text}");
        }
    });
}
