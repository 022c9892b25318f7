use super::*;
use crate::base::ManualClock;

const NOW: i64 = 1_800_000_000;
const URL: &str = "https://gate.example:8443/orders/1";
const TOKEN: &str = "a-token";

struct World {
    dpop: Dpop,
    hand: ManualClock,
    key: SigningKey,
    urls: [String; 1],
}

impl World {
    fn new(algorithm: Algorithm) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_second(NOW).unwrap());
        Self {
            dpop: Dpop::new(clock),
            hand,
            key: SigningKey::generate(algorithm).unwrap(),
            urls: [URL.to_owned()],
        }
    }

    fn header(&self) -> Value {
        let members = self.key.verifying_key().numbers().members();
        let jwk: Map<_, _> = members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let algorithm = self.key.verifying_key().algorithm().name();
        json!({ "typ": "dpop+jwt", "alg": algorithm, "jwk": jwk })
    }

    fn claims(&self) -> Value {
        json!({
            "jti": "1", "htm": "GET", "htu": URL, "iat": NOW, "nonce": self.dpop.nonce(),
            "ath": encode(Digest::of(TOKEN.as_bytes()).as_bytes()),
        })
    }

    fn verify(&self, proof: &str) -> Result<Proof, ProofError> {
        let rules = ProofRules {
            method: "GET",
            urls: &self.urls,
            token: Some(TOKEN),
        };
        self.dpop.verify(proof, &rules)
    }

    /// The outcome for a good proof with changes laid over header and claims; `"gone"` takes one away.
    #[track_caller]
    fn check(&self, header: &Value, claims: &Value, expected: &str) {
        let header = laid_over(self.header(), header);
        let claims = laid_over(self.claims(), claims);
        let proof = self.key.forge(&header.to_string(), &claims.to_string());
        let outcome = match self.verify(&proof) {
            Ok(_) => "good".to_owned(),
            Err(ProofError::Invalid(why)) => why.to_string(),
            Err(other) => other.to_string(),
        };
        assert!(outcome.contains(expected), "{header} {claims}: {outcome}");
    }
}

fn laid_over(mut good: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        good[name] = value.clone();
    }
    let members = good.as_object().unwrap().clone();
    let kept: Map<_, _> = members.into_iter().filter(|(_, v)| v != "gone").collect();
    Value::Object(kept)
}

#[test]
fn what_we_sign_we_believe() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let world = World::new(algorithm);
        let nonce = world.dpop.nonce();
        let now = Timestamp::from_second(NOW).unwrap();
        let proof = sign_proof(&world.key, ("GET", URL), Some(TOKEN), Some(&nonce), now).unwrap();
        let proof = world.verify(proof.expose()).unwrap();
        assert_eq!(proof.key(), world.key.verifying_key().thumbprint());
    }
}

#[test]
fn a_proof_is_about_one_request_and_one_token() {
    let world = World::new(Algorithm::Es256);
    let same = json!({});
    world.check(&same, &same, "good");
    let table = [
        (json!({ "htm": "POST" }), "method"),
        (json!({ "htm": "get" }), "method"),
        (json!({ "htm": "gone" }), "`htm` is missing"),
        (
            json!({ "htu": "https://gate.example:8443/orders/1?a=b#c" }),
            "good",
        ),
        (
            json!({ "htu": "HTTPS://GATE.example:8443/%6frders/1" }),
            "good",
        ),
        (
            json!({ "htu": "https://gate.example:8443/orders/2" }),
            "URL",
        ),
        (
            json!({ "htu": "https://gate.example:8443/orders/1/" }),
            "URL",
        ),
        (json!({ "htu": "https://gate.example/orders/1" }), "URL"),
        (json!({ "htu": "http://gate.example:8443/orders/1" }), "URL"),
        (
            json!({ "htu": "https://evil.example:8443/orders/1" }),
            "URL",
        ),
        (json!({ "htu": "/orders/1" }), "URL"),
        (json!({ "htu": "gone" }), "`htu` is missing"),
        (json!({ "ath": "gone" }), "ath"),
        (json!({ "ath": "AAAA" }), "ath"),
        (json!({ "ath": [] }), "`ath` has the wrong type"),
        (json!({ "jti": "gone" }), "`jti` is missing"),
        (json!({ "jti": 1 }), "`jti` has the wrong type"),
        (json!({ "iat": NOW - 60 }), "good"),
        (json!({ "iat": NOW + 60 }), "good"),
        (json!({ "iat": NOW - 61 }), "iat"),
        (json!({ "iat": NOW + 61 }), "iat"),
        (json!({ "iat": i64::MIN }), "iat"),
        (json!({ "iat": "now" }), "`iat` has the wrong type"),
        (json!({ "nonce": "gone" }), "nonce"),
        (json!({ "nonce": "AAAA" }), "nonce"),
    ];
    for (claims, expected) in table {
        world.check(&same, &claims, expected);
    }
}

#[test]
fn only_the_key_that_it_brings_along_can_sign_a_proof() {
    let world = World::new(Algorithm::Es256);
    let other = World::new(Algorithm::Es256);
    let same = json!({});
    let with = |name: &str, value: Value| {
        let mut jwk = world.header()["jwk"].clone();
        jwk[name] = value;
        json!({ "jwk": jwk })
    };
    let table = [
        (
            json!({ "jwk": other.header()["jwk"] }),
            "signature is wrong",
        ),
        (json!({ "jwk": "gone" }), "names no key"),
        (json!({ "jwk": "text" }), "names no key"),
        (with("d", "AAAA".into()), "key can't be used"),
        (with("kty", "oct".into()), "key can't be used"),
        (with("alg", "EdDSA".into()), "key can't be used"),
        (with("use", "enc".into()), "key can't be used"),
        (json!({ "alg": "EdDSA" }), "key can't be used"),
        (json!({ "alg": "none" }), "algorithm"),
        (json!({ "alg": "HS256" }), "algorithm"),
        (json!({ "typ": "JWT" }), "`typ`"),
        (json!({ "typ": "gone" }), "`typ`"),
        (json!({ "typ": "application/dpop+jwt" }), "good"),
        (json!({ "kid": "named" }), "good"),
        (json!({ "crit": ["exp"] }), "`crit`"),
        (json!({ "x5c": [] }), "`x5c`"),
        (json!({ "jku": "https://evil.example" }), "`jku`"),
    ];
    for (header, expected) in table {
        world.check(&header, &same, expected);
    }
}

/// The example of RFC 9449 §4.2 in everything but its age: the signature code of others made it.
#[test]
fn the_example_of_the_standard_is_read() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4d\
        EZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRs\
        Y3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybF\
        RjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0Ijox\
        NTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK7\
        0nfbV37xRZT3Lg";
    let (clock, _hand) = Clock::manual(Timestamp::from_second(1_562_262_616).unwrap());
    let urls = ["https://server.example.com/token".to_owned()];
    let rules = ProofRules {
        method: "POST",
        urls: &urls,
        token: None,
    };
    let outcome = Dpop::new(clock).verify(proof, &rules);
    assert!(matches!(outcome, Err(ProofError::Nonce)), "{outcome:?}");
}

#[test]
fn a_proof_is_accepted_once_and_its_nonce_runs_out() {
    let world = World::new(Algorithm::Es256);
    let text = world
        .key
        .forge(&world.header().to_string(), &world.claims().to_string());
    let proof = world.verify(&text).unwrap();
    assert_eq!(world.dpop.accept(&proof, "bot"), Ok(()));
    let again = world.verify(&text).unwrap();
    assert_eq!(world.dpop.accept(&again, "bot"), Err(Replay::Seen));
    // Remembered for as long as it could be used again, wherever the wall clock goes.
    world
        .hand
        .step_wall(Timestamp::from_second(NOW + 7200).unwrap());
    world.hand.step_wall(Timestamp::from_second(NOW).unwrap());
    let again = world.verify(&text).unwrap();
    assert_eq!(world.dpop.accept(&again, "bot"), Err(Replay::Seen));
    world.hand.advance(Duration::from_secs(60));
    assert_eq!(world.dpop.accept(&again, "bot"), Err(Replay::Stale));
    let outcome = world.verify(&text);
    assert!(matches!(outcome, Err(ProofError::Nonce)), "{outcome:?}");
}

#[test]
fn proofs_that_cannot_be_remembered_are_not_accepted() {
    let mut world = World::new(Algorithm::Es256);
    world.dpop.seen = ReplayCache::with_capacity(3, 2);
    let header = world.header().to_string();
    let send = |jti: &str, sender: &str| {
        let claims = laid_over(world.claims(), &json!({ "jti": jti }));
        let proof = world.key.forge(&header, &claims.to_string());
        let proof = world.verify(&proof).unwrap();
        world.dpop.accept(&proof, sender)
    };
    assert_eq!(send("1", "bot"), Ok(()));
    assert_eq!(send("2", "bot"), Ok(()));
    assert_eq!(send("3", "bot"), Err(Replay::Full));
    assert_eq!(send("4", "other"), Ok(()));
    assert_eq!(send("5", "third"), Err(Replay::Full));
}
