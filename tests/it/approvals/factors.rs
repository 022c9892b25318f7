//! The second factor at the moment of approval.

use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{approve, asks, call, key_of, plan, recorded, step};
use crate::harness::{Answer, Gateway, run};

/// The code of a moment, made as an authenticator app does it (RFC 6238).
fn code(secret: &str, second: i64) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: String = secret
        .chars()
        .map(|digit| format!("{:05b}", alphabet.find(digit).unwrap()))
        .collect();
    let bytes: Vec<u8> = (0..bits.len() / 8)
        .map(|byte| u8::from_str_radix(&bits[8 * byte..8 * byte + 8], 2).unwrap())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = hmac::sign(&key, &(second / 30).to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// A person's key, and an app that knows the secret.
pub(crate) struct Holder {
    pub(crate) key: String,
    secret: String,
}

impl Holder {
    pub(crate) async fn enrol(gate: &Gateway, person: &str) -> Self {
        let key = key_of(gate, person).await;
        let path = format!("/v1/people/{person}/totp");
        let enrolled = gate.control("POST", &path).bearer(&key).send().await;
        let enrolled = enrolled.expect(201).json();
        let secret = enrolled["secret"].as_str().unwrap().to_owned();
        let url = enrolled["otpauth_url"].as_str().unwrap();
        assert!(url.contains(&format!("secret={secret}")), "{url}");
        let holder = Self { key, secret };
        let path = format!("/v1/people/{person}/totp/confirm");
        let body = json!({ "code": holder.code(gate) });
        let call = gate.control("POST", &path).bearer(&holder.key).json(&body);
        call.send().await.expect(200);
        holder
    }

    pub(crate) fn code(&self, gate: &Gateway) -> String {
        code(&self.secret, gate.clock.wall().as_second())
    }

    pub(crate) async fn approves(&self, gate: &Gateway, request: &Value, totp: &str) -> Answer {
        let body = json!({ "digest": request["digest"], "totp": totp });
        step(gate, &self.key, request, "approve", &body).await
    }
}

#[test]
fn the_second_factor_is_needed_at_that_moment_and_each_code_once() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let bot = gate.agent("bot");
        let work = bot.opens().await;
        let request = asks(&gate, &work, "strong").await;
        let cem = key_of(&gate, "cem").await;
        approve(&gate, &cem, &request)
            .await
            .problem(403, "mfa_not_enrolled");

        let ben = Holder::enrol(&gate, "ben").await;
        let used = ben.code(&gate);
        approve(&gate, &ben.key, &request)
            .await
            .problem(403, "mfa_required");
        ben.approves(&gate, &request, &used)
            .await
            .problem(403, "totp_reused");
        ben.approves(&gate, &request, "000")
            .await
            .problem(403, "totp_invalid");
        gate.advance(Duration::from_secs(30));
        let fresh = ben.code(&gate);
        let approved = ben
            .approves(&gate, &request, &fresh)
            .await
            .expect(200)
            .json();
        assert_eq!(approved["state"], "active");
        assert_eq!(approved["approvals"][0]["mfa"], true);
        call(&gate, &work).await.expect(200);

        let other = bot.opens().await;
        let other = asks(&gate, &other, "strong").await;
        ben.approves(&gate, &other, &fresh)
            .await
            .problem(403, "totp_reused");
        let told = [
            "second factor shown",
            "the one-time code was used before",
            "the one-time code is wrong",
            "this needs your second factor",
            "there is no second factor yet",
        ];
        recorded(gate, &told).await;
    });
}

#[test]
fn guessing_codes_is_stopped() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let work = gate.agent("bot").opens().await;
        let request = asks(&gate, &work, "strong").await;
        let ben = Holder::enrol(&gate, "ben").await;
        gate.advance(Duration::from_secs(60));
        let right = ben.code(&gate);
        let wrong = if right == "123456" {
            "654321"
        } else {
            "123456"
        };
        for _ in 0..5 {
            ben.approves(&gate, &request, wrong)
                .await
                .problem(403, "totp_invalid");
        }
        let locked = ben.approves(&gate, &request, &right).await;
        locked.problem(429, "totp_rate_limited");
        let after: u64 = locked.header("retry-after").unwrap().parse().unwrap();
        assert!(after > 800, "{after}");
        recorded(gate, &["too many wrong one-time codes"]).await;
    });
}

#[test]
fn a_second_factor_is_its_owners_alone() {
    run(async {
        let gate = plan().manual_clock().start().await;
        let operator = gate.operator();
        let call = gate
            .control("POST", "/v1/people/ben/totp")
            .bearer(&operator);
        call.send().await.problem(403, "forbidden");
        let ben = Holder::enrol(&gate, "ben").await;
        let call = gate.control("POST", "/v1/people/ben/totp").bearer(&ben.key);
        call.send().await.problem(409, "second_factor_exists");
        let told = ["refused: enrol a second factor of `ben`: this is for `ben` alone"];
        recorded(gate, &told).await;
    });
}
