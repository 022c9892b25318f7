use super::*;

#[test]
fn a_span_is_whole_seconds_and_not_nothing() {
    for (text, expected) in [
        ("90s", Some(90)),
        ("10m", Some(600)),
        ("1h30m", Some(5400)),
        ("1h 30m", Some(5400)),
        ("2d", None),
        ("0s", None),
        ("-5m", None),
        ("1500ms", None),
        ("10", None),
        ("ten minutes", None),
    ] {
        let seconds = text.parse::<Seconds>().ok();
        assert_eq!(seconds.map(|seconds| seconds.0), expected, "{text}");
    }
}
