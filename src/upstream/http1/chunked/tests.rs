use super::*;

/// The data, or the error; all must have been read.
fn check(text: &str, expected: Result<&str, &str>) {
    let found = read(text).map_err(|error| error.to_string());
    let expected = expected.map(str::to_owned).map_err(str::to_owned);
    assert_eq!(found, expected, "{text:?}");
}

fn read(text: &str) -> Result<String, Http1Error> {
    let mut chunked = Chunked::new();
    let mut bytes = BytesMut::from(text);
    let mut data = Vec::new();
    loop {
        match chunked.next(&mut bytes)? {
            Chunk::Data(piece) => data.extend_from_slice(&piece),
            Chunk::Trailers(trailers) => {
                for (name, value) in &trailers {
                    data.extend_from_slice(
                        format!("[{name}={}]", value.to_str().unwrap()).as_bytes(),
                    );
                }
            }
            Chunk::End => break,
            Chunk::More => {
                assert!(bytes.is_empty() || matches!(chunked.place, Place::Trailers));
                data.extend_from_slice(b"...");
                break;
            }
        }
    }
    if chunked.is_over() {
        data.extend_from_slice(&bytes);
    }
    Ok(String::from_utf8(data).unwrap())
}

#[test]
fn chunks_are_taken_apart() {
    check("5\r\nhello\r\n0\r\n\r\n", Ok("hello"));
    check(
        "1\r\na\r\n00a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
        Ok("a01234567890123456789"),
    );
    check("0\r\n\r\n", Ok(""));
    check(
        "2\r\nok\r\n0\r\nx-sum: 1\r\nx-other: 2\r\n\r\n",
        Ok("ok[x-sum=1][x-other=2]"),
    );
    // What stands behind the end is not the answer's.
    check("2\r\nok\r\n0\r\n\r\nHTTP/1.1", Ok("okHTTP/1.1"));
}

#[test]
fn extensions_are_passed_over() {
    check("2;a=b\r\nok\r\n0;c\r\n\r\n", Ok("ok"));
    check("2 ;a=\"b; c\"\r\nok\r\n0\r\n\r\n", Ok("ok"));
}

#[test]
fn what_is_cut_off_is_never_an_end() {
    for text in [
        "",
        "2",
        "2\r",
        "2\r\n",
        "0",
        "0\r",
        "0\r\n",
        "0\r\n\r",
        "0\r\nx: y\r\n",
        "2;",
    ] {
        check(text, Ok("..."));
    }
    check("5\r\nhel", Ok("hel..."));
    check("2\r\nok", Ok("ok..."));
    check("2\r\nok\r\n", Ok("ok..."));
}

#[test]
fn odd_sizes_are_refused() {
    let number = Err("what came is not HTTP/1.1: a chunk's size is not a number");
    for text in [
        "\r\n", "+5\r\n", "-5\r\n", " 5\r\n", "0x5\r\n", "g\r\n", ";\r\n", "5_0\r\n", "\n",
    ] {
        check(text, number);
    }
    let blank = Err("what came is not HTTP/1.1: a chunk's size ends in a blank");
    check("5 \r\nhello", blank);
    check("5\t5\r\nhello", blank);
    check(
        "00000000000000005\r\nhello",
        Err("what came is not HTTP/1.1: a chunk's size is too long"),
    );
    check("ffffffffffffffff\r\na", Ok("a..."));
}

#[test]
fn lines_end_in_cr_lf() {
    let end = Err("what came is not HTTP/1.1: a chunk ends in CR LF");
    for text in [
        "5\rx",
        "2\r\nokx",
        "2\r\nok\n",
        "2\r\nok\rx",
        "2\r\nok0\r\n\r\n",
    ] {
        check(text, end);
    }
    check(
        "5\n",
        Err("what came is not HTTP/1.1: a chunk's size is not a number"),
    );
    let control = Err("what came is not HTTP/1.1: a chunk's extension has a control character");
    for text in ["5;a\nhello", "5;\"a\n\"\r\n", "5;\0\r\n", "5;\x7f\r\n"] {
        check(text, control);
    }
    let line = Err("what came is not HTTP/1.1: a line ends in CR LF");
    check("0\r\n\n", line);
    check("0\r\nx: y\n\r\n", line);
}

#[test]
fn extensions_have_a_limit() {
    let most = EXTENSION_BYTES as usize;
    let text = |length: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(length - 1));
    check(&text(most), Ok("a"));
    let error = Err("what came is not HTTP/1.1: the chunks' extensions are too large");
    check(&text(most + 1), error);
    check(&"1;x\r\na\r\n".repeat(most / 2 + 1), error);
}

#[test]
fn trailers_are_fields_that_frame_nothing() {
    check(
        "0\r\nhost: evil\r\ncontent-length: 5\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n",
        Ok("[x=y]"),
    );
    check("0\r\ncontent-length: 5\r\n\r\n", Ok(""));
    check(
        "0\r\n folded: x\r\n\r\n",
        Err("what came is not HTTP/1.1: a header's name is none"),
    );
    check(
        "0\r\nx : y\r\n\r\n",
        Err("what came is not HTTP/1.1: a header's name is none"),
    );
    check(
        &format!("0\r\n{}\r\n", "x: y\r\n".repeat(101)),
        Err("the answer has too many header lines"),
    );
    check(
        &format!("0\r\nx: {}", "y".repeat(64 * 1024)),
        Err("the head of the answer is too large"),
    );
}
