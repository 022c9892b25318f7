use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_key_is_made_once_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = key_beside(&directory.path().join("bot.jwk"));
    assert_eq!(file.file_name().unwrap(), "bot.dpop.jwk");
    let made = Holder::open(&file).unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let read = Holder::open(&file).unwrap();
    assert_eq!(made.key.kid(), read.key.kid());
    fs::write(&file, "no key").unwrap();
    let broken = Holder::open(&file).unwrap_err().to_string();
    assert!(broken.contains("bot.dpop.jwk"), "{broken}");
}

#[test]
fn a_proof_is_for_a_method_and_a_url() {
    let wanted: ProofFor = "POST https://GATE.example:443/a?b=c".parse().unwrap();
    assert_eq!(wanted.method, Method::POST);
    assert_eq!(wanted.url, "https://gate.example/a");
    for odd in [
        "",
        "GET",
        "https://gate.example/a",
        "GET /a",
        "G T https://gate.example/",
    ] {
        assert!(odd.parse::<ProofFor>().is_err(), "{odd}");
    }
}
