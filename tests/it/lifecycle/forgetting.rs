//! What has ended can be looked at for its time, then nobody but the audit log knows it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{key_of, plan, post};
use crate::harness::{Gateway, Plan, Work, run, within};

const KEEP: Duration = Duration::from_mins(10);

fn keeping() -> Plan {
    plan().manual_clock().store("keep_ended = \"10m\"")
}

async fn opens(gate: &Gateway, id: &str) -> Work {
    let work = gate
        .agent("bot")
        .opens_as(&json!({ "id": id, "lease_seconds": 3600 }))
        .await;
    let body = json!({ "task": work.task, "entitlement": "items" });
    gate.agent("bot").granted(work, &body).await
}

async fn look(gate: &Gateway, token: &str, path: &str) -> (u16, Value) {
    let answer = gate.control("GET", path).bearer(token).send().await;
    (answer.status, answer.json())
}

/// A number in the metrics.
async fn metric(gate: &Gateway, name: &str) -> u64 {
    let call = gate.control("GET", "/metrics").bearer(&gate.operator());
    let metrics = call.send().await;
    let mut lines = metrics.text().lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {name}"))
        .parse()
        .unwrap()
}

/// The tables in memory whose entries are of tasks.
async fn entries(gate: &Gateway) -> u64 {
    let mut sum = 0;
    for table in [
        "agents",
        "deadlines",
        "ends",
        "grants",
        "parts",
        "requests",
        "tasks",
    ] {
        let name = format!("portcullis_entries{{table=\"{table}\"}}");
        sum += metric(gate, &name).await;
    }
    sum
}

async fn forgets_all(gate: &Gateway) {
    within("all is forgotten", async {
        while metric(gate, "portcullis_ended_tasks").await > 0
            || metric(gate, "portcullis_ended_grants").await > 0
        {
            gate.advance(Duration::from_secs(1));
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The first pass: the gauges tell of what is kept from then on.
async fn keeps(gate: &Gateway, tasks: u64) {
    within("the first look", async {
        while metric(gate, "portcullis_ended_tasks").await != tasks {
            gate.advance(Duration::from_secs(1));
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[test]
fn what_ended_is_readable_for_its_time_and_then_forgotten() {
    run(async {
        let mut gate = keeping().start().await;
        let lives = opens(&gate, "lives").await;
        let before = entries(&gate).await;
        let mut all = Vec::new();
        for number in 0..40 {
            let work = opens(&gate, &format!("over-{number}")).await;
            let asked = json!({ "task": work.task, "entitlement": "reviewed" });
            let asked = post(&gate, &work.token, "/v1/requests", &asked).await;
            let request = asked.expect(202).json()["id"].as_str().unwrap().to_owned();
            let receipt = work.completes(&gate).await;
            assert_eq!(work.completes(&gate).await, receipt);
            all.push((work, request));
        }
        assert_eq!(
            entries(&gate).await,
            before,
            "an end leaves nothing in memory"
        );
        keeps(&gate, 40).await;

        let operator = gate.operator();
        let (work, request) = &all[7];
        let paths = [
            format!("/v1/tasks/{}", work.task),
            format!("/v1/grants/{}", work.grant),
            format!("/v1/requests/{request}"),
        ];
        for path in &paths {
            let (status, body) = look(&gate, &operator, path).await;
            assert_eq!((status, body["state"] == "active"), (200, false), "{path}");
        }

        gate.advance(KEEP);
        // What lives shows a sign of life in time: it was open for longer than anything is kept.
        let fresh = gate.agent("bot").token_for(&lives.task).await;
        forgets_all(&gate).await;
        let bot = gate.agent("bot").token().await;
        for path in &paths {
            let (status, body) = look(&gate, &operator, path).await;
            assert_eq!(status, 404, "{path}");
            let detail = body["detail"].as_str().unwrap();
            assert!(detail.contains("not kept any longer"), "{detail}");
            assert!(detail.contains("audit log"), "{detail}");
            // To an agent, what was forgotten and what never was look alike.
            let never = path.replace("over-7", "never-7");
            let (status, mut body) = look(&gate, &bot, path).await;
            assert_eq!(status, 404, "{path}");
            let (_, mut unknown) = look(&gate, &bot, &never).await;
            for body in [&mut body, &mut unknown] {
                let detail = body["detail"]
                    .as_str()
                    .unwrap()
                    .replace("over-7", "never-7");
                body["detail"] = detail.into();
                body.as_object_mut().unwrap().remove("request_id");
            }
            assert_eq!(body, unknown);
        }
        let none = format!("/v1/tasks/{}/complete", work.task);
        post(&gate, &bot, &none, &json!({}))
            .await
            .problem(404, "not_found");
        let (_, listed) = look(&gate, &operator, "/v1/grants?limit=500").await;
        let listed = listed["items"].as_array().unwrap();
        assert_eq!(listed.len(), 1, "what lives: {listed:?}");
        let again = json!({ "id": work.task });
        let again = post(&gate, &bot, "/v1/tasks", &again).await;
        again.problem(409, "conflict");
        let (_, task) = look(&gate, &fresh, "/v1/tasks/lives").await;
        assert_eq!(task["state"], "open");
        let lines = gate.stop().await;
        let knows = lines.iter().any(|line| line["task"] == work.task.as_str());
        assert!(knows, "the audit log knows it");
    });
}

#[test]
fn people_who_manage_nothing_learn_nothing_of_what_was_forgotten() {
    run(async {
        let gate = keeping().start().await;
        let work = opens(&gate, "over").await;
        work.completes(&gate).await;
        keeps(&gate, 1).await;
        gate.advance(KEEP);
        forgets_all(&gate).await;
        let dot = key_of(&gate, "dot").await;
        for (path, detail) in [
            ("/v1/tasks/over", "no task `over` of yours"),
            ("/v1/tasks/never", "no task `never` of yours"),
        ] {
            let (status, body) = look(&gate, &dot, path).await;
            assert_eq!((status, body["detail"].as_str()), (404, Some(detail)));
        }
    });
}

#[test]
fn ids_that_the_gateway_makes_are_nobody_elses_to_give() {
    run(async {
        let gate = plan().start().await;
        let token = gate.agent("bot").token().await;
        let made = json!({ "id": "tsk_0123456789abcdefghjkmnpqrs" });
        let given = post(&gate, &token, "/v1/tasks", &made).await;
        given.problem(409, "conflict");
        let like_it = json!({ "id": "tsk_1" });
        post(&gate, &token, "/v1/tasks", &like_it).await.expect(201);
    });
}
