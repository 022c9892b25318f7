use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::*;
use crate::model::ServiceMatch;

fn service(addresses: &[&str]) -> Service {
    Service {
        name: "orders".parse().unwrap(),
        matches: ServiceMatch::Host("orders.example".into()),
        upstreams: addresses
            .iter()
            .map(|authority| UpstreamAddress {
                tls: false,
                authority: authority.parse().unwrap(),
            })
            .collect(),
        tls: UpstreamTls::default(),
        timeouts: Timeouts::default(),
        inject: None,
        time_zone: TimeZone::UTC,
    }
}

fn check(addresses: &[&str], expected: &str) {
    let opened = Target::open(&service(addresses));
    let said = opened.map_or_else(|error| error.to_string(), |_| "opened".into());
    assert_eq!(said, expected, "{addresses:?}");
}

#[test]
fn addresses_that_can_never_serve_are_refused_at_once() {
    check(&["10.0.0.5:9000", "[::1]:9000", "orders:80"], "opened");
    check(&[], "service `orders` has no address");
    check(&["orders"], "service `orders` at `orders` has no port");
    for forbidden in [
        "169.254.169.254:80",
        "[fe80::1]:80",
        "[::ffff:169.254.0.1]:80",
    ] {
        let expected = format!(
            "service `orders` at `{forbidden}` is link-local or a cloud's metadata service"
        );
        check(&["10.0.0.5:9000", forbidden], &expected);
    }
}

#[test]
fn the_key_is_what_connections_depend_on_and_nothing_else() {
    let key = |service: &Service| *Target::open(service).unwrap().key();
    let plain = service(&["10.0.0.5:9000"]);
    let mut slower = plain.clone();
    slower.timeouts.response = Some(std::time::Duration::from_secs(9));
    assert_eq!(key(&plain), key(&slower));
    assert_ne!(key(&plain), key(&service(&["10.0.0.6:9000"])));
    let mut renamed = plain.clone();
    renamed.name = "billing".parse().unwrap();
    assert_ne!(key(&plain), key(&renamed));
    let options = TargetOptions {
        h2c: true,
        ..TargetOptions::default()
    };
    let other = Target::open_with(&plain, options, &Clock::system()).unwrap();
    assert_ne!(key(&plain), *other.key());
}

#[test]
fn the_contents_of_tls_files_count() {
    let directory = tempfile::tempdir().unwrap();
    let ca: PathBuf = directory.path().join("ca.pem");
    let tls = UpstreamTls {
        ca: Some(ca.clone()),
        ..UpstreamTls::default()
    };
    fs::write(&ca, "one").unwrap();
    let before = files_digest(&tls);
    assert_eq!(before, files_digest(&tls));
    fs::write(&ca, "two").unwrap();
    assert_ne!(before, files_digest(&tls));
}

#[test]
fn tls_files_that_cannot_be_used_name_the_service() {
    let mut service = service(&["10.0.0.5:9000"]);
    service.upstreams[0].tls = true;
    service.tls.ca = Some("/nowhere/ca.pem".into());
    let error = Target::open(&service).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the TLS files of service `orders` can't be used"
    );
}

#[test]
fn targets_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Target>();
}
