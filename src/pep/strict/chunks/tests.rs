use proptest::prelude::*;

use super::*;

const LINES: usize = 3;

/// How far a body goes and whether it is over; the words of a fault are for people.
fn read(bytes: &[u8]) -> Result<(usize, bool), Fault> {
    let mut chunks = Chunks::new(LINES);
    let read = chunks.read(bytes).map_err(without_words)?;
    Ok((read, chunks.is_over()))
}

fn dribble(bytes: &[u8]) -> Result<(usize, bool), Fault> {
    let mut chunks = Chunks::new(LINES);
    let mut all = 0;
    for byte in bytes {
        all += chunks
            .read(std::slice::from_ref(byte))
            .map_err(without_words)?;
    }
    Ok((all, chunks.is_over()))
}

fn without_words(fault: Fault) -> Fault {
    match fault {
        Fault::Malformed(_) => Fault::Malformed(""),
        other => other,
    }
}

/// Reads `body` with something behind it, at once and byte by byte.
fn check(body: impl AsRef<[u8]>, expected: Result<(), Fault>) {
    let body = body.as_ref();
    let shown = String::from_utf8_lossy(body);
    let with_rest = [body, b"GET /next HTTP/1.1\r\n"].concat();
    let expected = expected.map(|()| (body.len(), true));
    assert_eq!(read(&with_rest), expected, "{shown:?}");
    assert_eq!(dribble(&with_rest), expected, "{shown:?}, byte by byte");
}

#[test]
fn bodies() {
    for good in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
        "0000000000000005\r\nhello\r\n0\r\n\r\n",
        "1\r\n\n\r\n1\r\n\r\r\n0\r\n\r\n",
        "0\r\nX-Sum: 1\r\nX-Empty:\r\n\r\n",
    ] {
        check(good, Ok(()));
    }
    for bad in [
        "\r\n",
        "x\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhelloX\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "8000000000000000\r\nhello\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n: x\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\nHost: h\r\n\r\n",
        "0\r\nAuthorization: Bearer x\r\n\r\n",
        "0\r\nPortcullis-Agent: x\r\n\r\n",
        "0\r\nIf-Match: x\r\n\r\n",
    ] {
        check(bad, Err(Fault::Malformed("")));
    }
}

#[test]
fn a_fault_says_what_is_wrong() {
    for (body, words) in [
        ("\r\n", "a chunk has no size"),
        ("5\r\nhello\r\n\r\n", "a chunk has no size"),
        ("x\r\n", "a chunk's size is no hexadecimal number"),
        ("0x5\r\n", "a chunk's size is no hexadecimal number"),
        (
            "00000000000000005\r\n",
            "a chunk's size has more than 16 digits",
        ),
        ("ffffffffffffffff\r\n", "a chunk's size is too large"),
        ("5 \r\n", "a blank stands behind a chunk's size"),
        ("5;a=b\r\n", "chunk extensions are not taken"),
        ("5\nhello\r\n", "a chunk's size line does not end in CR LF"),
        ("5\rhello\r\n", "a chunk's size line does not end in CR LF"),
        ("0\n\r\n", "a chunk's size line does not end in CR LF"),
        (
            "5\r\nhelloX\r\n",
            "a chunk's data is not followed by CR LF where its size ends it",
        ),
        (
            "5\r\nhello\n0\r\n\r\n",
            "a chunk's data is not followed by CR LF where its size ends it",
        ),
        ("0\r\nX: y\n\r\n", "a trailer line ends in CR LF"),
        (
            "0\r\nHost: h\r\n\r\n",
            "a trailer has the name of a header that is read before the body",
        ),
        (
            &format!("0\r\n{}", "A: b\r\n".repeat(LINES + 1)),
            "the request has too many lines of headers or trailers",
        ),
        (
            &format!("0\r\nA: {}", "b".repeat(TRAILER_BYTES)),
            "the request's head, or its trailers, are too large",
        ),
    ] {
        let fault = Chunks::new(LINES).read(body.as_bytes()).unwrap_err();
        assert_eq!(fault.to_string(), words, "{body:?}");
    }
}

#[test]
fn trailers_are_bounded() {
    check(format!("0\r\n{}\r\n", "A: b\r\n".repeat(LINES)), Ok(()));
    check(
        format!("0\r\n{}\r\n", "A: b\r\n".repeat(LINES + 1)),
        Err(Fault::TooManyLines),
    );
    let filled = |length: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(length - 7));
    check(filled(TRAILER_BYTES), Ok(()));
    check(filled(TRAILER_BYTES + 1), Err(Fault::TooLarge));
}

#[test]
fn a_size_may_have_all_its_bits_but_the_first() {
    let mut chunks = Chunks::new(LINES);
    assert_eq!(chunks.read(b"7fffffffffffffff\r\nabc"), Ok(21));
    assert!(!chunks.is_over());
}

fn bodies_with_edits() -> impl Strategy<Value = Vec<u8>> {
    let chunk = prop::collection::vec(any::<u8>(), 1..20);
    let byte = prop::sample::select(b"\r\n\t ;:0159afAFgx\0\x80".to_vec());
    let edit = (any::<prop::sample::Index>(), byte, 0..3_u8);
    let trailers = prop::sample::select(vec!["", "A: b\r\n", "A: b\r\nC:\r\n"]);
    (
        prop::collection::vec(chunk, 0..4),
        trailers,
        prop::collection::vec(edit, 0..3),
    )
        .prop_map(|(chunks, trailers, edits)| {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
            for (at, byte, kind) in edits {
                let at = at.index(body.len());
                match kind {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    _ => drop(body.remove(at)),
                }
            }
            body
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn how_bytes_are_cut_makes_no_difference(
        body in bodies_with_edits(),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = read(&body);
        prop_assert_eq!(dribble(&body), whole);
        let (before, after) = body.split_at(cut.index(body.len() + 1));
        let mut chunks = Chunks::new(LINES);
        let twice = chunks
            .read(before)
            .and_then(|one| Ok(one + chunks.read(after)?))
            .map(|all| (all, chunks.is_over()))
            .map_err(without_words);
        prop_assert_eq!(twice, whole);
    }
}
