use super::*;

fn head(text: &str, to_head: bool) -> Result<Head, Http1Error> {
    read_head(&Bytes::copy_from_slice(text.as_bytes()), to_head)
}

/// What follows from a head: how the content ends, and whether the connection persists.
fn check(lines: &str, expected: (&str, bool)) {
    check_to(false, lines, expected);
}

fn check_to(to_head: bool, lines: &str, expected: (&str, bool)) {
    let head = head(&format!("{lines}\r\n\r\n"), to_head).unwrap();
    let content = match head.content {
        Content::Chunked(_) => "chunked".to_owned(),
        Content::Length(length) => length.to_string(),
        Content::Over => "none".to_owned(),
        Content::UntilClose => "until close".to_owned(),
    };
    assert_eq!((content.as_str(), head.persists), expected, "{lines:?}");
}

#[test]
fn the_head_says_where_the_content_ends() {
    check("HTTP/1.1 200 OK\r\ncontent-length: 5", ("5", true));
    check("HTTP/1.1 200 OK\r\ncontent-length: 0", ("none", true));
    check(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED",
        ("chunked", true),
    );
    check("HTTP/1.1 200 OK", ("until close", false));
    check("HTTP/1.1 200 ", ("until close", false));
    check("HTTP/1.1 200", ("until close", false));
    check("HTTP/1.1 204 No Content", ("none", true));
    check(
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 5",
        ("none", true),
    );
    check(
        "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked",
        ("none", true),
    );
    for lines in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked",
        "HTTP/1.1 404 Not Found",
    ] {
        check_to(true, lines, ("none", true));
    }
}

#[test]
fn doubt_costs_the_connection() {
    check(
        "HTTP/1.1 204 No Content\r\ncontent-length: 5",
        ("none", false),
    );
    check(
        "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked",
        ("none", false),
    );
    check("HTTP/1.0 200 OK\r\ncontent-length: 5", ("5", false));
    check(
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive",
        ("5", false),
    );
    for close in ["close", "Close", "x, close", "x ,\tCLOSE , y"] {
        check(
            &format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: {close}"),
            ("5", false),
        );
    }
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: closed",
        ("5", true),
    );
}

#[test]
fn fields_are_kept_as_they_were() {
    let head = head(
        "HTTP/1.1 299 As It Likes\r\nX-One:  a b\t\r\nx-two:\r\nx-one: c\r\nx-high: \u{e9}\r\n\r\n",
        false,
    );
    let Parts {
        status,
        headers,
        extensions,
        ..
    } = head.unwrap().parts;
    assert_eq!(status, 299);
    let ones: Vec<_> = headers.get_all("x-one").into_iter().collect();
    assert_eq!(ones, ["a b", "c"]);
    assert_eq!(headers["x-two"], "");
    assert_eq!(headers["x-high"].as_bytes(), "\u{e9}".as_bytes());
    let reason = extensions.get::<ReasonPhrase>().unwrap();
    assert_eq!(reason.as_bytes(), b"As It Likes");
}

#[test]
fn a_reason_that_is_the_usual_is_not_said_twice() {
    let head = head("HTTP/1.1 200 OK\r\n\r\n", false).unwrap();
    assert!(head.parts.extensions.is_empty());
}

#[test]
fn interim_answers_have_no_content() {
    check("HTTP/1.1 103 Early Hints\r\nlink: </a>", ("none", true));
    check(
        "HTTP/1.1 101 Switching Protocols\r\ncontent-length: 0",
        ("none", true),
    );
    for lines in ["content-length: 5", "transfer-encoding: chunked"] {
        let error = head(&format!("HTTP/1.1 100 Continue\r\n{lines}\r\n\r\n"), false);
        let error = error.unwrap_err();
        assert!(
            matches!(error, Http1Error::Fault(Fault::AnswerLength)),
            "{error:?}"
        );
    }
}

#[test]
fn what_is_not_a_head_is_refused() {
    for text in [
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname : value\r\n\r\n",
        "HTTP/1.1 200 OK\r\n name: value\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname: value\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname\r\n\r\n",
        "HTTP/1.1 200 OK\r\nna(me: value\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname: va\x7flue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname: va\rlue\r\n\r\n",
    ] {
        let error = head(text, false).unwrap_err();
        assert!(
            matches!(error, Http1Error::Malformed(_)),
            "{text:?} {error:?}"
        );
    }
}
