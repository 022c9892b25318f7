use super::*;
use crate::base::{Digest, ManualClock};
use crate::tokens::{KeySet, OVERLAP};

const ISSUER: &str = "https://gate.example:8444";
const AUDIENCE: &str = "https://gate.example:8443";

struct Scene {
    authority: Authority,
    hand: ManualClock,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
        let authority =
            Authority::open(directory.path(), ISSUER.to_owned(), Algorithm::Es256, clock).unwrap();
        Self {
            authority,
            hand,
            directory,
        }
    }

    fn reopened(&self) -> Authority {
        let clock = self.authority.clock.clone();
        let path = self.directory.path();
        Authority::open(path, ISSUER.to_owned(), Algorithm::Es256, clock).unwrap()
    }

    fn token(&self) -> Secret<String> {
        self.authority.issue(&issue()).unwrap().token
    }
}

fn issue() -> Issue {
    Issue {
        subject: "bot".to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        client_id: "bot".to_owned(),
        ttl: Duration::from_secs(300),
        scope: None,
        task: None,
        confirmation: None,
        authorization_details: None,
        methods: Vec::new(),
        class: None,
    }
}

#[test]
fn what_is_issued_says_what_was_asked() {
    let scene = Scene::new();
    let confirmation = Some(Confirmation::Jkt(Digest::of(b"key")));
    let details = json!([{ "type": "portcullis_grant", "entitlement": "refunds" }]);
    let asked = Issue {
        audience: vec![AUDIENCE.to_owned(), "https://orders.example".to_owned()],
        scope: Some("refunds reads".to_owned()),
        task: Some("tsk_1".to_owned()),
        confirmation,
        authorization_details: Some(details.clone()),
        methods: vec!["tls_client_auth"],
        class: Some("phr".to_owned()),
        ..issue()
    };
    let issued = scene.authority.issue(&asked).unwrap();
    assert_eq!(issued.expires_at.as_second(), 1_800_000_300);
    let claims = scene
        .authority
        .verify(issued.token.expose(), &[AUDIENCE])
        .unwrap();
    assert_eq!(claims.iss, ISSUER);
    assert_eq!(claims.sub, "bot");
    assert_eq!(claims.aud, asked.audience);
    assert_eq!(claims.client_id.as_deref(), Some("bot"));
    assert_eq!(claims.amr, ["tls_client_auth"]);
    assert_eq!(claims.acr.as_deref(), Some("phr"));
    assert_eq!(
        (claims.iat, claims.nbf, claims.exp),
        (1_800_000_000, Some(1_800_000_000), 1_800_000_300)
    );
    assert_eq!(claims.jti, Some(issued.jti));
    assert_eq!(claims.scope, asked.scope);
    assert_eq!(claims.task, asked.task);
    assert_eq!(claims.cnf, confirmation);
    assert_eq!(claims.authorization_details, Some(details));
}

#[test]
fn a_token_ends_on_its_second_and_is_for_its_audience() {
    let scene = Scene::new();
    let token = scene.token();
    let verify = || {
        scene
            .authority
            .verify(token.expose(), &[AUDIENCE])
            .map(|_| ())
    };
    let elsewhere = scene
        .authority
        .verify(token.expose(), &["https://other.example"])
        .unwrap_err();
    assert_eq!(elsewhere, TokenError::Invalid(Invalid::Audience));
    scene.hand.advance(Duration::from_millis(299_999));
    assert_eq!(verify(), Ok(()));
    scene.hand.advance(Duration::from_millis(1));
    assert_eq!(verify(), Err(TokenError::Expired));
}

#[test]
fn tokens_outlive_a_restart_and_are_verified_by_the_published_keys() {
    let scene = Scene::new();
    let token = scene.token();
    scene
        .reopened()
        .verify(token.expose(), &[AUDIENCE])
        .unwrap();
    let published = scene.authority.jwks().to_string();
    assert!(!published.contains("\"d\""));
    let set = KeySet::from_jwks(published.as_bytes()).unwrap();
    let rules = Rules {
        issuer: ISSUER,
        audiences: &[AUDIENCE],
        origin: Origin::Outside,
        now: scene.authority.clock.wall(),
    };
    set.verify(token.expose(), &rules).unwrap();
}

#[test]
fn a_rotation_lets_tokens_live_out_their_time() {
    let scene = Scene::new();
    let long = Issue {
        ttl: LONGEST_TTL,
        ..issue()
    };
    let old = scene.authority.issue(&long).unwrap().token;
    let version = scene.authority.key_version();
    let rotation = scene.authority.rotate().unwrap();
    let new = scene.token();
    assert_ne!(
        old.expose().split('.').next(),
        new.expose().split('.').next()
    );
    assert_eq!(scene.authority.jwks()["keys"][0]["kid"], rotation.kid);
    scene.hand.advance(LONGEST_TTL - Duration::from_secs(1));
    scene.authority.verify(old.expose(), &[AUDIENCE]).unwrap();
    assert_eq!(scene.authority.key_version(), version);
    scene
        .hand
        .advance(OVERLAP - LONGEST_TTL + Duration::from_secs(2));
    assert_ne!(scene.authority.key_version(), version);
    let gone = scene
        .authority
        .verify(old.expose(), &[AUDIENCE])
        .unwrap_err();
    assert!(gone.is_unknown_key());
    assert_eq!(scene.authority.jwks()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(scene.reopened().jwks(), scene.authority.jwks());
}

#[test]
fn another_authority_is_not_believed() {
    let (ours, theirs) = (Scene::new(), Scene::new());
    let refused = ours
        .authority
        .verify(theirs.token().expose(), &[AUDIENCE])
        .unwrap_err();
    assert!(refused.is_unknown_key());
}

#[test]
fn nothing_is_issued_that_we_would_not_read() {
    let scene = Scene::new();
    let mut nested = json!([]);
    for _ in 0..8 {
        nested = json!([nested]);
    }
    let table = [
        Issue {
            ttl: Duration::ZERO,
            ..issue()
        },
        Issue {
            ttl: Duration::from_millis(999),
            ..issue()
        },
        Issue {
            ttl: LONGEST_TTL + Duration::from_secs(1),
            ..issue()
        },
        Issue {
            audience: Vec::new(),
            ..issue()
        },
        Issue {
            subject: String::new(),
            ..issue()
        },
        Issue {
            scope: Some(String::new()),
            ..issue()
        },
        Issue {
            authorization_details: Some(json!({})),
            ..issue()
        },
        Issue {
            authorization_details: Some(nested),
            ..issue()
        },
        Issue {
            scope: Some("a".repeat(LARGEST_TOKEN)),
            ..issue()
        },
    ];
    for asked in table {
        assert!(scene.authority.issue(&asked).is_err(), "{asked:?}");
    }
}
