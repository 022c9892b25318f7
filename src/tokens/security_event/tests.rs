use serde_json::json;

use super::*;
use crate::tokens::{Algorithm, SigningKey};

const NOW: &str = "2026-11-28T12:00:00Z";
const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "https://gate.example:8444";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

/// A sound token with changes laid over it; null takes a claim away.
fn claims(changes: &Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "iat": now().as_second(), "jti": "1",
        "sub_id": { "format": "opaque", "id": "bot" },
        "events": { "https://example.com/odd": {} },
    });
    let claims = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    claims.clone()
}

fn verify(typ: &str, changes: &Value) -> Result<SecurityEvent, TokenError> {
    let key = key();
    let token = key.sign(typ, &claims(changes)).unwrap();
    let keys = KeySet::new(vec![key.verifying_key().clone()]).unwrap();
    SecurityEvent::verify(token.expose(), &keys, (ISSUER, AUDIENCE), now())
}

#[test]
fn a_sound_event_is_believed() {
    for typ in ["secevent+jwt", "application/secevent+jwt"] {
        let event = verify(typ, &json!({})).unwrap();
        assert_eq!(event.jti, "1");
        assert_eq!(event.subject.unwrap()["id"], "bot");
        assert_eq!(event.events[0].0, "https://example.com/odd");
    }
    assert!(verify("secevent+jwt", &json!({ "aud": ["x", AUDIENCE] })).is_ok());
}

#[test]
fn a_token_of_another_kind_is_none() {
    for typ in ["JWT", "at+jwt", "logout+jwt", "jwt+secevent"] {
        let refused = verify(typ, &json!({})).unwrap_err();
        assert_eq!(refused, TokenError::Invalid(Invalid::Type), "{typ}");
    }
}

#[test]
fn every_claim_is_checked() {
    let second = now().as_second();
    let wrong = |name: &str| Invalid::ClaimType(name.to_owned());
    for (changes, expected) in [
        (json!({ "iss": "https://other.example" }), Invalid::Issuer),
        (json!({ "iss": null }), Invalid::Issuer),
        (json!({ "aud": "https://other.example" }), Invalid::Audience),
        (json!({ "aud": null }), Invalid::ClaimMissing("aud")),
        (json!({ "jti": null }), Invalid::ClaimMissing("jti")),
        (json!({ "iat": null }), Invalid::ClaimMissing("iat")),
        (json!({ "iat": "1" }), wrong("iat")),
        (json!({ "iat": second + 6 }), Invalid::IssuedInFuture),
        (
            json!({ "exp": second + 60 }),
            Invalid::ClaimForbidden("exp"),
        ),
        (json!({ "sub": "bot" }), Invalid::ClaimForbidden("sub")),
        (json!({ "sub_id": "bot" }), wrong("sub_id")),
        (json!({ "events": null }), Invalid::ClaimMissing("events")),
        (json!({ "events": {} }), wrong("events")),
        (json!({ "events": [] }), wrong("events")),
        (json!({ "events": { "x": 1 } }), wrong("events")),
    ] {
        let refused = verify("secevent+jwt", &changes).unwrap_err();
        assert_eq!(refused, TokenError::Invalid(expected), "{changes}");
    }
    let week = seconds(OLDEST_EVENT);
    assert!(verify("secevent+jwt", &json!({ "iat": second - week })).is_ok());
    let old = verify("secevent+jwt", &json!({ "iat": second - week - 1 }));
    assert_eq!(old.unwrap_err(), TokenError::Expired);
}

#[test]
fn another_key_signs_for_nobody() {
    let token = key().sign("secevent+jwt", &claims(&json!({}))).unwrap();
    let keys = KeySet::new(vec![key().verifying_key().clone()]).unwrap();
    let refused = SecurityEvent::verify(token.expose(), &keys, (ISSUER, AUDIENCE), now());
    assert_eq!(
        refused.unwrap_err(),
        TokenError::Invalid(Invalid::KeyUnknown)
    );
}
