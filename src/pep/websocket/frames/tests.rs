use super::*;

/// The place after each byte of `bytes`, however they are cut.
fn check(bytes: &[u8], expected: Place) {
    for cut in 0..=bytes.len() {
        let mut frames = Frames::default();
        let (before, after) = bytes.split_at(cut);
        frames.pass(before);
        frames.pass(after);
        assert_eq!(frames.place(), expected, "{bytes:?} cut at {cut}");
    }
    let mut frames = Frames::default();
    bytes.chunks(1).for_each(|byte| frames.pass(byte));
    assert_eq!(frames.place(), expected, "{bytes:?} byte by byte");
}

fn frame(first: u8, length: &[u8], payload: usize) -> Vec<u8> {
    [&[first], length, &vec![0x88; payload]].concat()
}

#[test]
fn between_and_within() {
    check(b"", Place::Between);
    check(&[0x81], Place::Within);
    check(&[0x81, 2, b'h'], Place::Within);
    check(&[0x81, 2, b'h', b'i'], Place::Between);
    check(&[0x89, 0], Place::Between);
    check(&frame(0x82, &[126, 0, 126], 126), Place::Between);
    check(&frame(0x82, &[126, 0, 126], 125), Place::Within);
    check(
        &frame(0x82, &[127, 0, 0, 0, 0, 0, 0, 1, 0], 256),
        Place::Between,
    );
    check(&frame(0x82, &[127, 0, 0, 0, 0, 0, 0, 1], 0), Place::Within);
    // A mask is of no length, and servers send none.
    check(&frame(0x82, &[0x82, 1, 2, 3, 4], 2), Place::Between);
    check(
        &[frame(0x01, &[1], 1), frame(0x80, &[1], 1)].concat(),
        Place::Between,
    );
}

#[test]
fn nothing_comes_behind_a_close() {
    check(&[0x88, 0], Place::Closed);
    check(&[0x88, 2, 3], Place::Within);
    check(&[0x88, 2, 3, 232], Place::Closed);
}

#[test]
fn a_length_that_never_ends_is_within() {
    check(
        &frame(0x82, &[127, 255, 255, 255, 255, 255, 255, 255, 255], 9),
        Place::Within,
    );
}

#[test]
fn a_close_frame_is_whole_and_short() {
    let frame = close(CloseCode::PolicyViolation, "revoked");
    assert_eq!(frame, b"\x88\x09\x03\xf0revoked");
    check(&frame, Place::Closed);
    let long = close(CloseCode::GoingAway, &"x".repeat(500));
    assert_eq!(long.len(), 127);
    check(&long, Place::Closed);
}
