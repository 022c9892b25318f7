use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::tokens::jws::encode;
use crate::tokens::{Algorithm, JsonFault, SigningKey};
use crate::wire;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://gate.example:8444";
const AUDIENCE: &str = "https://gate.example:8443";

/// Made with Python's `cryptography`: a JWK Set with four keys that we can use and three that we
/// can't, and a token of each of the four.
const OUTSIDE: &str = include_str!("outside.json");

fn rules(origin: Origin) -> Rules<'static> {
    Rules {
        issuer: ISSUER,
        audiences: &[AUDIENCE],
        origin,
        now: Timestamp::from_second(NOW).unwrap(),
    }
}

/// An issuer with one key, and what its tokens look like.
struct Forge {
    key: SigningKey,
    set: KeySet,
}

impl Forge {
    fn new(algorithm: Algorithm) -> Self {
        let key = SigningKey::generate(algorithm).unwrap();
        let set = KeySet::new(vec![key.verifying_key().clone()]).unwrap();
        Self { key, set }
    }

    fn header(&self) -> String {
        let algorithm = self.key.verifying_key().algorithm().name();
        json!({ "alg": algorithm, "kid": self.key.kid(), "typ": "at+jwt" }).to_string()
    }

    /// A good token's claims with `changes` laid over them; `"gone"` takes a claim away.
    fn claims(changes: &Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "sub": "bot-7", "aud": AUDIENCE, "client_id": "bot-7", "jti": "tok_1",
            "iat": NOW, "nbf": NOW, "exp": NOW + 300,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = claims.as_object().unwrap().clone();
        let kept: Map<_, _> = claims
            .into_iter()
            .filter(|(_, value)| value != "gone")
            .collect();
        Value::Object(kept).to_string()
    }

    fn good(&self) -> String {
        self.key.forge(&self.header(), &Self::claims(&json!({})))
    }

    #[track_caller]
    fn check(&self, origin: Origin, token: &str, expected: Result<(), TokenError>) {
        let outcome = self.set.verify(token, &rules(origin)).map(|_| ());
        assert_eq!((token, outcome), (token, expected));
    }

    #[track_caller]
    fn check_claims(&self, origin: Origin, changes: &Value, expected: Result<(), TokenError>) {
        let token = self.key.forge(&self.header(), &Self::claims(changes));
        let outcome = self.set.verify(&token, &rules(origin)).map(|_| ());
        assert_eq!((changes, outcome), (changes, expected));
    }
}

fn invalid(reason: Invalid) -> Result<(), TokenError> {
    Err(TokenError::Invalid(reason))
}

#[test]
fn a_good_token_is_believed() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let forge = Forge::new(algorithm);
        let verified = forge
            .set
            .verify(&forge.good(), &rules(Origin::Own))
            .unwrap();
        assert_eq!(verified.claims.sub, "bot-7");
        assert_eq!(verified.claims.exp, NOW + 300);
        assert_eq!(verified.key, forge.key.verifying_key().thumbprint());
        forge.check(Origin::Outside, &forge.good(), Ok(()));
    }
}

#[test]
fn the_token_has_no_say_in_how_it_is_verified() {
    let forge = Forge::new(Algorithm::Es256);
    let kid = forge.key.kid();
    let other = Forge::new(Algorithm::EdDsa);
    let claims = Forge::claims(&json!({}));
    let table = [
        (
            json!({ "alg": "none", "kid": kid, "typ": "at+jwt" }),
            Invalid::Algorithm,
        ),
        (
            json!({ "alg": "HS256", "kid": kid, "typ": "at+jwt" }),
            Invalid::Algorithm,
        ),
        (
            json!({ "alg": "EdDSA", "kid": kid, "typ": "at+jwt" }),
            Invalid::Algorithm,
        ),
        (
            json!({ "alg": "RS256", "kid": kid, "typ": "at+jwt" }),
            Invalid::Algorithm,
        ),
        (
            json!({ "alg": "ES256", "kid": other.key.kid(), "typ": "at+jwt" }),
            Invalid::KeyUnknown,
        ),
        (
            json!({ "alg": "ES256", "kid": "../../etc/key", "typ": "at+jwt" }),
            Invalid::KeyUnknown,
        ),
        (
            json!({ "alg": "ES256", "typ": "at+jwt" }),
            Invalid::KeyMissing,
        ),
        (json!({ "alg": "ES256", "kid": kid }), Invalid::Type),
        (
            json!({ "alg": "ES256", "kid": kid, "typ": "JWT" }),
            Invalid::Type,
        ),
        (
            json!({ "alg": "ES256", "kid": kid, "typ": "dpop+jwt" }),
            Invalid::Type,
        ),
    ];
    for (header, reason) in table {
        let token = forge.key.forge(&header.to_string(), &claims);
        forge.check(Origin::Own, &token, invalid(reason));
    }
    // Two keys: the signature of one under the name of the other.
    let set = KeySet::new(vec![
        forge.key.verifying_key().clone(),
        SigningKey::generate(Algorithm::Es256)
            .unwrap()
            .verifying_key()
            .clone(),
    ]);
    let forge = Forge {
        set: set.unwrap(),
        ..forge
    };
    let named = forge.set.keys()[1].kid().unwrap();
    let header = json!({ "alg": "ES256", "kid": named, "typ": "at+jwt" }).to_string();
    forge.check(
        Origin::Own,
        &forge.key.forge(&header, &claims),
        invalid(Invalid::Signature),
    );
    // Another key under a known name.
    let token = other.key.forge(&forge.header(), &claims);
    forge.check(Origin::Own, &token, invalid(Invalid::Signature));
}

#[test]
fn a_public_key_is_no_shared_secret() {
    // RS/ES to HS confusion (CVE-2023-48223 and others): a MAC made with the bytes that are public.
    let forge = Forge::new(Algorithm::Es256);
    let header = json!({ "alg": "HS256", "kid": forge.key.kid(), "typ": "at+jwt" }).to_string();
    let claims = Forge::claims(&json!({}));
    let signed = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(claims.as_bytes())
    );
    let secret =
        jsonwebtoken::EncodingKey::from_secret(forge.key.public_jwk().to_string().as_bytes());
    let algorithm = jsonwebtoken::Algorithm::HS256;
    let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &secret, algorithm).unwrap();
    forge.check(
        Origin::Own,
        &format!("{signed}.{mac}"),
        invalid(Invalid::Algorithm),
    );
}

#[test]
fn without_a_name_only_one_key_may_be_meant() {
    let forge = Forge::new(Algorithm::Es256);
    let token = forge
        .key
        .forge(r#"{"alg":"ES256"}"#, &Forge::claims(&json!({})));
    forge.check(Origin::Outside, &token, Ok(()));
    let key = |algorithm| {
        SigningKey::generate(algorithm)
            .unwrap()
            .verifying_key()
            .clone()
    };
    let own = forge.key.verifying_key().clone();
    let two_kinds = KeySet::new(vec![own.clone(), key(Algorithm::EdDsa)]).unwrap();
    let forge = Forge {
        set: two_kinds,
        ..forge
    };
    forge.check(Origin::Outside, &token, Ok(()));
    let two = KeySet::new(vec![own, key(Algorithm::Es256)]).unwrap();
    let forge = Forge { set: two, ..forge };
    forge.check(Origin::Outside, &token, invalid(Invalid::KeyAmbiguous));
    let none = Forge {
        set: KeySet::default(),
        ..forge
    };
    none.check(Origin::Outside, &token, invalid(Invalid::KeyUnknown));
}

#[test]
fn claims_are_demanded_one_by_one() {
    let forge = Forge::new(Algorithm::EdDsa);
    let missing = |name| invalid(Invalid::ClaimMissing(name));
    let wrong = |name: &str| invalid(Invalid::ClaimType(name.to_owned()));
    let everywhere = [
        (json!({ "iss": "gone" }), missing("iss")),
        (json!({ "sub": "gone" }), missing("sub")),
        (json!({ "sub": "" }), wrong("sub")),
        (json!({ "aud": "gone" }), missing("aud")),
        (json!({ "exp": "gone" }), missing("exp")),
        (json!({ "iat": "gone" }), missing("iat")),
        // CVE-2026-25537: a time of the wrong type counted as none.
        (json!({ "exp": "1800000300" }), wrong("exp")),
        (json!({ "exp": 1_800_000_300.5 }), wrong("exp")),
        (json!({ "exp": 1.8e9 }), wrong("exp")),
        (json!({ "nbf": [0] }), wrong("nbf")),
        (json!({ "iss": [ISSUER] }), wrong("iss")),
        (
            json!({ "iss": "https://gate.example:8444/" }),
            invalid(Invalid::Issuer),
        ),
        (
            json!({ "iss": "HTTPS://gate.example:8444" }),
            invalid(Invalid::Issuer),
        ),
        (
            json!({ "aud": "https://other.example" }),
            invalid(Invalid::Audience),
        ),
        (
            json!({ "aud": ["https://other.example"] }),
            invalid(Invalid::Audience),
        ),
        (
            json!({ "aud": ["https://other.example", AUDIENCE] }),
            Ok(()),
        ),
        (json!({ "aud": [AUDIENCE, 1] }), wrong("aud")),
        (
            json!({ "iat": NOW, "exp": NOW }),
            invalid(Invalid::Lifetime),
        ),
        (json!({ "exp": i64::MIN }), invalid(Invalid::Lifetime)),
        (
            json!({ "cnf": { "jwk": {} } }),
            invalid(Invalid::Confirmation),
        ),
    ];
    for (changes, expected) in everywhere {
        forge.check_claims(Origin::Own, &changes, expected.clone());
        forge.check_claims(Origin::Outside, &changes, expected);
    }
    for name in ["nbf", "jti", "client_id"] {
        forge.check_claims(Origin::Own, &json!({ name: "gone" }), missing(name));
        forge.check_claims(Origin::Outside, &json!({ name: "gone" }), Ok(()));
    }
}

#[test]
fn times_are_compared_to_the_second() {
    let forge = Forge::new(Algorithm::EdDsa);
    let early = NOW - 600;
    let table = [
        (json!({ "iat": NOW + 5, "nbf": NOW + 5 }), Ok(())),
        (json!({ "iat": NOW + 6 }), invalid(Invalid::IssuedInFuture)),
        (json!({ "nbf": NOW + 6 }), invalid(Invalid::NotYetValid)),
        (json!({ "exp": i64::MAX }), Ok(())),
    ];
    for (changes, expected) in table {
        forge.check_claims(Origin::Own, &changes, expected.clone());
        forge.check_claims(Origin::Outside, &changes, expected);
    }
    for (left, own, outside) in [
        (1, Ok(()), Ok(())),
        (0, Err(TokenError::Expired), Ok(())),
        (-4, Err(TokenError::Expired), Ok(())),
        (-5, Err(TokenError::Expired), Err(TokenError::Expired)),
    ] {
        let changes = json!({ "iat": early, "nbf": early, "exp": NOW + left });
        forge.check_claims(Origin::Own, &changes, own);
        forge.check_claims(Origin::Outside, &changes, outside);
    }
}

#[test]
fn a_signed_text_with_two_readings_is_refused() {
    let forge = Forge::new(Algorithm::EdDsa);
    let json_fault = |source| {
        invalid(Invalid::Json {
            part: "claims",
            source,
        })
    };
    let good = Forge::claims(&json!({}));
    let more = |more: &str| good.replacen('{', &format!("{{{more},"), 1);
    for (claims, fault) in [
        (
            more(r#""sub":"admin""#),
            JsonFault::Text(wire::JsonFault::Duplicate),
        ),
        (
            more(r#""x":{"a":1,"a":2}"#),
            JsonFault::Text(wire::JsonFault::Duplicate),
        ),
        (
            more(r#""x":[[[[[[[[1]]]]]]]]"#),
            JsonFault::Text(wire::JsonFault::Depth),
        ),
        (
            format!("{good}{good}"),
            JsonFault::Text(wire::JsonFault::Syntax),
        ),
        (format!("[{good}]"), JsonFault::NotAnObject),
    ] {
        let token = forge.key.forge(&forge.header(), &claims);
        forge.check(Origin::Own, &token, json_fault(fault));
    }
}

#[test]
fn tokens_and_keys_of_another_product_are_read() {
    let outside: Value = serde_json::from_str(OUTSIDE).unwrap();
    let set = KeySet::from_jwks(outside["jwks"].to_string().as_bytes()).unwrap();
    assert_eq!((set.keys().len(), set.skipped()), (4, 3));
    let rules = Rules {
        issuer: "https://idp.example",
        audiences: &["https://gate.example"],
        origin: Origin::Outside,
        now: Timestamp::from_second(outside["now"].as_i64().unwrap()).unwrap(),
    };
    let tokens = outside["tokens"].as_object().unwrap();
    assert_eq!(tokens.len(), Algorithm::ALL.len());
    for (name, token) in tokens {
        let token = token.as_str().unwrap();
        let verified = set.verify(token, &rules).unwrap();
        assert_eq!(verified.claims.text("azp"), Ok(Some("bot-7")), "{name}");
        let stranger = Rules {
            issuer: "https://evil.example",
            ..rules
        };
        let refused = set.verify(token, &stranger).unwrap_err();
        assert_eq!(refused, TokenError::Invalid(Invalid::Issuer), "{name}");
    }
}

#[test]
fn a_set_is_bounded_and_its_names_are_clear() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap().public_jwk();
    let set = |keys: &[Value]| KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes());
    let twice = set(&[key.clone(), key.clone()]).unwrap_err();
    assert!(matches!(twice, KeyError::DuplicateKid(kid) if kid == key["kid"]));
    assert!(matches!(set(&vec![json!({}); 65]), Err(KeyError::Set)));
    assert_eq!(set(&vec![json!({}); 64]).unwrap().skipped(), 64);
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "a".repeat(LARGEST_SET));
    assert!(matches!(
        KeySet::from_jwks(large.as_bytes()),
        Err(KeyError::Set)
    ));
    for odd in ["{}", r#"{"keys":{}}"#] {
        assert!(matches!(
            KeySet::from_jwks(odd.as_bytes()),
            Err(KeyError::Set)
        ));
    }
    for odd in ["", "[]", r#"{"keys":[],"keys":[]}"#] {
        assert!(matches!(
            KeySet::from_jwks(odd.as_bytes()),
            Err(KeyError::Json(_))
        ));
    }
    // A private key in a published set is everybody's.
    let private = SigningKey::generate(Algorithm::EdDsa).unwrap().to_jwk();
    let private = serde_json::from_str(private.expose()).unwrap();
    assert_eq!(set(&[private]).unwrap().skipped(), 1);
}

#[test]
fn every_single_changed_character_is_noticed() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let forge = Forge::new(algorithm);
        let good = forge.good();
        for at in 0..good.len() {
            for put in ["A", "B", "g", "_", "-", "=", ".", " ", "/", "é"] {
                let mut changed = good.clone();
                changed.replace_range(at..=at, put);
                if changed != good {
                    let outcome = forge.set.verify(&changed, &rules(Origin::Outside));
                    assert!(outcome.is_err(), "{at}: {changed}");
                }
            }
            let mut shorter = good.clone();
            shorter.remove(at);
            assert!(forge.set.verify(&shorter, &rules(Origin::Outside)).is_err());
        }
    }
}

proptest! {
    #[test]
    fn no_random_text_is_believed(
        text in "\\PC{0,200}",
        header in "[A-Za-z0-9_-]{0,60}",
        claims in "[A-Za-z0-9_-]{0,60}",
        signature in "[A-Za-z0-9_-]{86}",
    ) {
        let forge = Forge::new(Algorithm::EdDsa);
        let rules = rules(Origin::Outside);
        prop_assert!(forge.set.verify(&text, &rules).is_err());
        let shaped = format!("{header}.{claims}.{signature}");
        prop_assert!(forge.set.verify(&shaped, &rules).is_err());
        let known = encode(forge.header().as_bytes());
        let known = format!("{known}.{claims}.{signature}");
        prop_assert!(forge.set.verify(&known, &rules).is_err());
    }
}
