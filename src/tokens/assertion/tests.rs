use serde_json::json;

use super::*;
use crate::tokens::Algorithm;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://gate.example:8444";
const ENDPOINT: &str = "https://gate.example:8444/oauth/token";

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn verify(key: &SigningKey, assertion: &str) -> Result<AssertionClaims, TokenError> {
    let keys = [key.verifying_key().clone()];
    Assertion::verify(assertion, &keys, "bot", &[ISSUER, ENDPOINT], now())
}

/// The outcome for a good assertion with `changes` laid over its claims; `"gone"` takes one away.
#[track_caller]
fn check(key: &SigningKey, header: &str, changes: &Value, expected: Result<(), TokenError>) {
    let mut claims = json!({
        "iss": "bot", "sub": "bot", "aud": ENDPOINT, "jti": "1", "iat": NOW, "exp": NOW + 60,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let claims = claims.as_object().unwrap().clone();
    let kept: Map<_, _> = claims
        .into_iter()
        .filter(|(_, value)| value != "gone")
        .collect();
    let assertion = key.forge(header, &Value::Object(kept).to_string());
    let outcome = verify(key, &assertion).map(|_| ());
    assert_eq!((header, changes, outcome), (header, changes, expected));
}

#[test]
fn what_we_sign_we_believe() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = SigningKey::generate(algorithm).unwrap();
        let ttl = Duration::from_secs(60);
        let assertion = sign_assertion(&key, "bot", ISSUER, now(), ttl).unwrap();
        assert_eq!(
            unverified_client(assertion.expose()).as_deref(),
            Some("bot")
        );
        let claims = verify(&key, assertion.expose()).unwrap();
        assert_eq!(claims.exp.as_second(), NOW + 60);
        let again = sign_assertion(&key, "bot", ISSUER, now(), ttl).unwrap();
        assert_ne!(verify(&key, again.expose()).unwrap().jti, claims.jti);
    }
}

#[test]
fn an_assertion_is_about_its_client_for_us_and_short() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let header = r#"{"alg":"ES256"}"#;
    let invalid = |reason| Err(TokenError::Invalid(reason));
    let table = [
        (json!({}), Ok(())),
        (json!({ "aud": ISSUER }), Ok(())),
        (
            json!({ "aud": ["https://other.example", ENDPOINT] }),
            Ok(()),
        ),
        (json!({ "iat": "gone" }), Ok(())),
        (json!({ "iat": "gone", "exp": NOW + 305 }), Ok(())),
        (json!({ "iss": "other" }), invalid(Invalid::Client)),
        (json!({ "sub": "other" }), invalid(Invalid::Client)),
        (
            json!({ "iss": "other", "sub": "other" }),
            invalid(Invalid::Client),
        ),
        (
            json!({ "aud": "https://other.example" }),
            invalid(Invalid::Audience),
        ),
        (
            json!({ "iat": "gone", "exp": NOW + 306 }),
            invalid(Invalid::Lifetime),
        ),
        (json!({ "exp": NOW + 3605 }), Ok(())),
        (json!({ "exp": NOW + 3606 }), invalid(Invalid::Lifetime)),
        (json!({ "iat": NOW - 299, "exp": NOW + 3000 }), Ok(())),
        (
            json!({ "iat": NOW - 300, "exp": NOW + 3000 }),
            Err(TokenError::Expired),
        ),
        (json!({ "exp": i64::MAX }), invalid(Invalid::Lifetime)),
        (
            json!({ "iat": NOW - 60, "exp": NOW }),
            Err(TokenError::Expired),
        ),
        (json!({ "iat": NOW + 6 }), invalid(Invalid::IssuedInFuture)),
        (json!({ "nbf": NOW + 6 }), invalid(Invalid::NotYetValid)),
        (
            json!({ "jti": "" }),
            invalid(Invalid::ClaimType("jti".to_owned())),
        ),
        (
            json!({ "jti": 7 }),
            invalid(Invalid::ClaimType("jti".to_owned())),
        ),
        (
            json!({ "exp": "60" }),
            invalid(Invalid::ClaimType("exp".to_owned())),
        ),
        (
            json!({ "iat": 1.5 }),
            invalid(Invalid::ClaimType("iat".to_owned())),
        ),
        (
            json!({ "iss": "gone" }),
            invalid(Invalid::ClaimMissing("iss")),
        ),
        (
            json!({ "sub": "gone" }),
            invalid(Invalid::ClaimMissing("sub")),
        ),
        (
            json!({ "aud": "gone" }),
            invalid(Invalid::ClaimMissing("aud")),
        ),
        (
            json!({ "jti": "gone" }),
            invalid(Invalid::ClaimMissing("jti")),
        ),
        (
            json!({ "exp": "gone" }),
            invalid(Invalid::ClaimMissing("exp")),
        ),
    ];
    for (changes, expected) in table {
        check(&key, header, &changes, expected);
    }
}

#[test]
fn a_long_life_is_cut_short() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let claims = json!({
        "iss": "bot", "sub": "bot", "aud": ENDPOINT, "jti": "1", "iat": NOW - 10, "exp": NOW + 3590,
    });
    let assertion = key.forge(r#"{"alg":"ES256"}"#, &claims.to_string());
    assert_eq!(verify(&key, &assertion).unwrap().exp.as_second(), NOW + 290);
}

#[test]
fn its_header_names_a_key_of_the_client() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let invalid = |reason| Err(TokenError::Invalid(reason));
    let typed = |typ: &str| json!({ "alg": "ES256", "typ": typ }).to_string();
    let named = json!({ "alg": "ES256", "kid": key.kid() }).to_string();
    for (header, expected) in [
        (typed("JWT"), Ok(())),
        (typed("client-authentication+jwt"), Ok(())),
        (named, Ok(())),
        // An access token is no assertion, whoever signed it (RFC 8725 §3.11).
        (typed("at+jwt"), invalid(Invalid::Type)),
        (
            r#"{"alg":"ES256","kid":"other"}"#.to_owned(),
            invalid(Invalid::KeyUnknown),
        ),
        (r#"{"alg":"none"}"#.to_owned(), invalid(Invalid::Algorithm)),
        (
            r#"{"alg":"EdDSA"}"#.to_owned(),
            invalid(Invalid::KeyUnknown),
        ),
    ] {
        check(&key, &header, &json!({}), expected);
    }
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let ttl = Duration::from_secs(60);
    let foreign = sign_assertion(&stranger, "bot", ISSUER, now(), ttl).unwrap();
    let refused = verify(&key, foreign.expose()).unwrap_err();
    assert_eq!(refused, TokenError::Invalid(Invalid::KeyUnknown));
}

#[test]
fn a_nameless_key_goes_by_its_thumbprint() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let mut enrolled = key.public_jwk();
    enrolled.as_object_mut().unwrap().remove("kid");
    let keys = [VerifyingKey::from_jwk(&enrolled).unwrap()];
    let ttl = Duration::from_secs(60);
    let assertion = sign_assertion(&key, "bot", ISSUER, now(), ttl).unwrap();
    Assertion::verify(assertion.expose(), &keys, "bot", &[ISSUER], now()).unwrap();
}
