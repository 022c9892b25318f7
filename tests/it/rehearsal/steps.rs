//! A run with every kind of decision, replayed: the same policies give the same of each, and others tell
//! what they would change of each.

use serde_json::{Value, json};

use super::{some_of_everything, told};
use crate::harness::{Answer, Gateway, Plan, Work, run};

const ASKED: &str = r#"
[[entitlement]]
id = "doubly"
operations = ["shop.reviewed"]
max_ttl = "30m"
max_concurrent = 3
approval = { group = "leads", quorum = 2, expires = "30m" }

[[entitlement]]
id = "strong"
operations = ["shop.reviewed"]
max_ttl = "30m"
approval = { group = "leads", mfa = true, expires = "30m" }

[[person]]
id = "ben"
groups = ["leads"]

[[person]]
id = "cem"
"#;

const RULES: &str = r#"
@id("calm")
forbid (principal, action == Action::"request", resource)
when { context.risk.known && context.risk.score > 50 };
"#;

struct Run {
    gate: Gateway,
    people: Vec<(&'static str, String)>,
}

impl Run {
    async fn start() -> Self {
        let plan = Plan::new().manual_clock();
        let plan = plan.file("asked.toml", ASKED).file("calm.cedar", RULES);
        let gate = plan.start().await;
        let mut people = vec![("operator", gate.operator())];
        for (name, id) in [("ana", "ana@example.com"), ("ben", "ben"), ("cem", "cem")] {
            let call = gate.control("POST", &format!("/v1/people/{id}/keys"));
            let made = call.bearer(&gate.operator()).json(&json!({})).send().await;
            let key = made.expect(201).json()["key"].as_str().unwrap().to_owned();
            people.push((name, key));
        }
        Self { gate, people }
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        let call = self.gate.control("POST", path).bearer(token);
        call.json(&body).send().await
    }

    async fn asks(&self, entitlement: &str) -> Value {
        let work = self.gate.agent("bot").opens().await;
        let body = json!({ "task": work.task, "entitlement": entitlement });
        let asked = self.post(&work.token, "/v1/requests", body).await;
        asked.expect(202).json()
    }

    /// What a person says to a request, and the status that it gets.
    async fn says(&self, who: &str, request: &Value, step: &str, status: u16) {
        let (_, key) = self.people.iter().find(|(name, _)| *name == who).unwrap();
        let path = format!("/v1/requests/{}/{step}", request["id"].as_str().unwrap());
        let body = match step {
            "deny" => json!({ "reason": "not now" }),
            _ => json!({ "digest": request["digest"] }),
        };
        self.post(key, &path, body).await.expect(status);
    }

    async fn risk(&self, score: i64) {
        let body = json!({ "agent": "bot", "score": score, "source": "siem", "expires_in": 60 });
        let operator = self.gate.operator();
        let said = self.post(&operator, "/v1/signals", body).await;
        said.expect(204);
    }

    async fn of_grant(&self, work: &Work, step: &str, body: Value, status: u16) {
        let path = format!("/v1/grants/{}/{step}", work.grant);
        self.post(&work.token, &path, body).await.expect(status);
    }

    async fn agreements(&self) {
        let doubly = self.asks("doubly").await;
        self.says("cem", &doubly, "approve", 403).await;
        self.says("operator", &doubly, "approve", 403).await;
        let mut other = doubly.clone();
        other["digest"] = "00".repeat(32).into();
        self.says("ana", &other, "approve", 409).await;
        self.says("ana", &doubly, "approve", 200).await;
        self.says("ana", &doubly, "approve", 409).await;
        self.says("ben", &doubly, "approve", 200).await;
        self.says("ben", &doubly, "approve", 409).await;
        let strong = self.asks("strong").await;
        self.says("ben", &strong, "approve", 403).await;
        self.says("cem", &strong, "deny", 403).await;
        self.says("operator", &strong, "deny", 200).await;
        let reviewed = self.asks("reviewed").await;
        self.risk(90).await;
        self.says("ana", &reviewed, "approve", 409).await;
        self.risk(0).await;
    }

    async fn grants(&self) {
        let bot = self.gate.agent("bot");
        let work = bot.opens().await;
        let body = json!({ "task": work.task, "entitlement": "work", "duration_seconds": 600 });
        let work = bot.granted(work, &body).await;
        let body = json!({ "parent": work.task });
        let span = self.post(&work.token, "/v1/tasks", body).await;
        let span = span.expect(201).json();
        let part = |operation: &str| json!({ "task": span["id"], "operations": [operation], "duration_seconds": 60 });
        self.of_grant(&work, "renew", json!({ "duration_seconds": 1200 }), 200)
            .await;
        self.of_grant(&work, "delegate", part("shop.list"), 201)
            .await;
        self.of_grant(&work, "delegate", part("shop.status"), 400)
            .await;
        self.risk(90).await;
        self.of_grant(&work, "renew", json!({}), 403).await;
        self.of_grant(&work, "delegate", part("shop.read"), 403)
            .await;
        self.risk(0).await;
        self.of_grant(&work, "renew", json!({ "duration_seconds": 7200 }), 200)
            .await;
        self.of_grant(&work, "renew", json!({ "duration_seconds": 7200 }), 409)
            .await;
        // Under no policies that there are is it an entitlement.
        let body = json!({ "task": work.task, "entitlement": "nothing" });
        self.post(&work.token, "/v1/requests", body)
            .await
            .expect(403);
    }
}

#[test]
fn every_kind_of_decision_is_put_again() {
    run(async {
        let mut run = Run::start().await;
        run.agreements().await;
        run.grants().await;
        some_of_everything(&run.gate).await;
        let lines = run.gate.stop().await;
        let replay = ["replay", "--audit", "data/audit", "--policies", "policies"];
        let (code, report) = told(run.gate.root(), &replay);
        assert_eq!(code, 0, "{report:#} {lines:#?}");
        assert_eq!(report["unknown"], 0, "{report:#}");
        let number = |name: &str| report[name].as_u64().unwrap();
        assert_eq!(number("same") + number("untouched"), number("decisions"));
        let (codes, counts): (Vec<_>, Vec<_>) =
            report["untouched_by"].as_object().unwrap().iter().unzip();
        // What nobody can decide otherwise: a request that is over, and a call that can't be read.
        assert_eq!(
            codes,
            ["approval_required", "input_invalid", "path_ambiguous"]
        );
        assert_eq!(counts, [1, 1, 1], "{report:#}");
        let steps = |member: &str, verdict: Value| {
            let of =
                |line: &&Value| line["asked"][member].is_object() && line["verdict"] == verdict;
            lines.iter().filter(of).count()
        };
        let [allow, deny] = ["allow", "deny"].map(Value::from);
        // Of agreements, the first and the last; no's to what was said, by whom and when.
        assert_eq!(steps("agreement", allow.clone()), 2);
        assert_eq!(steps("agreement", deny.clone()), 7);
        assert_eq!(steps("agreement", Value::Null), 1, "somebody who declined");
        assert_eq!(steps("renewal", allow.clone()), 2);
        assert_eq!(steps("renewal", deny.clone()), 1);
        assert_eq!(steps("renewal", Value::Null), 1, "no longer");
        assert_eq!(steps("part", allow), 1);
        assert_eq!(steps("part", deny), 1);
        assert_eq!(steps("part", Value::Null), 1, "wider than the grant");
    });
}

/// What a candidate makes of each kind: `(what, before, after)` and how often.
fn differences(run: &Run) -> Vec<(String, String, String, u64)> {
    let replay = ["replay", "--audit", "data/audit", "--policies", "policies"];
    let (code, report) = told(run.gate.root(), &replay);
    assert_eq!((code, &report["unknown"]), (3, &json!(0)), "{report:#}");
    let lists = ["gains", "losses", "others"].map(|list| report[list].as_array().unwrap().clone());
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let mut all: Vec<_> = lists
        .iter()
        .flatten()
        .map(|one| {
            let count = one["count"].as_u64().unwrap();
            let [what, before, after] = ["what", "before", "after"].map(|name| text(one, name));
            (what, before, after, count)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn other_policies_tell_what_they_change_of_agreements_and_renewals() {
    run(async {
        let mut run = Run::start().await;
        run.agreements().await;
        run.grants().await;
        run.gate.stop().await;
        let is = |what: &str, before: &str, after: &str, count| {
            (what.to_owned(), before.to_owned(), after.to_owned(), count)
        };
        // A quarter of an hour from its first activation is the longest: what was extended to more is not.
        let gate = &run.gate;
        gate.edit_policy("entitlements.toml", "max_ttl = \"1h\"", "max_ttl = \"10m\"");
        assert_eq!(
            differences(&run),
            [is("work", "allow", "no_longer", 2)],
            "the renewals"
        );
        gate.edit_policy("entitlements.toml", "max_ttl = \"10m\"", "max_ttl = \"1h\"");
        // Ben is nobody to ask any more, and Cem is.
        gate.edit_policy("asked.toml", "groups = [\"leads\"]", "groups = []");
        gate.edit_policy(
            "asked.toml",
            "id = \"cem\"",
            "id = \"cem\"\ngroups = [\"leads\"]",
        );
        assert_eq!(
            differences(&run),
            [
                is("doubly", "allow", "approval_required", 1),
                is("doubly", "approval_required", "agreed", 1),
                is("strong", "approval_required", "declined", 1),
                is("strong", "mfa_required", "approval_required", 1),
            ]
        );
        // What people agreed to has another meaning: they have to be asked anew.
        gate.edit_policy("asked.toml", "max_concurrent = 3", "max_concurrent = 4");
        let changed = differences(&run);
        assert!(
            changed.contains(&is("doubly", "agreed", "approval_required", 1)),
            "{changed:?}"
        );
        assert!(!changed.iter().any(|one| one.2 == "agreed"), "{changed:?}");
    });
}
