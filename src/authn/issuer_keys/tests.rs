use std::sync::atomic::AtomicUsize;

use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::tokens::{Algorithm, SigningKey};

/// A key server that counts what it is asked.
struct Server {
    url: Uri,
    served: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: impl Fn() -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let served = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&served);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                answer_once(stream, &answer()).await;
            }
        });
        Self {
            url: url.parse().unwrap(),
            served,
            task,
        }
    }

    fn keys(&self) -> IssuerKeys {
        IssuerKeys::new(TrustedIssuer {
            issuer: "https://idp.example".to_owned(),
            keys: KeySource::Url {
                url: self.url.clone(),
                ca: None,
            },
            audience: "https://gate.example".to_owned(),
            agent_claim: "sub".to_owned(),
            task_claim: None,
            mfa_acr: Default::default(),
        })
    }

    fn count(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer_once(mut stream: TcpStream, answer: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    // A reader that has enough goes away in the middle.
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn clock() -> (Clock, crate::base::ManualClock) {
    Clock::manual(Timestamp::from_second(1_800_000_000).unwrap())
}

fn jwks() -> String {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    json!({ "keys": [key.public_jwk()] }).to_string()
}

async fn read(answer: String) -> (Result<(), FetchError>, usize) {
    let server = Server::start(move || answer.clone()).await;
    let keys = server.keys();
    let outcome = keys.read_once(&mut Digest::ZERO.clone(), &clock().0).await;
    let usable = keys.keys().keys().len();
    assert_eq!(server.count(), 1);
    (outcome, usable)
}

#[tokio::test]
async fn a_key_set_is_got_over_http() {
    let (outcome, usable) = read(ok(&jwks())).await;
    outcome.unwrap();
    assert_eq!(usable, 1);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = Server::start(|| ok(&jwks())).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let location = &elsewhere.url;
        let answer =
            format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let (outcome, usable) = read(answer).await;
        assert!(matches!(outcome, Err(FetchError::Status(_))), "{outcome:?}");
        assert_eq!(usable, 0);
    }
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn what_is_no_key_set_of_a_bearable_size_is_not_taken() {
    let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "a".repeat(300 * 1024));
    let (outcome, _) = read(ok(&large)).await;
    assert!(matches!(outcome, Err(FetchError::TooLarge)), "{outcome:?}");
    // Nor one that does not say how large it is.
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{large}");
    let (outcome, _) = read(endless).await;
    assert!(matches!(outcome, Err(FetchError::TooLarge)), "{outcome:?}");
    let (outcome, _) = read(ok("no key set")).await;
    assert!(matches!(outcome, Err(FetchError::Keys(_))), "{outcome:?}");
    let (outcome, _) = read("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    assert!(matches!(outcome, Err(FetchError::Status(_))), "{outcome:?}");
    let (outcome, _) = read("garbage\r\n\r\n".to_owned()).await;
    assert!(matches!(outcome, Err(FetchError::Http(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_url_without_tls_is_this_machines_alone() {
    for url in [
        "http://idp.example/jwks.json",
        "http://10.0.0.1/jwks.json",
        "/jwks.json",
    ] {
        let url: Uri = url.parse().unwrap();
        let refused = fetch(&url, None, clock().0).await;
        assert!(matches!(refused, Err(FetchError::Url(_))), "{url}");
    }
}

/// Waits for a set that differs from the last; nothing of the reading is left to do then.
async fn has_read(keys: &IssuerKeys, sets: u64) {
    while keys.epoch() < sets {
        tokio::task::yield_now().await;
    }
}

/// However many tokens name keys that nobody knows, the key server is asked once in a while.
#[tokio::test]
async fn unknown_keys_cause_one_reading_in_a_while() {
    let server = Server::start(|| ok(&jwks())).await;
    let (clock, hand) = clock();
    let keys = Arc::new(server.keys());
    let task = tokio::spawn(Arc::clone(&keys).keep_fresh(clock));
    has_read(&keys, 1).await;
    for round in 1..4 {
        for _ in 0..1000 {
            keys.refresh_soon();
        }
        // Not before the pause is over, and then once for all of them.
        hand.advance(LEAST_PAUSE - Duration::from_secs(1));
        assert_eq!(settled(&server).await, usize::try_from(round).unwrap());
        hand.advance(Duration::from_secs(1));
        has_read(&keys, round + 1).await;
    }
    // Nobody asks, so nothing is read before its time.
    hand.advance(LEAST_PAUSE);
    assert_eq!(settled(&server).await, 4);
    hand.advance(REFRESH_URL - LEAST_PAUSE);
    has_read(&keys, 5).await;
    task.abort();
}

/// How much has been asked once every task had its turns.
async fn settled(server: &Server) -> usize {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    server.count()
}
