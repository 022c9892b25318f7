use proptest::prelude::*;

use super::*;

fn check(segment: &str, expected: impl Into<Result<&'static str, SegmentError>>) {
    let expected = expected.into();
    let spelt = canonical_segment(segment);
    assert_eq!(spelt.as_deref(), expected.as_ref().copied(), "{segment:?}");
}

#[test]
fn a_segment_has_one_spelling() {
    check("", Ok(""));
    check("orders", Ok("orders"));
    check("a:b@c", Ok("a:b@c"));
    check("%6frders", Ok("orders"));
    check("%24", Ok("$"));
    check("caf%c3%a9", Ok("caf%C3%A9"));
    check("a%20b", Ok("a%20b"));
    check("...a", Ok("...a"));
}

#[test]
fn what_servers_read_differently_is_refused() {
    check("..", Err(SegmentError::Dots));
    check("%2e%2E", Err(SegmentError::Dots));
    check(".%2e", Err(SegmentError::Dots));
    check("a.", Err(SegmentError::Ending));
    check("a%2e", Err(SegmentError::Ending));
    check("a%20", Err(SegmentError::Ending));
    check("a%2Fb", Err(SegmentError::Encoded("%2F".into())));
    check("a%5cb", Err(SegmentError::Encoded("%5C".into())));
    check("a%00", Err(SegmentError::Encoded("%00".into())));
    check("a%252e", Err(SegmentError::Encoded("%25".into())));
    check("a%3bb", Err(SegmentError::Encoded("%3B".into())));
    check("a;b", Err(SegmentError::Character(';')));
    check("a\\b", Err(SegmentError::Character('\\')));
    check("a#b", Err(SegmentError::Character('#')));
    check("caf\u{e9}", Err(SegmentError::Character('\u{e9}')));
    check("a%2", Err(SegmentError::Escape));
    check("a%+1", Err(SegmentError::Escape));
    check("%c0%ae", Err(SegmentError::Utf8));
    check("%ff", Err(SegmentError::Utf8));
}

proptest! {
    #[test]
    fn the_canonical_spelling_is_stable_and_means_the_same(segment in "[a-zA-Z0-9.~:@%2e5fFcCaA]{0,12}") {
        if let Ok(spelt) = canonical_segment(&segment) {
            let again = canonical_segment(&spelt);
            prop_assert_eq!(again.as_deref(), Ok(spelt.as_ref()));
            prop_assert_eq!(decoded(&spelt), decoded(&segment));
        }
    }
}
