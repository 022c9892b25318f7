//! Who may agree, to what, and once.

use std::time::Duration;

use serde_json::json;

use super::{approve, asks, call, key_of, look, plan, recorded, step};
use crate::harness::{Work, run};

#[test]
fn a_plain_retry_with_the_same_token_passes_once_a_person_agreed() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").opens().await;
        call(&gate, &work).await.refusal(403, "grant_required");
        let request = asks(&gate, &work, "reviewed").await;
        call(&gate, &work).await.refusal(403, "grant_required");

        let ana = key_of(&gate, "ana").await;
        let body = json!({
            "digest": request["digest"],
            "duration_seconds": 60,
            "comment": "the customer has called",
        });
        let approved = step(&gate, &ana, &request, "approve", &body).await;
        let approved = approved.expect(200).json();
        assert_eq!(approved["state"], "active", "{approved}");
        assert_eq!(approved["approvals"][0]["person"], "ana");
        assert_eq!(approved["approvals"][0]["mfa"], false);
        call(&gate, &work).await.expect(200);
        let path = format!("/v1/grants/{}", approved["grant"].as_str().unwrap());
        let grant = gate.control("GET", &path).bearer(&work.token).send().await;
        let grant = grant.expect(200).json();
        let time = |name: &str| {
            grant[name]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .unwrap()
        };
        let life = time("expires_at").duration_since(time("starts_at"));
        assert_eq!(life.as_secs(), 60, "as long as was agreed: {grant}");
        recorded(gate, &["in force", "the customer has called"]).await;
    });
}

#[test]
fn an_approval_counts_once_for_one_person_and_one_digest() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").opens().await;
        let (ben, cem) = (key_of(&gate, "ben").await, key_of(&gate, "cem").await);
        let request = asks(&gate, &work, "twice").await;

        let shown = json!({});
        let blind = step(&gate, &ben, &request, "approve", &shown).await;
        blind.problem(409, "digest_mismatch");
        let other = json!({ "digest": "0".repeat(64) });
        let other = step(&gate, &ben, &request, "approve", &other).await;
        other.problem(409, "digest_mismatch");
        let longer = json!({ "digest": request["digest"], "duration_seconds": 1801 });
        let longer = step(&gate, &ben, &request, "approve", &longer).await;
        longer.problem(400, "request_malformed");

        let first = approve(&gate, &ben, &request).await.expect(200).json();
        assert_eq!(first["state"], "pending");
        approve(&gate, &ben, &request)
            .await
            .problem(409, "already_approved");
        call(&gate, &work).await.refusal(403, "grant_required");
        let second = approve(&gate, &cem, &request).await.expect(200).json();
        assert_eq!(second["state"], "active");
        call(&gate, &work).await.expect(200);
        // Replayed, by either.
        for key in [&ben, &cem] {
            approve(&gate, key, &request)
                .await
                .problem(409, "already_decided");
        }
        // The digest is of one request: the same words asked again are another.
        let again = asks(&gate, &work, "twice").await;
        assert_ne!(again["digest"], request["digest"]);
        let replayed = json!({ "digest": request["digest"] });
        let replayed = step(&gate, &ben, &again, "approve", &replayed).await;
        replayed.problem(409, "digest_mismatch");
        let told = [
            "approve refused: `digest` is not that of this request",
            "people can only shorten",
            "you have approved this request already",
            "decided already",
            "1 more to agree",
        ];
        recorded(gate, &told).await;
    });
}

#[test]
fn nobody_approves_what_is_their_own() {
    run(async {
        let gate = plan().start().await;
        let (ana, ben) = (key_of(&gate, "ana").await, key_of(&gate, "ben").await);

        // An agent that one owns, alone or as one of a group.
        gate.edit_policy(
            "agents/bot.toml",
            "id = \"bot\"",
            "id = \"bot\"\nowner = \"ben\"",
        );
        gate.publish().await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        approve(&gate, &ben, &request)
            .await
            .problem(403, "self_approval");
        gate.edit_policy("agents/bot.toml", "owner = \"ben\"", "owner = \"leads\"");
        gate.publish().await;
        approve(&gate, &ana, &request)
            .await
            .problem(403, "self_approval");
        gate.edit_policy("agents/bot.toml", "owner = \"leads\"\n", "");
        gate.publish().await;

        // A task that one has opened, at any height.
        let body = json!({ "agent": "bot", "lease_seconds": 3600 });
        let opened = gate.control("POST", "/v1/tasks").bearer(&ana).json(&body);
        let opened = opened.send().await.expect(201).json();
        let above = gate
            .agent("bot")
            .token_for(opened["id"].as_str().unwrap())
            .await;
        let body = json!({ "parent": opened["id"], "lease_seconds": 3600 });
        let span = gate.control("POST", "/v1/tasks").bearer(&above).json(&body);
        let span = span.send().await.expect(201).json();
        let task = span["id"].as_str().unwrap().to_owned();
        let token = gate.agent("bot").token_for(&task).await;
        let work = Work {
            task,
            token,
            grant: String::new(),
        };
        let request = asks(&gate, &work, "reviewed").await;
        approve(&gate, &ana, &request)
            .await
            .problem(403, "self_approval");
        approve(&gate, &ben, &request).await.expect(200);

        // An agent, however it asks.
        let again = asks(&gate, &work, "twice").await;
        approve(&gate, &work.token, &again)
            .await
            .problem(403, "forbidden");
        let told = ["nobody approves what they", "an agent tried to decide"];
        recorded(gate, &told).await;
    });
}

#[test]
fn a_key_that_an_operator_made_does_not_approve_the_operators_own() {
    run(async {
        let gate = plan().start().await;
        let operator = gate.operator();
        let body = json!({ "agent": "bot", "lease_seconds": 3600 });
        let opened = gate
            .control("POST", "/v1/tasks")
            .bearer(&operator)
            .json(&body);
        let opened = opened.send().await.expect(201).json();
        let task = opened["id"].as_str().unwrap().to_owned();
        let token = gate.agent("bot").token_for(&task).await;
        let work = Work {
            task,
            token,
            grant: String::new(),
        };
        let request = asks(&gate, &work, "reviewed").await;
        let made = key_of(&gate, "ben").await;
        approve(&gate, &made, &request)
            .await
            .problem(403, "self_approval");
        // Nor does one that was made with it.
        let second = super::make_key(&gate, &made, "ben")
            .await
            .expect(201)
            .json();
        let second = second["key"].as_str().unwrap();
        approve(&gate, second, &request)
            .await
            .problem(403, "self_approval");
        recorded(gate, &["this is `operator`'s"]).await;
    });
}

#[test]
fn only_the_people_of_the_group_approve_and_they_or_operators_deny() {
    run(async {
        let gate = plan().start().await;
        let operator = gate.operator();
        let dot = key_of(&gate, "dot").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        for key in [&dot, &operator] {
            approve(&gate, key, &request)
                .await
                .problem(403, "not_approver");
        }
        let reason = json!({ "reason": "not on a Friday" });
        let denied = step(&gate, &dot, &request, "deny", &reason).await;
        denied.problem(403, "not_approver");
        let silent = step(&gate, &operator, &request, "deny", &json!({})).await;
        silent.problem(400, "request_malformed");
        let denied = step(&gate, &operator, &request, "deny", &reason).await;
        assert_eq!(denied.expect(200).json()["state"], "declined");
        let seen = look(&gate, &work.token, &request).await;
        assert_eq!(seen["state"], "declined");
        assert_eq!(seen["note"], "not on a Friday");
        call(&gate, &work).await.refusal(403, "grant_required");
        let cem = key_of(&gate, "cem").await;
        approve(&gate, &cem, &request)
            .await
            .problem(409, "already_decided");
        let told = [
            "this is for the people of `leads`",
            "denied with",
            "not on a Friday",
        ];
        recorded(gate, &told).await;
    });
}

#[test]
fn membership_is_that_of_the_moment() {
    run(async {
        let gate = plan().start().await;
        let ben = key_of(&gate, "ben").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        let member = "id = \"ben\"\ngroups = [\"leads\"]";
        gate.edit_policy("people.toml", member, "id = \"ben\"\ngroups = [\"others\"]");
        gate.publish().await;
        approve(&gate, &ben, &request)
            .await
            .problem(403, "not_approver");
    });
}

#[test]
fn a_change_of_the_definition_voids_what_waits() {
    run(async {
        let gate = plan().start().await;
        let (ben, cem) = (key_of(&gate, "ben").await, key_of(&gate, "cem").await);
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "twice").await;
        approve(&gate, &ben, &request).await.expect(200);
        let operations = "id = \"twice\"\noperations = [\"shop.reviewed\"";
        let more = format!("{operations}, \"shop.list\"");
        gate.edit_policy("entitlements.toml", operations, &more);
        gate.publish().await;
        approve(&gate, &cem, &request)
            .await
            .problem(409, "request_changed");
        // Asked again, it is what it now means, and the first approval is not carried over.
        let anew = asks(&gate, &work, "twice").await;
        assert_ne!(anew["id"], request["id"]);
        approve(&gate, &cem, &anew).await.expect(200);
        let approved = approve(&gate, &ben, &anew).await.expect(200).json();
        assert_eq!(approved["state"], "active");
        recorded(gate, &["has changed since this was asked for"]).await;
    });
}

#[test]
fn an_entitlement_that_is_gone_ends_what_waits_for_it() {
    run(async {
        let gate = plan().start().await;
        let ben = key_of(&gate, "ben").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        gate.edit_policy("entitlements.toml", "id = \"reviewed\"", "id = \"other\"");
        gate.publish().await;
        approve(&gate, &ben, &request)
            .await
            .problem(409, "request_changed");
        let seen = look(&gate, &work.token, &request).await;
        assert_eq!(seen["state"], "ended");
        assert_eq!(seen["end_reason"], "policy_changed");
    });
}

#[test]
fn rules_are_asked_again_when_people_have_agreed() {
    run(async {
        let gate = plan().start().await;
        let ben = key_of(&gate, "ben").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        let night = "\n@id(\"night\")\n@message(\"nothing at night\")\n\
                     forbid (principal, action == Action::\"request\", resource);\n";
        gate.write_policy("night.cedar", night);
        gate.publish().await;
        let refused = approve(&gate, &ben, &request).await;
        let problem = refused.problem(409, "activation_refused");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("nothing at night")
        );
        let seen = look(&gate, &work.token, &request).await;
        assert_eq!(seen["state"], "ended");
        assert_eq!(seen["end_reason"], "condition_changed");
        assert_eq!(seen["note"], "nothing at night");
        recorded(gate, &["the rules do not let this come into force now"]).await;
    });
}

#[test]
fn an_approval_that_comes_too_late_is_none() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let ben = key_of(&gate, "ben").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        gate.advance(Duration::from_mins(10));
        approve(&gate, &ben, &request)
            .await
            .problem(409, "request_expired");
        recorded(gate, &["the time to approve this request is over"]).await;
    });
}

#[test]
fn a_rule_can_send_a_request_to_people_too() {
    run(async {
        let gate = plan().start().await;
        let ben = key_of(&gate, "ben").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "sealed").await;
        assert_eq!(request["approval"]["group"], "leads");
        approve(&gate, &ben, &request).await.expect(200);
        let call = gate.call("GET", "/shop/sealed").bearer(&work.token);
        call.send().await.expect(200);
    });
}

#[test]
fn what_is_odd_is_refused_with_a_reason() {
    run(async {
        let gate = plan().start().await;
        let ben = key_of(&gate, "ben").await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "reviewed").await;
        let odd = [
            json!({ "digest": 7 }),
            json!({ "digest": request["digest"], "more": true }),
            json!({ "digest": request["digest"], "duration_seconds": -1 }),
            json!({ "digest": request["digest"], "duration_seconds": 0 }),
            json!({ "digest": request["digest"], "comment": "x".repeat(1001) }),
            json!([]),
        ];
        for body in odd {
            let refused = step(&gate, &ben, &request, "approve", &body).await;
            refused.problem(400, "request_malformed");
        }
        let nowhere = json!({ "id": "req_nobody", "digest": request["digest"] });
        approve(&gate, &ben, &nowhere)
            .await
            .problem(404, "not_found");
        assert_eq!(look(&gate, &ben, &request).await["state"], "pending");
    });
}
