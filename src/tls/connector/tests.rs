use std::time::Duration;

use tokio::io::duplex;

use super::*;
use crate::tls::mint::{self, Pair};
use crate::tls::{Acceptor, ClientAuth, ServerFiles};

fn clock() -> (Clock, crate::base::ManualClock) {
    Clock::manual("2026-11-24T00:00:00Z".parse().unwrap())
}

fn acceptor(gateway: &Pair, clock: &Clock) -> Acceptor {
    let files = ServerFiles {
        certificate: gateway.certificate.clone(),
        key: gateway.key.clone(),
        client_ca: None,
        client_auth: ClientAuth::None,
    };
    Acceptor::open(files, clock.clone()).unwrap()
}

fn connector(ca: &Pair, clock: &Clock) -> Connector {
    let files = ClientFiles {
        ca: Some(ca.certificate.clone()),
        client: None,
    };
    Connector::open(&files, true, clock.clone()).unwrap()
}

async fn connects(acceptor: &Acceptor, connector: &Connector, name: &str) -> bool {
    let (near, far) = duplex(64 * 1024);
    let (_, client) = tokio::join!(acceptor.accept(near), connector.connect(name, far));
    client.is_ok()
}

#[tokio::test]
async fn a_server_has_to_prove_its_name_to_somebody_we_trust() {
    let (clock, hand) = clock();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = mint::development_identity(here.path(), &clock).unwrap();
    let theirs = mint::development_identity(there.path(), &clock).unwrap();
    let acceptor = acceptor(&ours.gateway, &clock);
    let trusting = connector(&ours.ca, &clock);
    assert!(connects(&acceptor, &trusting, "localhost").await);
    assert!(!connects(&acceptor, &trusting, "example.com").await);
    assert!(!connects(&acceptor, &trusting, "127.0.0.2").await);
    assert!(!connects(&acceptor, &connector(&theirs.ca, &clock), "localhost").await);
    hand.advance(Duration::from_hours(91 * 24));
    assert!(!connects(&acceptor, &connector(&ours.ca, &clock), "localhost").await);
}

#[test]
fn a_client_identity_is_checked_when_it_is_read() {
    let (clock, hand) = clock();
    let directory = tempfile::tempdir().unwrap();
    let ca = mint::development_identity(directory.path(), &clock)
        .unwrap()
        .ca;
    let agent = Pair::named(directory.path(), "agent");
    mint::issue_client_certificate(&ca, &agent, "bot", &[], &clock).unwrap();
    let open = |certificate: &Pair, key: &Pair| {
        let files = ClientFiles {
            ca: Some(ca.certificate.clone()),
            client: Some((certificate.certificate.clone(), key.key.clone())),
        };
        Connector::open(&files, false, clock.clone())
    };
    open(&agent, &agent).unwrap();
    assert!(matches!(
        open(&agent, &ca),
        Err(TlsError::KeyMismatch { .. })
    ));
    hand.advance(Duration::from_hours(91 * 24));
    assert!(matches!(
        open(&agent, &agent),
        Err(TlsError::Expired { .. })
    ));
}

#[test]
fn names_are_hosts_and_addresses() {
    for good in ["localhost", "orders.internal", "127.0.0.1", "::1", "[::1]"] {
        assert!(parse_name(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a b",
        "[localhost]",
        "[::1",
        "host:443",
        "https://host",
        "[]",
    ] {
        let refused = parse_name(bad);
        assert!(matches!(refused, Err(TlsError::ServerName(name)) if name == bad));
    }
}
