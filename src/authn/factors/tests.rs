use super::{REGISTERED, factors, registered};

#[track_caller]
fn check(methods: &[&str], expected: i64) {
    assert_eq!(factors(methods), expected, "{methods:?}");
}

#[test]
fn different_kinds_count_and_two_of_one_kind_are_one_factor() {
    check(&[], 0);
    check(&["private_key_jwt"], 1);
    check(&["private_key_jwt", "tls_client_auth"], 1);
    check(&["trusted_issuer"], 1);
    check(&["trusted_issuer", "pwd"], 1);
    check(&["trusted_issuer", "pwd", "pin", "kba"], 1);
    check(&["trusted_issuer", "otp", "hwk", "sms"], 1);
    check(&["trusted_issuer", "pwd", "otp"], 2);
    check(&["trusted_issuer", "face", "hwk"], 2);
    check(&["pwd", "otp", "fpt"], 3);
}

#[test]
fn what_was_exchanged_is_worth_no_more_than_it_was() {
    for (subject, worth) in [
        (["trusted_issuer"].as_slice(), 1),
        (&["trusted_issuer", "pwd"], 1),
        (&["trusted_issuer", "otp"], 1),
        (&["trusted_issuer", "pwd", "otp"], 2),
        (&["trusted_issuer", "mfa"], 2),
    ] {
        check(subject, worth);
        for own in ["private_key_jwt", "tls_client_auth"] {
            check(&[&[own], subject].concat(), worth);
        }
    }
}

#[test]
fn several_factors_that_are_not_named_are_two_at_least() {
    check(&["mfa"], 2);
    check(&["trusted_issuer", "mfa", "pwd"], 2);
    check(&["mfa", "pwd", "otp", "iris"], 3);
}

#[test]
fn what_tells_of_no_factor_adds_none() {
    check(&["pwd", "mca", "rba", "user", "geo", "wia"], 1);
    check(&["something else", "and more"], 1);
}

#[test]
fn the_registered_names_are_known_once_each() {
    assert_eq!(registered("otp"), Some("otp"));
    assert_eq!(registered("OTP"), None);
    assert_eq!(registered("something else"), None);
    assert_eq!(
        registered("private_key_jwt"),
        None,
        "nobody else can say so"
    );
    assert!(REGISTERED.is_sorted_by(|one, other| one.0 < other.0));
}
