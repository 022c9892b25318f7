use super::*;

fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
    let size = u32::try_from(length).unwrap().to_be_bytes();
    let mut bytes = size[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(vec![0xee; length]);
    bytes
}

fn client(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE.to_vec(), frames.concat()].concat()
}

/// What `bytes` come to, in pieces of any size.
#[track_caller]
fn check(bytes: &[u8], idle: u32, last_stream: u32) {
    for size in [1, 2, 3, 7, 8, 9, 10, 64, bytes.len()] {
        let mut frames = Frames::of_client();
        let passed = bytes.chunks(size).map(|piece| frames.pass(piece));
        assert_eq!(
            passed.map(|passed| passed.idle).sum::<u32>(),
            idle,
            "{size}"
        );
        assert!(frames.is_between(), "in pieces of {size}");
        assert!(!frames.is_begun());
        assert_eq!(frames.last_stream(), last_stream);
    }
}

#[test]
fn frames_that_bring_something_cost_nothing() {
    let frames = [
        frame(SETTINGS, ACK, 0, 0),
        frame(HEADERS, END_HEADERS, 1, 40),
        frame(DATA, 0, 1, 1000),
        frame(DATA, END_STREAM, 1, 0),
        frame(HEADERS, END_HEADERS | END_STREAM, 3, 20),
        frame(PING, ACK, 0, 8),
        frame(WINDOW_UPDATE, 0, 0, 4),
        frame(GOAWAY, 0, 0, 8),
    ];
    check(&client(&frames), 0, 3);
}

#[test]
fn frames_that_bring_nothing_are_counted() {
    let frames = [
        frame(SETTINGS, 0, 0, 6),
        frame(PING, 0, 0, 8),
        frame(2, 0, 1, 5),
        frame(3, 0, 1, 4),
        frame(DATA, 0, 1, 0),
        frame(HEADERS, 0, 5, 10),
        frame(CONTINUATION, 0, 5, 0),
        frame(CONTINUATION, END_HEADERS, 5, 10),
        frame(0xee, 0, 0, 3),
    ];
    check(&client(&frames), 8, 5);
}

#[test]
fn pieces_of_bodies_are_counted() {
    let mut frames = Frames::of_server();
    let bytes = [
        frame(DATA, 0, 1, 10),
        frame(HEADERS, END_HEADERS, 1, 10),
        frame(DATA, END_STREAM, 1, 1),
        frame(DATA, END_STREAM, 3, 0),
    ];
    assert_eq!(frames.pass(&bytes.concat()).data, 2);
}

#[test]
fn what_has_begun_is_told_from_a_pause() {
    let mut frames = Frames::of_client();
    assert!(frames.is_begun(), "the preface is still to come");
    assert!(!frames.pass(&PREFACE[..10]).finished);
    assert!(frames.is_begun());
    assert!(frames.pass(&PREFACE[10..]).finished);
    assert!(!frames.is_begun());

    let head = frame(HEADERS, 0, 1, 4);
    let passed = frames.pass(&head);
    assert!(passed.opened && !passed.finished, "its block goes on");
    assert!(frames.is_begun() && !frames.is_between());
    let rest = frame(CONTINUATION, END_HEADERS, 1, 4);
    assert!(!frames.pass(&rest[..12]).finished);
    assert!(frames.pass(&rest[12..]).finished);
    assert!(!frames.is_begun());

    let data = frame(DATA, 0, 1, 100);
    frames.pass(&data[..5]);
    assert!(frames.is_begun(), "a frame's head");
    frames.pass(&data[5..50]);
    assert!(!frames.is_begun() && !frames.is_between(), "a body");
    frames.pass(&data[50..]);
    assert!(frames.is_between());
}

#[test]
fn a_finished_frame_before_a_begun_one_is_noticed() {
    let mut frames = Frames::of_server();
    let mut bytes = frame(SETTINGS, 0, 0, 6);
    bytes.extend(&frame(PING, 0, 0, 8)[..4]);
    assert!(frames.pass(&bytes).finished);
    assert!(frames.is_begun());
}

#[test]
fn the_reason_of_a_reset_is_replaced_however_the_bytes_come() {
    let reset = |reason: u8| {
        let mut reset = frame(RST_STREAM, 0, 1, 4);
        reset.truncate(HEAD);
        reset.extend([0, 0, 0, reason]);
        reset
    };
    let mut data = frame(DATA, 0, 1, 4);
    data.fill(8);
    data[..HEAD].copy_from_slice(&frame(DATA, 0, 1, 4)[..HEAD]);
    let sent = |reason| {
        [
            data.clone(),
            reset(reason),
            reset(0),
            data.clone(),
            reset(reason),
        ]
    };
    let (sent, expected) = (sent(8).concat(), sent(2).concat());
    for size in [1, 2, 5, 9, 10, 12, 13, 64, sent.len()] {
        let mut frames = Frames::of_server();
        let mut bytes = sent.clone();
        for piece in bytes.chunks_mut(size) {
            frames.replace_reason(piece, 8, 2);
            frames.pass(piece);
        }
        assert_eq!(bytes, expected, "in pieces of {size}");
        assert!(frames.is_between());
    }
}
