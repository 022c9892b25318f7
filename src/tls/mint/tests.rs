use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::base::ManualClock;

struct Scene {
    directory: tempfile::TempDir,
    clock: Clock,
    hand: ManualClock,
}

impl Scene {
    fn new() -> Self {
        let (clock, hand) = Clock::manual("2026-11-24T00:00:00Z".parse().unwrap());
        Self {
            directory: tempfile::tempdir().unwrap(),
            clock,
            hand,
        }
    }

    fn mint(&self) -> Result<DevelopmentIdentity, TlsError> {
        development_identity(self.directory.path(), &self.clock)
    }

    /// The bytes of `ca.pem` and `gateway.pem`.
    fn minted(&self) -> (Vec<u8>, Vec<u8>) {
        let identity = self.mint().unwrap();
        let read = |pair: &Pair| fs::read(&pair.certificate).unwrap();
        (read(&identity.ca), read(&identity.gateway))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

#[test]
fn the_first_call_makes_what_clients_accept_and_the_second_keeps_it() {
    let scene = Scene::new();
    let first = scene.minted();
    let identity = scene.mint().unwrap();
    serves(&identity.gateway, &identity.ca, &NAMES, scene.clock.wall()).unwrap();
    for pair in [&identity.ca, &identity.gateway] {
        let mode = fs::metadata(&pair.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(scene.minted(), first);
    assert_eq!(fs::read_dir(scene.directory.path()).unwrap().count(), 4);
}

#[test]
fn a_certificate_is_renewed_a_day_before_it_ends_under_the_same_authority() {
    let scene = Scene::new();
    let first = scene.minted();
    scene.hand.advance(LEAF_LIFE - SOON);
    assert_eq!(scene.minted(), first);
    scene.hand.advance(Duration::from_secs(1));
    let renewed = scene.minted();
    assert_eq!(renewed.0, first.0);
    assert_ne!(renewed.1, first.1);
    scene.hand.advance(CA_LIFE - LEAF_LIFE);
    let last = scene.minted();
    assert_ne!(last.0, first.0);
    assert_eq!(scene.minted(), last);
}

#[test]
fn a_lost_authority_takes_its_certificate_along() {
    let scene = Scene::new();
    let first = scene.minted();
    fs::remove_file(scene.at("ca.pem")).unwrap();
    fs::remove_file(scene.at("ca.key")).unwrap();
    let second = scene.minted();
    assert_ne!(second.0, first.0);
    assert_ne!(second.1, first.1);
    let identity = scene.mint().unwrap();
    serves(&identity.gateway, &identity.ca, &NAMES, scene.clock.wall()).unwrap();
}

#[test]
fn half_a_pair_is_told() {
    for (gone, kept) in [
        ("ca.key", "ca.pem"),
        ("ca.pem", "ca.key"),
        ("gateway.key", "gateway.pem"),
        ("gateway.pem", "gateway.key"),
    ] {
        let scene = Scene::new();
        scene.mint().unwrap();
        fs::remove_file(scene.at(gone)).unwrap();
        let refused = scene.mint().unwrap_err().to_string();
        let expected = format!(
            "`{}` is there but `{}` is not: restore it, or delete both",
            scene.at(kept).display(),
            scene.at(gone).display()
        );
        assert_eq!(refused, expected);
    }
}

#[test]
fn what_was_not_made_here_is_never_overwritten() {
    let (scene, other) = (Scene::new(), Scene::new());
    let key = KeyPair::generate().unwrap();
    let foreign = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let foreign = foreign.self_signed(&key).unwrap();
    write(
        &Pair::named(scene.directory.path(), "gateway"),
        &foreign.pem(),
        &key,
    )
    .unwrap();
    assert!(matches!(scene.mint(), Err(TlsError::Foreign { .. })));
    assert!(!scene.at("ca.pem").exists());
    // A server's certificate in the place of the authority.
    write(
        &Pair::named(other.directory.path(), "ca"),
        &foreign.pem(),
        &key,
    )
    .unwrap();
    assert!(matches!(other.mint(), Err(TlsError::NotAnAuthority(_))));
    // Two halves of different pairs.
    let mixed = Scene::new();
    mixed.mint().unwrap();
    fs::copy(mixed.at("gateway.key"), mixed.at("ca.key")).unwrap();
    assert!(matches!(mixed.mint(), Err(TlsError::KeyMismatch { .. })));
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let scene = Scene::new();
    let file = scene.at("file");
    fs::write(&file, "").unwrap();
    let refused = development_identity(&file, &scene.clock).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("`{}` can't be used", file.display())
    );
}

#[test]
fn the_authority_speaks_for_this_machine_only() {
    let scene = Scene::new();
    let ca = scene.mint().unwrap().ca;
    let target = Pair::named(scene.directory.path(), "upstream");
    for name in [
        "example.com",
        "localhost.example.com",
        "10.0.0.1",
        "not a name",
    ] {
        let refused = issue_server_certificate(&ca, &target, &[name], &scene.clock);
        assert!(refused.is_err(), "{name}");
        assert!(!target.certificate.exists() && !target.key.exists());
    }
    issue_server_certificate(
        &ca,
        &target,
        &["orders.localhost", "127.0.0.2"],
        &scene.clock,
    )
    .unwrap();
}

#[test]
fn another_name_than_ours_cannot_issue_here() {
    let scene = Scene::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CountryName, "DE");
    let ca = Pair::named(scene.directory.path(), "corporate");
    write(&ca, &params.self_signed(&key).unwrap().pem(), &key).unwrap();
    let target = Pair::named(scene.directory.path(), "agent");
    let refused = issue_client_certificate(&ca, &target, "bot", &[], &scene.clock);
    assert!(matches!(refused, Err(TlsError::NotAnAuthority(_))));
}

#[test]
fn clocks_at_both_ends_of_time_do_no_harm() {
    for wall in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let (clock, _) = Clock::manual(wall);
        let directory = tempfile::tempdir().unwrap();
        let _ = development_identity(directory.path(), &clock);
    }
}
