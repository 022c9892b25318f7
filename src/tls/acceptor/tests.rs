use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::base::ManualClock;
use crate::tls::mint::{self, Pair};
use crate::tls::{ClientFiles, ClientStream, Connector};

/// A directory with a minted authority and what it has issued.
struct Scene {
    directory: tempfile::TempDir,
    clock: Clock,
    hand: ManualClock,
    ca: Pair,
    gateway: Pair,
}

type Streams = (
    Result<ServerStream<DuplexStream>, TlsError>,
    Result<ClientStream<DuplexStream>, TlsError>,
);

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual("2026-11-24T00:00:00Z".parse().unwrap());
        let identity = mint::development_identity(directory.path(), &clock).unwrap();
        let (ca, gateway) = (identity.ca, identity.gateway);
        Self {
            directory,
            clock,
            hand,
            ca,
            gateway,
        }
    }

    fn files(&self, client_auth: ClientAuth) -> ServerFiles {
        ServerFiles {
            certificate: self.gateway.certificate.clone(),
            key: self.gateway.key.clone(),
            client_ca: Some(self.ca.certificate.clone()),
            client_auth,
        }
    }

    fn acceptor(&self, client_auth: ClientAuth) -> Acceptor {
        Acceptor::open(self.files(client_auth), self.clock.clone()).unwrap()
    }

    /// A client that trusts our authority, with a certificate from `issuer`.
    fn connector(&self, http2: bool, issuer: Option<&Self>) -> Connector {
        let client = issuer.map(|issuer| {
            let pair = Pair::named(self.directory.path(), "agent");
            let uris = ["spiffe://example.org/bot"];
            mint::issue_client_certificate(&issuer.ca, &pair, "bot", &uris, &self.clock).unwrap();
            (pair.certificate, pair.key)
        });
        let ca = Some(self.ca.certificate.clone());
        Connector::open(&ClientFiles { ca, client }, http2, self.clock.clone()).unwrap()
    }
}

async fn handshake(acceptor: &Acceptor, connector: &Connector, name: &str) -> Streams {
    let (near, far) = duplex(64 * 1024);
    // A client learns only from its first read that its certificate was refused (TLS 1.3).
    let server = async {
        let mut server = acceptor.accept(near).await?;
        server.write_all(b"x").await.map_err(TlsError::Handshake)?;
        server.flush().await.map_err(TlsError::Handshake)?;
        Ok(server)
    };
    let client = async {
        let mut client = connector.connect(name, far).await?;
        client.read_u8().await.map_err(TlsError::Handshake)?;
        Ok(client)
    };
    tokio::join!(server, client)
}

#[tokio::test]
async fn the_protocol_is_agreed_upon() {
    let scene = Scene::new();
    let acceptor = scene.acceptor(ClientAuth::None);
    for http2 in [true, false] {
        let connector = scene.connector(http2, None);
        for name in ["localhost", "127.0.0.1", "::1", "[::1]"] {
            let (server, client) = handshake(&acceptor, &connector, name).await;
            let (server, client) = (server.unwrap(), client.unwrap());
            assert_eq!((server.is_http2(), client.is_http2()), (http2, http2));
            assert_eq!(server.peer(), None);
        }
    }
}

#[tokio::test]
async fn bytes_arrive_both_ways() {
    let scene = Scene::new();
    let acceptor = scene.acceptor(ClientAuth::None);
    let connector = scene.connector(false, None);
    let (server, client) = handshake(&acceptor, &connector, "localhost").await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    client.write_all(b"ping").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "ping");
    server.write_all(b"pong").await.unwrap();
    server.shutdown().await.unwrap();
    heard.clear();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "pong");
}

#[tokio::test]
async fn a_cut_connection_does_not_look_complete() {
    let scene = Scene::new();
    let acceptor = scene.acceptor(ClientAuth::None);
    let connector = scene.connector(false, None);
    let (server, client) = handshake(&acceptor, &connector, "localhost").await;
    drop(server);
    let mut heard = Vec::new();
    let end = client.unwrap().read_to_end(&mut heard).await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_as_configured() {
    let (scene, stranger) = (Scene::new(), Scene::new());
    let table = [
        (ClientAuth::None, None, true),
        (ClientAuth::None, Some(&scene), true),
        (ClientAuth::Any, None, true),
        (ClientAuth::Any, Some(&scene), true),
        (ClientAuth::Any, Some(&stranger), true),
        (ClientAuth::Optional, None, true),
        (ClientAuth::Optional, Some(&scene), true),
        (ClientAuth::Optional, Some(&stranger), false),
        (ClientAuth::Required, None, false),
        (ClientAuth::Required, Some(&scene), true),
        (ClientAuth::Required, Some(&stranger), false),
    ];
    for (client_auth, issuer, accepted) in table {
        let acceptor = scene.acceptor(client_auth);
        let connector = scene.connector(true, issuer);
        let (server, client) = handshake(&acceptor, &connector, "localhost").await;
        assert_eq!(
            (server.is_ok(), client.is_ok()),
            (accepted, accepted),
            "{client_auth:?}"
        );
        let known = accepted && issuer.is_some() && client_auth != ClientAuth::None;
        assert_eq!(server.is_ok_and(|server| server.peer().is_some()), known);
    }
}

#[tokio::test]
async fn a_peer_is_known_by_its_certificate() {
    let scene = Scene::new();
    let acceptor = scene.acceptor(ClientAuth::Required);
    let connector = scene.connector(true, Some(&scene));
    let (server, _client) = handshake(&acceptor, &connector, "localhost").await;
    let server = server.unwrap();
    let peer = server.peer().unwrap();
    assert_eq!(peer.subject, "CN=bot,O=Portcullis");
    assert_eq!(peer.uris, ["spiffe://example.org/bot"]);
    assert_eq!(peer.dns_names, Vec::<String>::new());
    let pem = Contents::read(&scene.directory.path().join("agent.pem")).unwrap();
    assert_eq!(peer.thumbprint, Digest::of(&pem.certificates().unwrap()[0]));
}

#[tokio::test]
async fn a_client_certificate_that_has_ended_is_refused_by_our_clock() {
    let scene = Scene::new();
    let acceptor = scene.acceptor(ClientAuth::Optional);
    let connector = scene.connector(true, Some(&scene));
    let (server, client) = handshake(&acceptor, &connector, "localhost").await;
    server.unwrap();
    client.unwrap();
    // The second connection would have resumed the first, without a look at the certificate.
    scene.hand.advance(Duration::from_hours(91 * 24));
    mint::development_identity(scene.directory.path(), &scene.clock).unwrap();
    assert!(acceptor.reload().unwrap());
    let (server, _client) = handshake(&acceptor, &connector, "localhost").await;
    assert!(matches!(server, Err(TlsError::Handshake(_))));
}

#[tokio::test]
async fn no_session_with_a_client_certificate_is_resumed() {
    let scene = Scene::new();
    for (client_auth, resumed) in [(ClientAuth::Optional, false), (ClientAuth::None, true)] {
        let acceptor = scene.acceptor(client_auth);
        let connector = scene.connector(true, None);
        let config = Arc::clone(&acceptor.shared.identity.peek().config);
        assert_eq!(config.session_storage.can_cache(), resumed);
        assert_eq!(config.send_tls13_tickets > 0, resumed);
        assert_eq!(config.max_early_data_size, 0);
        let (server, _client) = handshake(&acceptor, &connector, "localhost").await;
        server.unwrap();
    }
}

#[tokio::test]
async fn a_reload_serves_the_new_identity_and_a_bad_one_changes_nothing() {
    let scene = Scene::new();
    let acceptor = scene.acceptor(ClientAuth::None);
    let connector = scene.connector(true, None);
    let expires_at = acceptor.expires_at();
    assert!(!acceptor.reload().unwrap());
    let key = fs::read(&scene.gateway.key).unwrap();
    let replace = |path: &Path, bytes: &[u8]| fs::write(path, bytes).unwrap();
    for bad in [&b""[..], b"-----BEGIN", &fs::read(&scene.ca.key).unwrap()] {
        replace(&scene.gateway.key, bad);
        assert!(acceptor.reload().is_err());
        let (server, client) = handshake(&acceptor, &connector, "localhost").await;
        server.unwrap();
        client.unwrap();
    }
    fs::remove_file(&scene.gateway.key).unwrap();
    assert!(acceptor.reload().is_err());
    // Nobody ever writes to it, and nobody waits for that.
    let mut pipe = std::process::Command::new("mkfifo");
    assert!(pipe.arg(&scene.gateway.key).status().unwrap().success());
    assert!(acceptor.reload().is_err());
    fs::remove_file(&scene.gateway.key).unwrap();
    replace(&scene.gateway.key, &key);
    assert!(!acceptor.reload().unwrap());
    scene.hand.advance(Duration::from_hours(89 * 24 + 1));
    mint::development_identity(scene.directory.path(), &scene.clock).unwrap();
    assert!(acceptor.clone().reload().unwrap());
    assert!(acceptor.expires_at() > expires_at);
    let (server, client) = handshake(&acceptor, &connector, "localhost").await;
    server.unwrap();
    client.unwrap();
}

#[tokio::test]
async fn a_new_client_authority_is_reloaded_too() {
    let (scene, other) = (Scene::new(), Scene::new());
    let trusted = scene.directory.path().join("agents-ca.pem");
    fs::copy(&scene.ca.certificate, &trusted).unwrap();
    let files = ServerFiles {
        client_ca: Some(trusted.clone()),
        ..scene.files(ClientAuth::Required)
    };
    let acceptor = Acceptor::open(files, scene.clock.clone()).unwrap();
    let connector = scene.connector(true, Some(&other));
    let accepted = |streams: Streams| streams.0.is_ok();
    assert!(!accepted(
        handshake(&acceptor, &connector, "localhost").await
    ));
    fs::copy(&other.ca.certificate, &trusted).unwrap();
    assert!(acceptor.reload().unwrap());
    assert!(accepted(
        handshake(&acceptor, &connector, "localhost").await
    ));
}

#[test]
fn nothing_is_served_that_was_not_checked() {
    let scene = Scene::new();
    let open = |files| Acceptor::open(files, scene.clock.clone()).unwrap_err();
    let mismatch = ServerFiles {
        key: scene.ca.key.clone(),
        ..scene.files(ClientAuth::None)
    };
    assert!(matches!(open(mismatch), TlsError::KeyMismatch { .. }));
    let nobody = ServerFiles {
        client_ca: None,
        ..scene.files(ClientAuth::Optional)
    };
    assert!(matches!(open(nobody), TlsError::ClientCaMissing));
    let absent = ServerFiles {
        certificate: scene.directory.path().join("absent.pem"),
        ..scene.files(ClientAuth::None)
    };
    assert!(matches!(open(absent), TlsError::File { .. }));
    scene.hand.advance(Duration::from_hours(91 * 24));
    assert!(matches!(
        open(scene.files(ClientAuth::None)),
        TlsError::Expired { .. }
    ));
}

#[tokio::test]
async fn a_certificate_of_anybodys_is_told_from_one_of_ours() {
    let (scene, stranger) = (Scene::new(), Scene::new());
    let mut acceptor = scene.acceptor(ClientAuth::Any);
    let issued = async |acceptor: &Acceptor, issuer: &Scene| {
        let connector = scene.connector(true, Some(issuer));
        let (server, _client) = handshake(acceptor, &connector, "localhost").await;
        server.unwrap().peer().unwrap().issued
    };
    assert!(issued(&acceptor, &scene).await);
    assert!(!issued(&acceptor, &stranger).await);
    // Without an authority nobody's is.
    let files = ServerFiles {
        client_ca: None,
        ..scene.files(ClientAuth::Any)
    };
    acceptor = Acceptor::open(files, scene.clock.clone()).unwrap();
    assert!(!issued(&acceptor, &scene).await);
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_nobodys() {
    let scene = Scene::new();
    let acceptor = scene.acceptor(ClientAuth::Any);
    let connector = scene.connector(true, Some(&scene));
    scene.hand.advance(Duration::from_hours(91 * 24));
    let (server, _client) = handshake(&acceptor, &connector, "localhost").await;
    assert!(server.is_err());
}
