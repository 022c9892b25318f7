use super::*;
use tokio::io::AsyncWriteExt as _;

const PATIENCE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(20);

/// What is made of `pieces`, and that not a byte of them is lost.
async fn check(pieces: &[&[u8]], http2: bool) {
    let (mut client, server) = tokio::io::duplex(64);
    let sent = pieces.concat();
    let sending = async {
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
    };
    let reading = async {
        let begun = begins(server, PATIENCE, PATIENCE).await.unwrap();
        let (mut stream, is_http2) = begun.expect("something came");
        assert_eq!(is_http2, http2, "{sent:?}");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, sent);
    };
    tokio::join!(sending, reading);
}

#[tokio::test]
async fn the_first_bytes_tell() {
    check(&[PREFACE, b"more"], true).await;
    let single: Vec<&[u8]> = PREFACE.chunks(1).collect();
    check(&single, true).await;
    check(&[b"GET / HTTP/1.1\r\n\r\n"], false).await;
    check(&[b"P", b"OST / HTTP/1.1\r\n\r\n"], false).await;
    check(&[b"PRI * HTTP/1.1\r\n\r\n"], false).await;
    check(&[&PREFACE[..23], b"x"], false).await;
    check(&[&PREFACE[..5]], false).await;
}

#[tokio::test]
async fn who_says_nothing_or_not_enough_is_not_waited_for() {
    for said in [&b""[..], &PREFACE[..7]] {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(said).await.unwrap();
        let begun = begins(server, SHORT, SHORT).await.unwrap();
        assert!(begun.is_none(), "{said:?}");
    }
    let (client, server) = tokio::io::duplex(64);
    drop(client);
    assert!(begins(server, PATIENCE, PATIENCE).await.unwrap().is_none());
}
