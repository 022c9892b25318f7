use proptest::prelude::*;

use super::*;

fn check(address: &str, forbidden: bool) {
    assert_eq!(
        is_forbidden(address.parse().unwrap()),
        forbidden,
        "{address}"
    );
}

#[test]
fn link_local_and_metadata_addresses_are_forbidden_however_they_are_written() {
    for address in [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "febf::1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    ] {
        check(address, true);
    }
}

#[test]
fn loopback_private_and_public_addresses_are_ordinary() {
    for address in [
        "127.0.0.1",
        "::1",
        "10.0.0.5",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "fd00::1",
        "fec0::1",
        "::ffff:10.0.0.1",
        "2001:db8::1",
        "93.184.215.14",
    ] {
        check(address, false);
    }
}

#[tokio::test]
async fn a_name_that_leads_nowhere_else_is_refused() {
    let system = Resolver::default();
    let error = resolve(&system, "169.254.169.254", 80).await.unwrap_err();
    assert!(matches!(error, ConnectError::Forbidden(_)), "{error:?}");
    let localhost = resolve(&system, "localhost", 80).await.unwrap();
    assert!(localhost.iter().all(|address| address.ip().is_loopback()));
}

#[test]
fn allowed_addresses_beside_forbidden_ones_are_kept_in_order() {
    let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
    let found = ["10.0.0.2:1", "169.254.0.1:1", "10.0.0.1:1"].map(socket);
    let kept = allowed(found.into_iter()).unwrap();
    assert_eq!(kept, ["10.0.0.2:1", "10.0.0.1:1"].map(socket));
}

proptest! {
    #[test]
    fn no_spelling_of_a_link_local_address_passes(last in any::<[u8; 2]>()) {
        let v4 = Ipv4Addr::new(169, 254, last[0], last[1]);
        let [.., high, low] = v4.to_ipv6_mapped().segments();
        for v6 in [
            v4.to_ipv6_mapped(),
            v4.to_ipv6_compatible(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 7, 7, 7, 7, 7),
        ] {
            prop_assert!(is_forbidden(v6.into()), "{v6}");
        }
    }
}
