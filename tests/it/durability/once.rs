//! What is good once stays used when the program is killed and starts again within its validity: client
//! assertions by memory, proofs of possession by the nonce that died with the process.

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
