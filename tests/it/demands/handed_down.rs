//! A part of a grant that is handed down within an agent's work is agreed to as its whole is: with a second factor
//! where people have shown theirs, and without one where they have not.

use std::time::Duration;

use serde_json::json;

use super::{Person, approve, call, plan, request};
use crate::harness::{Gateway, Work, run};

/// A grant of `entitlement` that people have agreed to, with their second factors or without.
async fn agreed(gate: &Gateway, sam: &Person, entitlement: &str, mfa: bool) -> Work {
    let work = gate.agent("bot").opens().await;
    let asked = request(gate, &work, &json!({ "entitlement": entitlement })).await;
    let asked = asked.expect(202).json();
    let approved = if mfa {
        gate.advance(Duration::from_secs(30));
        sam.approves(gate, &asked, &sam.code(gate)).await
    } else {
        approve(gate, &sam.key, &asked).await
    };
    let grant = approved.expect(200).json()["grant"]
        .as_str()
        .unwrap()
        .to_owned();
    Work { grant, ..work }
}

/// All of it handed down to a span of the work.
async fn handed_down(gate: &Gateway, work: &Work) -> Work {
    let body = json!({ "parent": work.task, "lease_seconds": 3600 });
    let call = gate.control("POST", "/v1/tasks").bearer(&work.token);
    let task = call.json(&body).send().await.expect(201).json()["id"].clone();
    let path = format!("/v1/grants/{}/delegate", work.grant);
    let call = gate.control("POST", &path).bearer(&work.token);
    let part = call.json(&json!({ "task": task })).send().await;
    let task = task.as_str().unwrap().to_owned();
    Work {
        token: gate.agent("bot").token_for(&task).await,
        grant: part.expect(201).json()["id"].as_str().unwrap().to_owned(),
        task,
    }
}

async fn is_permitted(gate: &Gateway, works: &[Work], mfa: bool) {
    for work in works {
        let answer = call(gate, "/shop/second", &work.token).await;
        if mfa {
            answer.expect(200);
        } else {
            answer.refusal(403, "mfa_required");
        }
    }
}

#[test]
fn a_part_has_what_people_have_shown_for_the_whole_and_no_more() {
    run(async {
        let mut gate = plan().start().await;
        let sam = Person::enrol(&gate, "sam").await;
        let mut all = Vec::new();
        for (entitlement, mfa) in [("strong", true), ("by-leads", false)] {
            let whole = agreed(&gate, &sam, entitlement, mfa).await;
            let part = handed_down(&gate, &whole).await;
            let part_of_part = handed_down(&gate, &part).await;
            let works = [whole, part, part_of_part];
            is_permitted(&gate, &works, mfa).await;
            all.push((works, mfa));
        }
        gate.restart().await;
        for (works, mfa) in &all {
            is_permitted(&gate, works, *mfa).await;
        }
    });
}
