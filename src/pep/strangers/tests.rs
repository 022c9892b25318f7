use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(milliseconds: u64) -> BootInstant {
    BootInstant::from_nanos(1_000_000_000 * 1000) + Duration::from_millis(milliseconds)
}

#[test]
fn an_address_waits_once_its_allowance_is_used() {
    let strangers = Strangers::new(10);
    let source = ip("192.0.2.7");
    for number in 0..50 {
        assert_eq!(strangers.wait(source, at(0)), None, "{number}");
        strangers.count(source, at(0));
    }
    assert_eq!(
        strangers.wait(source, at(0)),
        None,
        "the burst is used up, not overdrawn"
    );
    strangers.count(source, at(0));
    assert_eq!(
        strangers.wait(source, at(0)),
        Some(Duration::from_millis(100))
    );
    assert_eq!(
        strangers.wait(source, at(40)),
        Some(Duration::from_millis(60))
    );
    assert_eq!(strangers.wait(source, at(100)), None);
    assert_eq!(
        strangers.wait(ip("192.0.2.8"), at(0)),
        None,
        "others do not wait"
    );
}

#[test]
fn what_was_used_comes_back() {
    let strangers = Strangers::new(1);
    let source = ip("192.0.2.7");
    for _ in 0..6 {
        strangers.count(source, at(0));
    }
    assert_eq!(strangers.wait(source, at(0)), Some(Duration::from_secs(1)));
    for _ in 0..6 {
        strangers.count(source, at(60_000));
    }
    assert_eq!(
        strangers.wait(source, at(60_000)),
        Some(Duration::from_secs(1))
    );
}

#[test]
fn an_ipv6_network_is_one_address() {
    let strangers = Strangers::new(1);
    for number in 0..6 {
        strangers.count(ip(&format!("2001:db8:1:2::{number}")), at(0));
    }
    assert!(strangers.wait(ip("2001:db8:1:2:ffff::1"), at(0)).is_some());
    assert!(strangers.wait(ip("2001:db8:1:3::1"), at(0)).is_none());
    strangers.count(ip("::ffff:192.0.2.7"), at(0));
    for _ in 0..5 {
        strangers.count(ip("192.0.2.7"), at(0));
    }
    assert!(strangers.wait(ip("::ffff:192.0.2.7"), at(0)).is_some());
}
