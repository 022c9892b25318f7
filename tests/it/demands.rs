//! What a rule demands of a call can be met, and the next step that a refusal names is one that meets it.

mod asking;
mod exchanged;
mod handed_down;

use std::time::Duration;

use serde_json::{Value, json};

use crate::approvals::factors::Holder as Person;
use crate::approvals::{approve, key_of};
use crate::harness::{Answer, Es256, Gateway, Plan, Work, now_seconds, run};
use crate::oauth::holder::Holder;
use crate::rehearsal::told;

const ISSUER: &str = "https://idp.example";

/// The narrowest come first, and meet nothing.
const ENTITLEMENTS: &str = r#"
[[entitlement]]
id = "aaa"
operations = ["shop.second"]
max_ttl = "30m"

[[entitlement]]
id = "by-leads"
operations = ["shop.second"]
max_ttl = "30m"
approval = { group = "leads", expires = "30m" }

[[entitlement]]
id = "strong"
operations = ["shop.second", "shop.list"]
max_ttl = "30m"
approval = { group = "leads", mfa = true, expires = "30m" }

[[entitlement]]
id = "bbb"
operations = ["shop.silent"]
max_ttl = "30m"

[[entitlement]]
id = "silent-by-leads"
operations = ["shop.silent"]
max_ttl = "30m"
approval = { group = "leads", mfa = true, expires = "30m" }

[[entitlement]]
id = "secured"
operations = ["shop.silent", "shop.list"]
max_ttl = "30m"
approval = { group = "security", expires = "30m" }

[[entitlement]]
id = "secured-strongly"
operations = ["shop.silent", "shop.list", "shop.read"]
max_ttl = "30m"
approval = { group = "security", mfa = true, expires = "30m" }

[[person]]
id = "sam"
groups = ["leads", "security"]
"#;

const RULES: &str = r#"
@id("silent-by-security")
@require("approval:security")
permit (principal, action == Action::"shop.silent", resource);
"#;

fn plan() -> Plan {
    let plan = Plan::new().file("demands.toml", ENTITLEMENTS);
    plan.file("demands.cedar", RULES).manual_clock()
}

async fn call(gate: &Gateway, path: &str, token: &str) -> Answer {
    gate.call("GET", path).bearer(token).send().await
}

async fn request(gate: &Gateway, work: &Work, details: &Value) -> Answer {
    let body = json!({ "task": work.task, "entitlement": details["entitlement"] });
    let call = gate.control("POST", "/v1/requests").bearer(&work.token);
    call.json(&body).send().await
}

/// The entitlement that a refusal leads to, asked for as it says.
async fn follow(gate: &Gateway, work: &Work, refusal: &Value, entitlement: &str) -> Value {
    let next = &refusal["next"];
    let url = format!("{}/v1/requests", gate.control_url);
    assert_eq!(next["request_url"], url, "{refusal}");
    assert_eq!(next["approval"], true, "{refusal}");
    let details = json!([{
        "type": "portcullis_grant", "entitlement": entitlement, "task": work.task,
    }]);
    assert_eq!(next["authorization_details"], details, "{refusal}");
    let asked = request(gate, work, &next["authorization_details"][0]).await;
    asked.expect(202).json()
}

/// The log replayed by the rules that were live gives the same.
async fn replays(gate: &mut Gateway) -> Vec<Value> {
    let lines = gate.stop().await;
    let replay = ["replay", "--audit", "data/audit", "--policies", "policies"];
    let (code, report) = told(gate.root(), &replay);
    assert_eq!((code, &report["unknown"]), (0, &json!(0)), "{report:#}");
    lines
}

#[test]
fn a_second_factor_that_people_show_meets_the_demand_for_one() {
    run(async {
        let mut gate = plan().start().await;
        let sam = Person::enrol(&gate, "sam").await;
        let work = gate.agent("bot").works("aaa").await;
        let refused = call(&gate, "/shop/second", &work.token).await;
        assert_eq!(refused.challenge(), None);
        let refused = refused.refusal(403, "mfa_required");
        // People who agree without one don't meet it.
        let weak = request(&gate, &work, &json!({ "entitlement": "by-leads" })).await;
        approve(&gate, &sam.key, &weak.expect(202).json())
            .await
            .expect(200);
        call(&gate, "/shop/second", &work.token)
            .await
            .refusal(403, "mfa_required");
        let asked = follow(&gate, &work, &refused, "strong").await;
        gate.advance(Duration::from_secs(30));
        let code = sam.code(&gate);
        sam.approves(&gate, &asked, &code).await.expect(200);
        call(&gate, "/shop/second", &work.token).await.expect(200);
        let lines = replays(&mut gate).await;
        let calls = lines.iter().filter(|line| line["kind"] == "call");
        let shown: Vec<_> = calls
            .map(|line| &line["asked"]["grant"]["approved_mfa"])
            .collect();
        assert_eq!(shown, [&Value::Null, &Value::Null, &json!(true)]);
    });
}

#[test]
fn a_request_that_demands_a_second_factor_is_taken_where_people_will_show_one() {
    run(async {
        let plan = plan().file("rules.cedar", REQUESTS);
        let mut gate = plan.start().await;
        let sam = Person::enrol(&gate, "sam").await;
        let work = gate.agent("bot").opens().await;
        for entitlement in ["aaa", "by-leads"] {
            let refused = request(&gate, &work, &json!({ "entitlement": entitlement })).await;
            refused.problem(403, "mfa_required");
        }
        for entitlement in ["strong", "bbb"] {
            let asked = request(&gate, &work, &json!({ "entitlement": entitlement })).await;
            let asked = asked.expect(202).json();
            approve(&gate, &sam.key, &asked)
                .await
                .problem(403, "mfa_required");
            gate.advance(Duration::from_secs(30));
            let code = sam.code(&gate);
            sam.approves(&gate, &asked, &code).await.expect(200);
        }
        replays(&mut gate).await;
    });
}

/// Of `bbb` a rule asks the people, and so for their second factor.
const REQUESTS: &str = r#"
@id("asking")
@require("mfa")
permit (principal, action == Action::"request", resource)
unless { resource == Entitlement::"bbb" };

@id("asking-people")
@require("approval:leads, mfa")
permit (principal, action == Action::"request", resource == Entitlement::"bbb");
"#;

#[test]
fn the_next_step_asks_the_people_whose_approval_is_demanded() {
    run(async {
        let mut gate = plan().start().await;
        let work = gate.agent("bot").works("bbb").await;
        let refused = call(&gate, "/shop/silent", &work.token).await;
        let refused = refused.refusal(403, "approval_required");
        assert_eq!(refused["rule"], "silent-by-security");
        let asked = follow(&gate, &work, &refused, "secured").await;
        let sam = key_of(&gate, "sam").await;
        approve(&gate, &sam, &asked).await.expect(200);
        call(&gate, "/shop/silent", &work.token).await.expect(200);
        // One grant has to meet all of it: that of the same people without a factor does not help.
        let both = "approval:security, mfa";
        gate.edit_policy("demands.cedar", "approval:security", both);
        gate.publish().await;
        let refused = call(&gate, "/shop/silent", &work.token).await;
        let refused = refused.refusal(403, "approval_required");
        follow(&gate, &work, &refused, "secured-strongly").await;
        // Where nobody is asked for them, there is no next step.
        gate.edit_policy("demands.cedar", both, "approval:operators");
        gate.publish().await;
        let refused = call(&gate, "/shop/silent", &work.token).await;
        let refused = refused.refusal(403, "approval_required");
        assert_eq!(refused.get("next"), None, "{refused}");
        gate.stop().await;
    });
}

/// A trusted issuer, whose tokens say what a test wants.
struct Outside {
    key: Es256,
    gate: Gateway,
}

impl Outside {
    async fn start(settings: &str) -> Self {
        let key = Es256::generate();
        let keys = json!({ "keys": [key.public_jwk("outside")] });
        let plan = Plan::new().data("idp.json", &keys.to_string());
        let plan = plan.file("demands.toml", ENTITLEMENTS);
        let issuer = format!(
            "[[trusted_issuer]]\nissuer = \"{ISSUER}\"\njwks_file = \"idp.json\"\n\
             task_claim = \"task\"\n{settings}"
        );
        let gate = plan.settings(&issuer).start().await;
        Self { key, gate }
    }

    fn token(&self, work: &Work, more: &Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": self.gate.public_url, "sub": "bot", "iat": now_seconds(),
            "exp": now_seconds() + 300, "task": work.task,
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "alg": "ES256", "kid": "outside", "typ": "JWT" });
        self.key.sign(&header, &claims)
    }
}

#[test]
fn an_issuers_token_brings_its_factors() {
    run(async {
        let mut outside = Outside::start("mfa_acr = [\"phr\", \"phrh\"]\n").await;
        let gate = &outside.gate;
        let work = gate.agent("bot").works("aaa").await;
        for (claims, passes) in [
            (json!({}), false),
            (json!({ "amr": ["pwd"] }), false),
            (
                json!({ "amr": ["pwd", "pin", "face-of-another-name"] }),
                false,
            ),
            (json!({ "amr": ["pwd", "otp"] }), true),
            (json!({ "amr": ["mfa"] }), true),
            (json!({ "acr": "1" }), false),
            (json!({ "acr": "phrh" }), true),
        ] {
            let token = outside.token(&work, &claims);
            let answer = call(gate, "/shop/second", &token).await;
            if passes {
                assert_eq!(answer.status, 200, "{claims} {}", answer.text());
                continue;
            }
            let refused = answer.refusal(401, "mfa_required");
            assert_eq!(refused.get("next"), None, "{refused}");
            let challenge = answer.challenge().unwrap();
            assert_eq!(challenge.scheme, "Bearer");
            let error = "insufficient_user_authentication";
            assert_eq!(challenge.param("error"), error, "{claims}");
            assert_eq!(challenge.param("acr_values"), "phr phrh");
        }
        let lines = replays(&mut outside.gate).await;
        let asked = |line: &&Value| line["kind"] == "call" && line["verdict"] == "allow";
        let asked: Vec<_> = lines
            .iter()
            .filter(asked)
            .map(|line| &line["asked"])
            .collect();
        let methods: Vec<_> = asked.iter().map(|asked| &asked["methods"]).collect();
        assert_eq!(
            methods,
            [
                &json!(["trusted_issuer", "pwd", "otp"]),
                &json!(["trusted_issuer", "mfa"]),
                &json!(["trusted_issuer", "mfa"]),
            ]
        );
        assert!(asked.iter().all(|asked| asked["factors"] == 2), "{asked:?}");
    });
}

#[test]
fn a_bound_token_is_challenged_by_its_own_scheme() {
    run(async {
        let outside = Outside::start("mfa_acr = [\"phr\"]\n").await;
        let gate = &outside.gate;
        let work = gate.agent("bot").works("aaa").await;
        let mut holder = Holder::stranger(gate);
        let bound = json!({ "cnf": { "jkt": holder.thumbprint() }, "amr": ["pwd"] });
        let token = outside.token(&work, &bound);
        // The first answer brings the nonce.
        holder.reads("/shop/second", &token).await.expect(401);
        let answer = holder.reads("/shop/second", &token).await;
        answer.refusal(401, "mfa_required");
        let challenge = answer.challenge().unwrap();
        assert_eq!(challenge.scheme, "DPoP");
        let error = "insufficient_user_authentication";
        assert_eq!(challenge.param("error"), error);
        assert_eq!(challenge.param("acr_values"), "phr");
        let mut stronger = bound;
        stronger["acr"] = json!("phr");
        let token = outside.token(&work, &stronger);
        holder.reads("/shop/second", &token).await.expect(200);
    });
}

#[test]
fn an_issuer_that_can_tell_of_no_factor_leads_to_people() {
    run(async {
        let outside = Outside::start("").await;
        let gate = &outside.gate;
        let work = gate.agent("bot").works("aaa").await;
        let token = outside.token(&work, &json!({ "acr": "phr" }));
        let answer = call(gate, "/shop/second", &token).await;
        assert_eq!(answer.challenge(), None);
        let refused = answer.refusal(403, "mfa_required");
        follow(gate, &work, &refused, "strong").await;
    });
}
