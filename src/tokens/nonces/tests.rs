use super::*;

fn at(seconds: u64) -> BootInstant {
    BootInstant::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn a_nonce_is_good_for_one_to_two_periods_and_never_again() {
    let nonces = Nonces::new();
    let nonce = nonces.current(at(3_029));
    let check = |now, expected| assert_eq!((now, nonces.end(&nonce, at(now))), (now, expected));
    check(3_000, Some(at(3_060)));
    check(3_029, Some(at(3_060)));
    check(3_059, Some(at(3_060)));
    check(3_060, None);
    check(9_000, None);
    // Nobody has one that is not given out yet.
    check(2_999, None);
}

#[test]
fn only_its_maker_knows_a_nonce() {
    let nonces = Nonces::new();
    let now = at(3_000);
    let nonce = nonces.current(now);
    assert_eq!(Nonces::new().end(&nonce, now), None);
    for forged in [
        "",
        "x",
        "AAAA",
        nonce.strip_prefix(|_| true).unwrap(),
        &format!("{nonce}A"),
        &format!("{nonce}="),
    ] {
        assert_eq!((forged, nonces.end(forged, now)), (forged, None));
    }
    assert_ne!(nonce, nonces.current(at(3_030)));
    assert_eq!(nonces.end(&nonce, at(0)), None);
}
