//! The classes of attacks. Each begins with what the attacker got honestly or stole, and shows that it
//! works before it is abused.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::RACE_CALLS;
use super::dice::Dice;
use super::scene::{ATTACK, RACE, Scene, refused};
use crate::harness::{Call, Raw, join_all};
use crate::oauth::holder::Holder;
use crate::oauth::signed;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    StolenToken,
    ReplayedProof,
    OtherTask,
    OtherOperation,
    AfterEnd,
    NewNetwork,
    OffHours,
    HighRisk,
    OverLimit,
    BudgetRace,
}

/// Whether it was refused as it should be, and otherwise what came instead.
type Outcome = Result<(), String>;

impl Class {
    pub(super) const ALL: [Self; 10] = [
        Self::StolenToken,
        Self::ReplayedProof,
        Self::OtherTask,
        Self::OtherOperation,
        Self::AfterEnd,
        Self::NewNetwork,
        Self::OffHours,
        Self::HighRisk,
        Self::OverLimit,
        Self::BudgetRace,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::StolenToken => "stolen token without its key",
            Self::ReplayedProof => "replayed proof",
            Self::OtherTask => "other task",
            Self::OtherOperation => "other operation",
            Self::AfterEnd => "after the end",
            Self::NewNetwork => "new network",
            Self::OffHours => "off hours",
            Self::HighRisk => "high risk",
            Self::OverLimit => "input over the limit",
            Self::BudgetRace => "race for the budget",
        }
    }

    /// Attacks once.
    pub(super) async fn strike(self, scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
        match self {
            Self::StolenToken => stolen_token(scene, dice).await,
            Self::ReplayedProof => replayed_proof(scene, dice).await,
            Self::OtherTask => other_task(scene, dice).await,
            Self::OtherOperation => other_operation(scene, dice).await,
            Self::AfterEnd => after_end(scene, dice).await,
            Self::NewNetwork => new_network(scene, dice).await,
            Self::OffHours => off_hours(scene, dice).await,
            Self::HighRisk => high_risk(scene, dice).await,
            Self::OverLimit => over_limit(scene, dice).await,
            Self::BudgetRace => budget_race(scene, dice).await,
        }
    }
}

async fn stolen_token(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let victim = scene.bound().await;
    let call = scene.attack("GET", "/shop/dpop", dice);
    let (call, code) = match dice.below(4) {
        0 => (call.bearer(&victim.token), "proof_required"),
        1 => {
            // The thief has a key and a nonce of its own.
            let thief = Holder::new(scene.gate).await;
            let url = format!("{}/shop/dpop", scene.gate.public_url);
            let proof = thief.proof("GET", &url, Some(&victim.token));
            let call = call.header("authorization", victim.authorization());
            (call.header("dpop", proof), "proof_invalid")
        }
        2 => {
            // A proof of the victim's that was seen elsewhere.
            let proof = victim.proof("GET", "/shop/items");
            let call = call.header("authorization", victim.authorization());
            (call.header("dpop", proof), "proof_invalid")
        }
        _ => {
            let call = call.header("authorization", victim.authorization());
            (call, "proof_required")
        }
    };
    refused(&call.send().await, &[(401, code, "")])
}

async fn replayed_proof<'g>(scene: &Scene<'g>, dice: &mut Dice) -> Outcome {
    if dice.below(4) == 0 {
        // The assertion by which a client authenticates is a proof, too.
        let assertion = scene.gate.agent("bot").assertion();
        let fields = [("grant_type", "client_credentials")];
        let ask = || signed(scene.gate, &assertion, "/oauth/token", &fields).send();
        ask().await.expect(200);
        let again = ask().await;
        let document: Value = serde_json::from_slice(&again.body).unwrap_or_default();
        return match (again.status, document["error"].as_str()) {
            (401, Some("invalid_client")) => Ok(()),
            other => Err(format!("{other:?}")),
        };
    }
    let victim = scene.bound().await;
    let captured = victim.proof("GET", "/shop/dpop");
    let prove = |call: Call<'g>| {
        let call = call.header("authorization", victim.authorization());
        call.header("dpop", &captured).send()
    };
    let honest = scene.honest("GET", "/shop/dpop", dice);
    prove(honest).await.expect(200);
    let (method, path) = dice.pick(&[
        ("GET", "/shop/dpop"),
        ("GET", "/shop/dpop?again=1"),
        ("GET", "/shop/items"),
        ("POST", "/shop/pay"),
    ]);
    let again = prove(scene.attack(method, path, dice)).await;
    refused(&again, &[(401, "proof_invalid", "")])
}

async fn other_task(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let gate = scene.gate;
    let granted = gate.agent("bot").works("items").await;
    scene.lists(&granted, dice).await;
    let call = scene.attack("GET", "/shop/items", dice);
    let grant_required: &[_] = &[(403, "grant_required", "")];
    let contradicted: &[_] = &[(400, "request_malformed", "")];
    match dice.below(4) {
        0 => {
            let other = gate.agent("bot").opens().await;
            refused(&call.bearer(&other.token).send().await, grant_required)
        }
        1 => {
            let other = gate.agent("rival").opens().await;
            let call = call
                .bearer(&other.token)
                .header("portcullis-task", &granted.task);
            refused(&call.send().await, contradicted)
        }
        2 => {
            let identity = gate.agent("bot").token().await;
            let call = call
                .bearer(&identity)
                .header("portcullis-task", &granted.task);
            refused(&call.send().await, contradicted)
        }
        _ => {
            // Another agent asks for a right in a task that is not its own.
            let other = gate.agent("rival").opens().await;
            let body = json!({ "task": granted.task, "entitlement": "work" });
            let asked = gate.control("POST", "/v1/requests").bearer(&other.token);
            refused(
                &asked.json(&body).send().await,
                &[(404, "not_found", ""), (403, "forbidden", "")],
            )?;
            refused(&call.bearer(&other.token).send().await, grant_required)
        }
    }
}

async fn other_operation(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let work = scene.gate.agent("bot").works("items").await;
    scene.lists(&work, dice).await;
    let (method, path, status, code) = dice.pick(&[
        ("POST", "/shop/pay", 403, "grant_required"),
        ("GET", "/shop/stream", 403, "grant_required"),
        ("GET", "/shop/sealed", 403, "grant_required"),
        ("PUT", "/shop/data/items", 403, "grant_required"),
        ("DELETE", "/shop/items/7", 404, "operation_unknown"),
        ("GET", "/shop/admin", 404, "operation_unknown"),
        ("GET", "/SHOP/items", 404, "operation_unknown"),
        ("GET", "/shop/items/..%2Fstream", 400, "path_ambiguous"),
        ("GET", "/shop/items/%2e%2e/stream", 400, "path_ambiguous"),
        ("GET", "/shop//stream", 400, "path_ambiguous"),
    ]);
    let call = scene.attack(method, path, dice).bearer(&work.token);
    refused(&call.send().await, &[(status, code, "")])
}

async fn after_end(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let gate = scene.gate;
    let work = gate.agent("bot").works("items").await;
    scene.lists(&work, dice).await;
    let (task, grant) = (
        format!("/v1/tasks/{}", work.task),
        format!("/v1/grants/{}", work.grant),
    );
    let (path, key, status, code) = match dice.below(5) {
        0 => (
            format!("{task}/complete"),
            work.token.clone(),
            401,
            "task_ended",
        ),
        1 => (
            format!("{task}/fail"),
            work.token.clone(),
            401,
            "task_ended",
        ),
        2 => (
            format!("{task}/cancel"),
            work.token.clone(),
            401,
            "task_ended",
        ),
        3 => (
            format!("{grant}/revoke"),
            work.token.clone(),
            403,
            "grant_required",
        ),
        _ => (
            format!("{grant}/revoke"),
            gate.operator(),
            403,
            "grant_required",
        ),
    };
    scene.post(&path, &key).await.expect(200);
    let call = scene.attack("GET", "/shop/items", dice).bearer(&work.token);
    refused(&call.send().await, &[(status, code, "")])
}

async fn new_network(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let work = scene.gate.agent("bot").works("items").await;
    scene.lists(&work, dice).await;
    let (home, elsewhere) = (scene.at_home(dice), scene.elsewhere(dice));
    let wanted = &[(403, "condition_denied", "known-network")];
    let path = "/shop/items";
    let call = match dice.below(4) {
        0 => scene.attack_from("GET", path, &elsewhere),
        // What stands before the address that the proxy saw is the client's own word.
        1 => scene.attack_from("GET", path, &format!("{home}, {elsewhere}")),
        2 => {
            let call = scene.attack_from("GET", path, &elsewhere);
            call.header("forwarded", format!("for={home}"))
        }
        _ => {
            // A peer that is no trusted proxy speaks for nobody.
            let peer = Ipv4Addr::new(127, 0, 0, 2 + dice.below(250) as u8);
            let mut raw = Raw::connect_from(scene.gate, IpAddr::V4(peer)).await;
            raw.say(format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{ATTACK}: 1\r\n\
                 X-Forwarded-For: {home}\r\nConnection: close\r\n\r\n",
                work.token
            ))
            .await;
            let head = raw.head().await;
            let (body, _) = raw.rest().await;
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            return if head.starts_with("HTTP/1.1 403 ") && problem["rule"] == "known-network" {
                Ok(())
            } else {
                Err(head)
            };
        }
    };
    refused(&call.bearer(&work.token).send().await, wanted)
}

/// Everything is as it should be, but for the hour.
async fn off_hours(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let work = scene.gate.agent("bot").works("work").await;
    let path = dice.pick(&[
        "/shop/items",
        "/shop/items/7",
        "/shop/find?most=1",
        "/shop/stream",
    ]);
    let call = scene.attack("GET", path, dice).bearer(&work.token);
    refused(
        &call.send().await,
        &[(403, "condition_denied", "office-hours")],
    )
}

async fn high_risk(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let gate = scene.gate;
    let work = gate.agent("bot").works("work").await;
    scene.lists(&work, dice).await;
    let says = async |score: u64| {
        let signal = json!({
            "agent": "bot", "task": work.task, "score": score, "source": "siem", "reason": "odd egress",
        });
        let push = gate.control("POST", "/v1/signals").bearer(&gate.operator());
        push.json(&signal).send().await.expect(204);
    };
    says(71 + dice.below(30)).await;
    if dice.below(3) == 0 {
        let body = json!({ "task": work.task, "entitlement": "items" });
        let asked = gate.control("POST", "/v1/requests").bearer(&work.token);
        let asked = asked.json(&body).send().await;
        refused(
            &asked,
            &[(403, "condition_denied", "no-requests-when-risky")],
        )?;
    }
    let call = scene.attack("GET", "/shop/items", dice).bearer(&work.token);
    refused(
        &call.send().await,
        &[(403, "condition_denied", "not-when-risky")],
    )
}

/// Ways to bring an amount over the limit past whoever reads it otherwise than the service does.
async fn over_limit(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let work = scene.gate.agent("bot").works("work").await;
    let much = 101 + dice.below(1_000_000);
    let by_rule: &[_] = &[(403, "condition_denied", "small-payments")];
    let unread: &[_] = &[(400, "input_invalid", "")];
    let plain = "application/json";
    let (kind, body, wanted) = match dice.below(16) {
        0 => (plain, format!("{{\"amount\": {much}}}"), by_rule),
        1 => (plain, format!("{{\"\\u0061mount\": {much}}}"), by_rule),
        2 => (
            "application/json; charset=utf-8",
            format!("{{\"amount\": {much}}}"),
            by_rule,
        ),
        3 => (
            plain,
            format!("{{\"amount\": 5, \"amount\": {much}}}"),
            unread,
        ),
        4 => (
            plain,
            format!("{{\"amount\": {much}, \"amount\": 5}}"),
            unread,
        ),
        5 => (
            plain,
            format!("{{\"amount\": 5, \"\\u0061mount\": {much}}}"),
            unread,
        ),
        6 => (
            plain,
            format!("{{\"amount\": 5, \"AMOUNT\": {much}}}"),
            unread,
        ),
        7 => (plain, format!("{{\"amount\": \"{much}\"}}"), unread),
        8 => (plain, format!("{{\"amount\": {much}.0}}"), unread),
        9 => (plain, format!("{{\"amount\": {much}e0}}"), unread),
        10 => (
            plain,
            format!("{{\"amount\": 1844674407370955{much}}}"),
            unread,
        ),
        11 => (
            plain,
            format!("{{\"amount\": 5}}{{\"amount\": {much}}}"),
            unread,
        ),
        12 => ("text/plain", format!("{{\"amount\": {much}}}"), unread),
        13 => (
            "application/x-www-form-urlencoded",
            format!("amount={much}"),
            unread,
        ),
        14 => (
            "application/json; charset=utf-16",
            format!("{{\"amount\": {much}}}"),
            unread,
        ),
        _ => {
            // It is beyond what is read.
            let filler = "x".repeat(70_000);
            let body = format!("{{\"filler\": \"{filler}\", \"amount\": {much}}}");
            let too_large: &[_] = &[(400, "input_invalid", ""), (413, "too_large", "")];
            (plain, body, too_large)
        }
    };
    let call = scene
        .attack("POST", "/shop/pay", dice)
        .header("content-type", kind);
    // A compressed body is not read at all, whatever it is.
    let (call, wanted) = match dice.below(4) {
        0 => (
            call.header("content-encoding", dice.pick(&["gzip", "br", "deflate"])),
            None,
        ),
        _ => (call, Some(wanted)),
    };
    let answer = call.bearer(&work.token).bytes(body).send().await;
    let unread_or_large: &[_] = &[(400, "input_invalid", ""), (413, "too_large", "")];
    refused(&answer, wanted.unwrap_or(unread_or_large))
}

/// More calls at once than the budget has.
async fn budget_race(scene: &Scene<'_>, dice: &mut Dice) -> Outcome {
    let work = scene.gate.agent("bot").works("race").await;
    let racers = RACE_CALLS + 2 + dice.below(6) as usize;
    let calls = (0..racers).map(|_| {
        let call = scene.honest("GET", "/shop/items", dice).header(RACE, "1");
        call.bearer(&work.token).send()
    });
    let answers = join_all(calls).await;
    let (passed, others): (Vec<_>, Vec<_>) = answers.iter().partition(|one| one.status == 200);
    if passed.len() != RACE_CALLS {
        return Err(format!("{} of {racers} passed", passed.len()));
    }
    for other in others {
        refused(other, &[(403, "budget_exhausted", "")])?;
    }
    let call = scene.attack("GET", "/shop/items", dice).bearer(&work.token);
    refused(&call.send().await, &[(403, "budget_exhausted", "")])
}
