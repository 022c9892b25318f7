use proptest::prelude::*;

use super::*;

/// The secret of RFC 6238, appendix B.
fn secret() -> TotpSecret {
    TotpSecret(*b"12345678901234567890")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// RFC 6238, appendix B: the last six of the eight digits.
#[test]
fn codes_are_those_of_the_standard() {
    for (second, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        let step = u64::try_from(second / STEP).unwrap();
        assert_eq!(secret().step_of(code, at(second)), Some(step), "{code}");
    }
}

#[test]
fn a_code_is_good_for_its_step_and_one_around_it() {
    let good = |second| secret().step_of("287082", at(second));
    assert_eq!(good(29), Some(1));
    assert_eq!(good(0), Some(1));
    assert_eq!(good(89), Some(1));
    assert_eq!(good(90), None);
    assert_eq!(good(-1_000), None);
}

#[test]
fn only_six_digits_are_a_code() {
    for text in [
        "", "28708", "2870820", "+28708", " 28708", "２87082", "28708a",
    ] {
        assert_eq!(secret().step_of(text, at(59)), None, "{text}");
    }
}

#[test]
fn apps_are_told_everything_they_need() {
    let url = otpauth_url(&secret(), "Portcullis gate", "ana@example.com");
    assert_eq!(
        url.expose(),
        "otpauth://totp/Portcullis%20gate:ana%40example.com\
         ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Portcullis%20gate\
         &algorithm=SHA1&digits=6&period=30"
    );
}

proptest! {
    #[test]
    fn secrets_read_back(bytes: [u8; LENGTH]) {
        let text = TotpSecret(bytes).to_base32();
        prop_assert_eq!(TotpSecret::from_base32(text.expose()).unwrap().0, bytes);
    }

    #[test]
    fn other_texts_are_no_secret(text in "[A-Z2-7=a-z]{0,40}") {
        if let Some(secret) = TotpSecret::from_base32(&text) {
            let again = secret.to_base32();
            prop_assert_eq!(again.expose(), &text);
        }
    }
}
