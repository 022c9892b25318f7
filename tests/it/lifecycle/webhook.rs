//! People are told out of band.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{plan, post};
use crate::harness::{eventually, run};

/// A receiver that answers each of `statuses` in turn, then 200, and keeps what it got.
async fn receiver(statuses: &'static [u16]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let got = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&got);
    tokio::spawn(async move {
        let mut statuses = statuses.iter().copied();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let mut piece = [0; 4096];
            while !is_whole(&text) {
                let count = stream.read(&mut piece).await.unwrap();
                assert_ne!(count, 0, "a request breaks off: {text}");
                text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
            }
            keep.lock().unwrap().push(text);
            let status = statuses.next().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, got)
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = header(head, "content-length").parse::<usize>().unwrap();
    body.len() == length
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no `{name}` in {head}")).1
}

#[test]
fn a_request_that_waits_is_told_of_signed_and_until_it_is_heard() {
    run(async {
        let (url, got) = receiver(&[503]).await;
        let plan = plan();
        // A path that is absolute, as the settings want it.
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "s3cret\n").unwrap();
        let settings = format!(
            "[notify]\nwebhook = {{ url = {url:?}, secret_from = \"file:{}\" }}",
            secret.path().display()
        );
        let gate = plan.settings(&settings).start().await;
        let work = gate.agent("bot").opens().await;
        let ask = json!({ "task": work.task, "entitlement": "reviewed", "reason": "order 7" });
        let request = post(&gate, &work.token, "/v1/requests", &ask)
            .await
            .expect(202)
            .json();
        let told = eventually("the second try", || got.lock().unwrap().get(1).cloned()).await;
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook HTTP/1.1"), "{head}");
        let document: Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["type"], "request.pending");
        assert_eq!(document["request"]["id"], request["id"]);
        assert_eq!(document["request"]["reason"], "order 7");

        let signature = header(head, "portcullis-signature");
        let (time, tag) = signature.split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
        let expected = hmac::sign(&key, format!("{time}.{body}").as_bytes());
        let expected: String = expected
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(tag, expected);
    });
}
