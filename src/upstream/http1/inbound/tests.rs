use proptest::prelude::*;

use super::*;
use crate::upstream::http1::tests::{answers, mutated};

/// All that comes of bytes that arrive in these pieces, before the other side says no more.
fn read(pieces: &[&[u8]], to_head: bool) -> Result<Vec<u8>, (Vec<u8>, String)> {
    let mut said = Vec::new();
    let read = read_into(&mut said, pieces, to_head);
    match read {
        Ok(()) => Ok(said),
        Err(error) => Err((said, error.to_string())),
    }
}

fn read_into(said: &mut Vec<u8>, pieces: &[&[u8]], to_head: bool) -> Result<(), Http1Error> {
    let mut inbound = Inbound::new();
    let mut pieces = pieces.iter();
    let answer = loop {
        if let Some(answer) = inbound.head(to_head)? {
            break answer;
        }
        match pieces.next() {
            Some(piece) => inbound.feed(piece),
            None => return Err(Http1Error::Unanswered),
        }
    };
    said.extend_from_slice(format!("{:?} {}\n", answer.parts, answer.persists).as_bytes());
    loop {
        let is_over = inbound.is_over();
        match inbound.next()? {
            Step::End => break,
            Step::Frame(frame) => {
                assert!(!is_over, "a frame came behind the end");
                match frame.into_data() {
                    Ok(data) => said.extend_from_slice(&data),
                    Err(frame) => {
                        said.extend_from_slice(format!("{:?}", frame.trailers_ref()).as_bytes());
                    }
                }
            }
            Step::More => match pieces.next() {
                Some(piece) => inbound.feed(piece),
                None => inbound.end()?,
            },
        }
    }
    assert!(inbound.is_over());
    for piece in pieces {
        inbound.feed(piece);
    }
    let surplus = inbound.into_bytes();
    said.extend_from_slice(format!("\nsurplus {surplus:?}").as_bytes());
    Ok(())
}

/// `bytes` in pieces that end at `cuts`.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts {
        pieces.push(&bytes[from..cut]);
        from = cut;
    }
    pieces.push(&bytes[from..]);
    pieces
}

proptest! {
    #[test]
    fn what_bytes_mean_does_not_hang_on_how_they_come(
        answer in prop_oneof![answers(), mutated()],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        to_head in any::<bool>(),
    ) {
        let whole = read(&[&answer], to_head);
        prop_assert_eq!(&read(&pieces(&answer, &cuts), to_head), &whole);
        let single: Vec<_> = answer.chunks(1).collect();
        prop_assert_eq!(&read(&single, to_head), &whole);
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _read = read(&[&bytes], false);
    }
}

#[test]
fn every_cut_of_one_answer_is_seen() {
    let answer =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n";
    read(&[answer], false).unwrap();
    for end in 0..answer.len() {
        let (_, error) = read(&[&answer[..end]], false).unwrap_err();
        assert!(error.contains("the connection ended"), "{end}: {error}");
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
    for end in 0..answer.len() {
        let (_, error) = read(&[&answer[..end]], false).unwrap_err();
        assert!(error.contains("the connection ended"), "{end}: {error}");
    }
}

#[test]
fn interim_answers_pass_unseen_but_not_without_end() {
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let last = "HTTP/1.1 204 No Content\r\n\r\n";
    let text = |count| format!("{}{last}", interim.repeat(count));
    let read = |text: String| read(&[text.as_bytes()], false);
    let said = read(text(100)).unwrap();
    assert!(String::from_utf8(said).unwrap().contains("status: 204"));
    let (_, error) = read(text(101)).unwrap_err();
    assert_eq!(error, "it sends interim answers without end");
}

#[test]
fn a_head_that_never_ends_is_too_large() {
    let mut inbound = Inbound::new();
    inbound.feed(b"HTTP/1.1 200 OK\r\nx: ");
    for _ in 0..HEAD_BYTES / 64 {
        assert!(inbound.head(false).unwrap().is_none());
        inbound.feed(&[b'y'; 64]);
    }
    let error = inbound.head(false).unwrap_err();
    assert!(
        matches!(error, Http1Error::Fault(Fault::AnswerHeadTooLarge)),
        "{error:?}"
    );
}

#[test]
fn memory_grows_with_what_comes_and_shrinks_between_exchanges() {
    let mut inbound = Inbound::new();
    for expected in [16, 32, 64, 64] {
        let room = inbound.room();
        let room = room.capacity() - room.len();
        inbound.filled(room, room);
        assert_eq!(inbound.piece, expected * 1024);
    }
    inbound.rest();
    assert_eq!(inbound.piece, PIECE);
    assert_eq!(inbound.bytes.capacity(), 0);
}
