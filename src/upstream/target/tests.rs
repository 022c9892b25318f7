use jiff::tz::TimeZone;

use super::*;
use crate::model::{ServiceMatch, UpstreamTls};

fn service(addresses: &[&str]) -> Service {
    Service {
        name: "orders".parse().unwrap(),
        matches: ServiceMatch::Host("orders.example".into()),
        upstreams: addresses
            .iter()
            .map(|authority| UpstreamAddress {
                tls: false,
                authority: authority.parse().unwrap(),
                socket: None,
            })
            .collect(),
        tls: UpstreamTls::default(),
        protocol: UpstreamProtocol::default(),
        health: None,
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
    let mut other = plain.clone();
    other.protocol = UpstreamProtocol::Http2;
    assert_ne!(key(&plain), key(&other));
}

#[test]
fn a_socket_needs_a_path_that_the_system_can_take() {
    let check = |path: &str, expected: bool| {
        let mut service = service(&["localhost:80"]);
        service.upstreams[0].socket = Some(path.into());
        assert_eq!(Target::open(&service).is_ok(), expected, "{path}");
    };
    check("/run/app.sock", true);
    check("app.sock", false);
    check(&format!("/{}", "x".repeat(200)), false);
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
