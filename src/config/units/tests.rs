use proptest::prelude::*;

use super::*;

fn check_duration(text: &str, millis: Option<u64>) {
    assert_eq!(
        duration(text).ok(),
        millis.map(Duration::from_millis),
        "{text:?}"
    );
}

fn check_size(text: &str, bytes: Option<u64>) {
    assert_eq!(size(text).ok(), bytes, "{text:?}");
}

#[test]
fn durations_are_read_as_people_write_them() {
    check_duration("15m", Some(900_000));
    check_duration("1h30m", Some(5_400_000));
    check_duration("45s", Some(45_000));
    check_duration("1d2h3m4s5ms", Some(93_784_005));
    check_duration("90", Some(90_000));
    check_duration("0s", Some(0));
    for odd in [
        "", "m", "5 m", "5m1h", "1m1m", "-5m", "1.5h", "5min", "5M", "\u{665}m",
    ] {
        check_duration(odd, None);
    }
    assert_eq!(duration("367d"), Err(UnitError::Long("367d".into())));
    let vast = "99999999999999999999d";
    assert_eq!(duration(vast), Err(UnitError::Long(vast.into())));
}

#[test]
fn sizes_are_read_as_people_write_them() {
    check_size("512", Some(512));
    check_size("64KiB", Some(65_536));
    check_size("64 KiB", Some(65_536));
    check_size("10MB", Some(10_000_000));
    check_size("1GiB", Some(1 << 30));
    for odd in [
        "",
        "KiB",
        "1.5MB",
        "-1",
        "64kib",
        "1 K",
        "9223372036854775808",
        "9000000TiB",
    ] {
        check_size(odd, None);
    }
}

proptest! {
    #[test]
    fn nothing_that_is_read_overflows(text in "[0-9]{0,22}[a-zA-Z ]{0,3}[0-9]{0,22}[a-z]{0,2}") {
        if let Ok(read) = duration(&text) {
            prop_assert!(read <= LONGEST);
        }
        if let Ok(read) = size(&text) {
            prop_assert!(i64::try_from(read).is_ok());
        }
    }
}
