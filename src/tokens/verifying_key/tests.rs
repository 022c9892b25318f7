use serde_json::json;

use super::*;
use crate::tokens::jws::{Jws, Origin, check_signature};
use crate::tokens::{Invalid, SigningKey, TokenError};

/// RFC 7515 A.3.1.
fn ec() -> Value {
    json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

/// RFC 8037 A.2.
fn ed() -> Value {
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    })
}

/// RFC 7638 §3.1.
fn rsa() -> Value {
    json!({
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP\
              ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY\
              368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f\
              M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    })
}

/// The message of the refusal that `jwk` with `changes` laid over it meets; `"gone"` takes away.
fn refusal(mut jwk: Value, changes: &Value) -> String {
    let members = jwk.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value == "gone" {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    VerifyingKey::from_jwk(&jwk).unwrap_err().to_string()
}

#[test]
fn thumbprints_are_those_of_the_standards() {
    for (jwk, expected) in [
        (rsa(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        (ed(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    ] {
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        assert_eq!(encode(key.thumbprint().as_bytes()), expected);
    }
}

#[test]
fn the_signature_of_rfc_7515_a_3_verifies() {
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                 cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8I\
                 SlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let key = VerifyingKey::from_jwk(&ec()).unwrap();
    let jws = Jws::parse(token, Origin::Outside).unwrap();
    assert_eq!(check_signature(&jws, &key), Ok(()));
    assert_eq!(jws.claims().unwrap()["iss"], "joe");
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let wrong = Err(TokenError::Invalid(Invalid::Signature));
    assert_eq!(check_signature(&jws, other.verifying_key()), wrong);
    let ed = VerifyingKey::from_jwk(&ed()).unwrap();
    let confused = Err(TokenError::Invalid(Invalid::Algorithm));
    assert_eq!(check_signature(&jws, &ed), confused);
}

#[test]
fn a_signature_of_zeros_is_wrong() {
    // CVE-2022-21449: r = s = 0 verified everything.
    let token = format!("{}.e30.{}", encode(br#"{"alg":"ES256"}"#), encode(&[0; 64]));
    let jws = Jws::parse(&token, Origin::Outside).unwrap();
    let key = VerifyingKey::from_jwk(&ec()).unwrap();
    let wrong = Err(TokenError::Invalid(Invalid::Signature));
    assert_eq!(check_signature(&jws, &key), wrong);
}

#[test]
fn extra_members_are_ignored_and_names_kept() {
    let mut jwk = rsa();
    jwk["x5c"] = json!(["MIIC"]);
    jwk["ext"] = json!(true);
    jwk["key_ops"] = json!(["verify", "wrapKey"]);
    jwk["use"] = json!("sig");
    let key = VerifyingKey::from_jwk(&jwk).unwrap();
    assert_eq!(key.kid(), Some("2011-04-29"));
    assert_eq!(key.algorithm(), Algorithm::Rs256);
    let again = VerifyingKey::from_jwk(&key.to_jwk()).unwrap();
    assert_eq!(again.thumbprint(), key.thumbprint());
    assert_eq!(again.kid(), key.kid());
}

#[test]
fn a_key_fits_exactly_one_algorithm() {
    for (jwk, named, expected) in [
        (ec(), json!("gone"), Algorithm::Es256),
        (ec(), json!("ES256"), Algorithm::Es256),
        (ed(), json!("gone"), Algorithm::EdDsa),
        (ed(), json!("EdDSA"), Algorithm::EdDsa),
        (rsa(), json!("RS256"), Algorithm::Rs256),
        (rsa(), json!("PS256"), Algorithm::Ps256),
    ] {
        let mut jwk = jwk;
        jwk["alg"] = named;
        if jwk["alg"] == "gone" {
            jwk.as_object_mut().unwrap().remove("alg");
        }
        assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap().algorithm(), expected);
    }
    // Without `alg` an RSA key would let the token choose (CVE-2026-22817 and others).
    let missing = "`alg` is missing and has to be RS256 or PS256";
    assert_eq!(refusal(rsa(), &json!({ "alg": "gone" })), missing);
    let confused = "`alg` is `HS256` and has to be RS256 or PS256";
    assert_eq!(refusal(rsa(), &json!({ "alg": "HS256" })), confused);
    for (jwk, named) in [
        (ec(), "RS256"),
        (ec(), "ES384"),
        (ed(), "ES256"),
        (rsa(), "ES256"),
    ] {
        let message = refusal(jwk, &json!({ "alg": named }));
        assert!(
            message.starts_with(&format!("`alg` is `{named}`")),
            "{message}"
        );
    }
}

#[test]
fn keys_that_prove_nothing_are_refused() {
    let symmetric = json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" });
    let table = [
        (symmetric, json!({}), "a symmetric key can't be used"),
        (
            ec(),
            json!({ "d": "AAAA" }),
            "the key has the private member `d`",
        ),
        (
            rsa(),
            json!({ "p": "AAAA" }),
            "the key has the private member `p`",
        ),
        (
            ec(),
            json!({ "k": "AAAA" }),
            "the key has the private member `k`",
        ),
        (ec(), json!({ "use": "enc" }), "`use` does not allow"),
        (
            ec(),
            json!({ "key_ops": ["sign"] }),
            "`key_ops` does not allow",
        ),
        (ec(), json!({ "key_ops": "verify" }), "the member `key_ops`"),
        (ec(), json!({ "crv": "P-384" }), "the curve `P-384`"),
        (ec(), json!({ "crv": "secp256k1" }), "the curve `secp256k1`"),
        (ed(), json!({ "crv": "X25519" }), "the curve `X25519`"),
        (ec(), json!({ "kty": "gone" }), "the key type ``"),
        (ec(), json!({ "kty": "ec" }), "the key type `ec`"),
        (ec(), json!({ "kid": 1 }), "the member `kid`"),
        (ec(), json!({ "x": "gone" }), "the member `x`"),
        (ec(), json!({ "x": "AAAA" }), "the member `x`"),
        (
            ec(),
            json!({ "y": ec()["x"] }),
            "the numbers are not those of a key",
        ),
        (
            ed(),
            json!({ "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp" }),
            "the member `x`",
        ),
        (rsa(), json!({ "e": "AQ" }), "the RSA key is weak"),
        (rsa(), json!({ "e": "Aw" }), "the RSA key is weak"),
        (rsa(), json!({ "e": "AAEAAQ" }), "the member `e`"),
        (
            rsa(),
            json!({ "n": encode(&[0xff; 255]) }),
            "the RSA key is weak",
        ),
        (
            rsa(),
            json!({ "n": encode(&[0x7f; 256]) }),
            "the RSA key is weak",
        ),
        (
            rsa(),
            json!({ "n": encode(&[0xff; 1025]) }),
            "the RSA key is weak",
        ),
        (
            rsa(),
            json!({ "n": encode(&[&[0], [0xff; 256].as_slice()].concat()) }),
            "the member `n`",
        ),
    ];
    for (jwk, changes, expected) in table {
        let message = refusal(jwk, &changes);
        assert!(message.starts_with(expected), "{changes}: {message}");
    }
    assert!(VerifyingKey::from_jwk(&json!("key")).is_err());
}
