//! What is good once stays used when the program is killed and starts again within its validity: client
//! assertions by memory, proofs of possession by the nonce that died with the process.

use serde_json::{Value, json};

use portcullis::base::Clock;
use portcullis::tokens::{Algorithm, SigningKey, sign_proof};

use super::process::Process;
use super::{place, wire};

#[test]
fn a_captured_assertion_is_not_good_again_after_a_kill() {
    let place = place();
    let process = Process::start(place.path());
    let (captured, kept) = (wire::assertion(&process), wire::assertion(&process));
    let token = |process: &Process, assertion: &str| {
        let answer = wire::token_by(process, assertion, None).unwrap();
        (answer.status, answer.body["error"].clone())
    };
    let refused = (401, "invalid_client".into());
    assert_eq!(token(&process, &captured).0, 200);
    assert_eq!(token(&process, &captured), refused);
    process.kill();
    let process = process.again(place.path());
    assert_eq!(token(&process, &captured), refused);
    // One of the same age that nobody has used is good: it is the use that is remembered.
    assert_eq!(token(&process, &kept).0, 200);
    assert_eq!(token(&process, &kept), refused);
}

/// Nothing of proofs is stored: none that was made for one process is taken by the next, used or not.
#[test]
fn a_captured_proof_is_not_good_again_after_a_kill() {
    let place = place();
    let process = Process::start(place.path());
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let proof = |process: &Process, nonce: Option<&str>| {
        let url = format!("{}/oauth/token", process.control_url());
        let now = Clock::system().wall();
        let signed = sign_proof(&key, ("POST", &url), None, nonce, now);
        signed.unwrap().expose().clone()
    };
    // Each time with an assertion of its own, so that it is the proof that is judged.
    let token = |process: &Process, proof: &str| {
        let assertion = wire::assertion(process);
        wire::token_by(process, &assertion, Some(proof)).unwrap()
    };
    let bare = token(&process, &proof(&process, None));
    assert_eq!(bare.body["error"], "use_dpop_nonce", "{bare:?}");
    let nonce = bare.nonce.expect("a nonce");
    let (used, kept) = (proof(&process, Some(&nonce)), proof(&process, Some(&nonce)));
    assert_eq!(token(&process, &used).status, 200);
    let again = token(&process, &used);
    assert_eq!(again.body["error"], "invalid_dpop_proof", "{again:?}");
    process.kill();
    let process = process.again(place.path());
    for proof in [&used, &kept] {
        let refused = token(&process, proof);
        assert_eq!(refused.status, 400, "{refused:?}");
        assert_eq!(refused.body["error"], "use_dpop_nonce", "{refused:?}");
    }
}

/// Each wrong code counts towards the limit, however often the program is killed between two.
#[test]
fn wrong_codes_are_counted_over_kills() {
    let place = place();
    let mut process = Process::start(place.path());
    let key = process.key_for("lead@example.com");
    let factor = "/v1/people/lead@example.com/totp";
    let enrolled = wire::post(&process, factor, &key, &Value::Null).unwrap();
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    let confirm = format!("{factor}/confirm");
    let wrong = |process: &Process| {
        let said = wire::post(process, &confirm, &key, &json!({ "code": "000" })).unwrap();
        (said.status, said.body["code"].clone())
    };
    for _ in 0..3 {
        assert_eq!(wrong(&process), (403, "totp_invalid".into()));
        process.kill();
        process = process.again(place.path());
    }
    for _ in 0..2 {
        assert_eq!(wrong(&process), (403, "totp_invalid".into()));
    }
    assert_eq!(wrong(&process), (429, "totp_rate_limited".into()));
    process.kill();
    process = process.again(place.path());
    assert_eq!(wrong(&process), (429, "totp_rate_limited".into()));
}
