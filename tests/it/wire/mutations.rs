//! Good requests with requests hidden in them, damaged at random: whatever the damage, the upstream sees
//! nothing that was not meant as a request and authorised as one.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::Gateway;

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// The hidden requests have no token: if one is ever taken for a request, it is refused, so what the
/// upstream may see of it is nothing.
fn attacks(token: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let length = HIDDEN.len();
    let head = |line: &str, lines: &str| {
        format!("{line}\r\nHost: h\r\nAuthorization: Bearer {token}\r\n{lines}\r\n")
    };
    let get = head("GET /get HTTP/1.1", "");
    let post = head(
        "POST /post HTTP/1.1",
        &format!("Content-Length: {length}\r\n"),
    );
    let chunked = head("PUT /put HTTP/1.1", "Transfer-Encoding: chunked\r\n");
    let request = prop::sample::select(vec![
        get,
        format!("{post}{HIDDEN}"),
        format!("{chunked}{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
    ]);
    let insert = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        " ",
        "0",
        "1",
        ";",
        "\0",
        ":",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "0\r\n\r\n",
        ";a=\"",
        HIDDEN,
    ]);
    let edit = (any::<prop::sample::Index>(), insert, 0..3_usize);
    (
        prop::collection::vec(request, 1..4),
        prop::collection::vec(edit, 0..4),
    )
        .prop_map(|(requests, edits)| {
            let mut bytes = requests.concat().into_bytes();
            for (at, text, removed) in edits {
                let at = at.index(bytes.len());
                let end = (at + removed).min(bytes.len());
                bytes.splice(at..end, text.bytes());
            }
            bytes
        })
}

#[test]
fn no_request_is_smuggled() {
    let gateway = Gateway::start();
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&attacks(&gateway.token), |bytes| {
            let mut client = gateway.connect();
            client.send(&bytes);
            client.stop_sending();
            let mut allowed = 0;
            while let Some(answer) = client.answer() {
                allowed += usize::from(answer.status == 200);
                prop_assert!(
                    matches!(answer.status, 200 | 400 | 401 | 404),
                    "{}",
                    answer.status
                );
            }
            prop_assert!(allowed <= 3);
            Ok(())
        })
        .unwrap();
    for seen in gateway.upstream.all() {
        assert!(!seen.target.contains("smuggled"), "{seen:?}");
        assert_eq!(seen.values("portcullis-agent"), ["bot"], "{seen:?}");
    }
    let all = gateway.upstream.all();
    let whole = all.iter().filter(|seen| seen.whole).count();
    assert!(whole > 0);
    let records = gateway.stop();
    let allowed = records.iter().filter(|record| record["verdict"] == "allow");
    assert!(whole <= allowed.count(), "each was authorised");
}
