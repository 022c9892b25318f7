use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::authn::{KeySource, TrustedIssuer};
use crate::base::{Digest, ManualClock};
use crate::tokens::{Algorithm, Issue};

const GATE: &str = "https://gate.example";
const OUTSIDE: &str = "https://idp.example";

struct World {
    directory: TempDir,
    clock: Clock,
    hand: ManualClock,
    own: Arc<Authority>,
    revoked: Arc<Revoked>,
    /// Stands for an outside issuer: an authority with other keys and another name.
    idp: Authority,
    keys: Arc<IssuerKeys>,
    authenticator: Authenticator,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
        let authority = |name: &str, issuer: &str| {
            let path = directory.path().join(name);
            Authority::open(&path, issuer.to_owned(), Algorithm::Es256, clock.clone()).unwrap()
        };
        let own = Arc::new(authority("own", "https://control.example"));
        let idp = authority("idp", OUTSIDE);
        let jwks: PathBuf = directory.path().join("jwks.json");
        fs::write(&jwks, idp.jwks().to_string()).unwrap();
        let keys = Arc::new(IssuerKeys::new(TrustedIssuer {
            issuer: OUTSIDE.to_owned(),
            keys: KeySource::File(jwks),
            audience: GATE.to_owned(),
            agent_claim: "sub".to_owned(),
            task_claim: Some("task".to_owned()),
            mfa_acr: Default::default(),
        }));
        keys.read_once(&mut Digest::ZERO.clone(), &clock)
            .await
            .unwrap();
        let metrics = Arc::new(Metrics::new(std::iter::empty(), std::iter::empty()));
        let revoked = Arc::new(Revoked::new());
        let authenticator = Authenticator::new(
            Arc::clone(&own),
            Arc::clone(&revoked),
            vec![Arc::clone(&keys)],
            clock.clone(),
            metrics,
        );
        Self {
            directory,
            clock,
            hand,
            own,
            revoked,
            idp,
            keys,
            authenticator,
        }
    }

    fn verify(&self, token: &str) -> Result<Authenticated, TokenError> {
        self.authenticator.verify(token, &[GATE])
    }
}

fn issue(authority: &Authority, audience: &str) -> String {
    issue_by(authority, audience, vec!["self_signed_tls_client_auth"])
}

fn issue_by(authority: &Authority, audience: &str, methods: Vec<&'static str>) -> String {
    let issued = authority.issue(&Issue {
        subject: "bot".to_owned(),
        audience: vec![audience.to_owned()],
        client_id: "bot".to_owned(),
        ttl: Duration::from_secs(300),
        scope: None,
        task: Some("t-1".to_owned()),
        confirmation: None,
        authorization_details: None,
        methods,
        class: None,
    });
    issued.unwrap().token.expose().clone()
}

#[tokio::test]
async fn our_own_tokens_and_those_of_a_trusted_issuer() {
    let world = World::new().await;
    let own = world.verify(&issue(&world.own, GATE)).unwrap();
    assert_eq!(*own.subject(), Subject::Own("bot".parse().unwrap()));
    assert_eq!(own.task(), Some("t-1"));
    assert_eq!(own.methods(), ["self_signed_tls_client_auth"]);
    let outside = world.verify(&issue(&world.idp, GATE)).unwrap();
    assert_eq!(*outside.subject(), Subject::Outside("bot".to_owned()));
    assert_eq!(outside.task(), Some("t-1"));
    // What another calls its methods is its own affair.
    assert_eq!(outside.methods(), ["trusted_issuer"]);
}

#[tokio::test]
async fn a_token_of_ours_brings_anothers_methods_only_where_it_was_exchanged() {
    let world = World::new().await;
    let methods = |methods: &[&'static str]| {
        let token = issue_by(&world.own, GATE, methods.to_vec());
        world.verify(&token).unwrap().methods().to_vec()
    };
    let exchanged = ["private_key_jwt", "trusted_issuer", "pwd", "otp"];
    assert_eq!(methods(&exchanged), exchanged);
    assert_eq!(methods(&["private_key_jwt", "mfa"]), ["private_key_jwt"]);
    let unknown = ["private_key_jwt", "trusted_issuer", "own-invention"];
    assert_eq!(methods(&unknown), ["private_key_jwt", "trusted_issuer"]);
}

#[tokio::test]
async fn tokens_for_somebody_else_or_of_a_stranger_are_not_believed() {
    let world = World::new().await;
    for authority in [world.own.as_ref(), &world.idp] {
        let token = issue(authority, "https://other.example");
        assert!(world.verify(&token).is_err());
    }
    // A stranger who uses a trusted name has not its keys.
    for issuer in [
        OUTSIDE,
        "https://control.example",
        "https://stranger.example",
    ] {
        let path = world.directory.path().join("stranger");
        let clock = world.clock.clone();
        let stranger = Authority::open(&path, issuer.to_owned(), Algorithm::Es256, clock).unwrap();
        assert!(world.verify(&issue(&stranger, GATE)).is_err(), "{issuer}");
    }
}

#[tokio::test]
async fn the_deadline_runs_on_the_boot_clock() {
    let world = World::new().await;
    let authenticated = world.verify(&issue(&world.own, GATE)).unwrap();
    let deadline = world.clock.now() + Duration::from_secs(300);
    assert_eq!(authenticated.deadline(), deadline);
    world.hand.advance(Duration::from_secs(300));
    assert!(world.clock.now() >= authenticated.deadline());
}

#[tokio::test]
async fn a_new_key_set_is_a_new_epoch() {
    let world = World::new().await;
    let before = world.verify(&issue(&world.idp, GATE)).unwrap();
    assert_eq!(before.epoch(), world.authenticator.epoch());
    let jwks = world.directory.path().join("jwks.json");
    fs::write(&jwks, json!({ "keys": [] }).to_string()).unwrap();
    let mut last = Digest::ZERO;
    world.keys.read_once(&mut last, &world.clock).await.unwrap();
    assert_ne!(before.epoch(), world.authenticator.epoch());
    assert!(world.verify(&issue(&world.idp, GATE)).is_err());

    fs::write(&jwks, "no key set").unwrap();
    assert!(world.keys.read_once(&mut last, &world.clock).await.is_err());
}

#[tokio::test]
async fn a_revoked_token_is_not_believed_again() {
    let world = World::new().await;
    let token = issue(&world.own, GATE);
    let authenticated = world.verify(&token).unwrap();
    assert!(!world.authenticator.is_revoked(&authenticated));
    let before = world.authenticator.revocations();
    let (jti, now) = (authenticated.token_id().unwrap(), world.clock.wall());
    let until = now + Duration::from_secs(300);
    world.revoked.revoke("bot", jti, until, now).unwrap();
    assert_ne!(before, world.authenticator.revocations());
    assert!(world.authenticator.is_revoked(&authenticated));
    let refused = world.verify(&token);
    assert!(matches!(
        refused,
        Err(TokenError::Invalid(Invalid::Revoked))
    ));
    // Every other token is as good as before.
    assert!(world.verify(&issue(&world.own, GATE)).is_ok());
}
