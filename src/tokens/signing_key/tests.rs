use std::fs::{self, Permissions};

use super::*;

/// RFC 8037 A.1.
const RFC_8037: &str = r#"{"kty":"OKP","crv":"Ed25519",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn refusal(jwk: &Value) -> String {
    SigningKey::from_jwk(&jwk.to_string())
        .unwrap_err()
        .to_string()
}

#[test]
fn keys_come_back_from_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.jwk");
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = SigningKey::generate(algorithm).unwrap();
        key.write(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = SigningKey::read(&path).unwrap();
        assert_eq!(read.to_jwk().expose(), key.to_jwk().expose());
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let thumbprint = encode(key.verifying_key().thumbprint().as_bytes());
        assert_eq!(written["kid"], thumbprint);
        assert_eq!(written["alg"], algorithm.name());
        assert_eq!(written["use"], "sig");
        assert_eq!(key.public_jwk().get("d"), None);
        VerifyingKey::from_jwk(&key.public_jwk()).unwrap();
    }
}

#[test]
fn files_that_others_may_touch_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.jwk");
    SigningKey::generate(Algorithm::EdDsa)
        .unwrap()
        .write(&path)
        .unwrap();
    for (mode, good) in [
        (0o600, true),
        (0o400, true),
        (0o440, true),
        (0o640, true),
        (0o660, false),
        (0o644, false),
        (0o602, false),
        (0o604, false),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        match SigningKey::read(&path) {
            Ok(_) => assert!(good, "{mode:o}"),
            Err(KeyError::Permissions(found)) => assert!(!good && found == mode, "{mode:o}"),
            Err(other) => panic!("{mode:o}: {other}"),
        }
    }
    let absent = SigningKey::read(&directory.path().join("absent"));
    assert!(matches!(absent, Err(KeyError::File(_))));
}

#[test]
fn the_key_of_rfc_8037_signs_as_it_says() {
    let key = SigningKey::from_jwk(RFC_8037).unwrap();
    let token = key.forge(r#"{"alg":"EdDSA"}"#, "Example of Ed25519 signing");
    let expected = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt\
                    7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(token, expected);
}

#[test]
fn another_product_keeps_its_name_for_a_key() {
    let mut jwk: Value = serde_json::from_str(RFC_8037).unwrap();
    jwk["kid"] = json!("agent-1");
    jwk["key_ops"] = json!(["sign"]);
    jwk["ext"] = json!(true);
    let key = SigningKey::from_jwk(&jwk.to_string()).unwrap();
    assert_eq!(key.kid(), "agent-1");
    assert_eq!(key.public_jwk()["kid"], "agent-1");
}

#[test]
fn what_cannot_sign_is_refused() {
    let good: Value = serde_json::from_str(RFC_8037).unwrap();
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        refusal(&jwk)
    };
    assert_eq!(
        with("d", json!("AAAA")),
        "the member `d` is missing or malformed"
    );
    let other = encode(&[7; 32]);
    assert_eq!(
        with("d", json!(other)),
        "the numbers are not those of a key"
    );
    assert_eq!(
        with("use", json!("enc")),
        "`use` does not allow signatures with this key"
    );
    assert_eq!(
        with("key_ops", json!(["verify"])),
        "`key_ops` does not allow signatures with this key"
    );
    assert_eq!(
        with("iat", json!("now")),
        "the member `iat` is missing or malformed"
    );
    let public = SigningKey::generate(Algorithm::Es256).unwrap().public_jwk();
    assert_eq!(refusal(&public), "the key has no private part");
    let mut halves = public;
    halves["d"] = json!(encode(&[7; 32]));
    assert_eq!(refusal(&halves), "the numbers are not those of a key");
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        let refused = SigningKey::generate(algorithm).unwrap_err();
        assert!(matches!(refused, KeyError::SigningAlgorithm(named) if named == algorithm));
    }
    assert!(SigningKey::from_jwk("{").is_err());
}

#[test]
fn nothing_private_is_printed() {
    let key = SigningKey::from_jwk(RFC_8037).unwrap();
    let shown = format!("{key:?} {:?}", key.to_jwk());
    assert!(!shown.contains("nWGxne"), "{shown}");
}
