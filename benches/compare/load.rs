//! The load: so many requests at once, each sent when the one before it is answered, every answer looked at.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use memchr::memmem;
use portcullis::base::{BootInstant, Clock};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version::TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::process::Process;
use crate::server::ANSWER;

/// What goes before each measurement, uncounted: connections, caches, the processor's clock.
const WARM_UP: Duration = Duration::from_millis(300);

/// How requests get to what is measured.
#[derive(Clone)]
pub(crate) enum Protocol {
    /// Connections with one request at a time.
    Http1 { connections: usize },
    /// TLS 1.3 that trusts this certificate, and HTTP/2.
    Http2 {
        connections: usize,
        streams: usize,
        certificate: CertificateDer<'static>,
    },
}

/// One measurement.
pub(crate) struct Sample {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// Microseconds of processor time for each.
    pub(crate) cost: f64,
    /// How much of its core the program was busy.
    pub(crate) busy: f64,
    /// Microseconds from request to answer, of half of them and of 99 in 100.
    pub(crate) p50: u32,
    pub(crate) p99: u32,
}

/// What the senders share.
struct Run {
    clock: Clock,
    counting: Cell<bool>,
    over: Cell<bool>,
    micros: RefCell<Vec<u32>>,
    /// How often each sender sends; at once after each answer, where this is not said.
    every: Option<Duration>,
}

impl Run {
    fn new(every: Option<Duration>) -> Rc<Self> {
        Rc::new(Self {
            every,
            clock: Clock::system(),
            counting: Cell::new(false),
            over: Cell::new(false),
            micros: RefCell::default(),
        })
    }

    /// Waits until a sender whose last request began then may send another.
    async fn turn(&self, began: BootInstant) {
        if let Some(every) = self.every {
            let took = self.clock.now().saturating_since(began);
            sleep(every.saturating_sub(took)).await;
        }
    }

    fn count(&self, began: BootInstant) {
        if self.counting.get() {
            let took = self.clock.now().saturating_since(began).as_micros();
            self.micros.borrow_mut().push(took.try_into().unwrap());
        }
    }
}

/// Measures `process` at `address` for so long; `path` and `token` make the request.
pub(crate) async fn measure(
    process: &Process,
    address: SocketAddr,
    protocol: &Protocol,
    (path, token): (&str, &str),
    time: Duration,
) -> Sample {
    let run = Run::new(None);
    let senders = start(&run, address, protocol, (path, token)).await;
    sleep(WARM_UP).await;
    run.counting.set(true);
    let (began, before) = (run.clock.now(), process.ran());
    sleep(time).await;
    run.counting.set(false);
    let (took, after) = (run.clock.now() - began, process.ran());
    run.over.set(true);
    for sender in senders {
        sender.await.unwrap();
    }
    let mut micros = run.micros.take();
    micros.sort_unstable();
    let count = micros.len() as f64;
    let ran = after.since(&before).as_secs_f64();
    let rank = |hundredths: usize| micros[micros.len() * hundredths / 100];
    Sample {
        rate: count / took.as_secs_f64(),
        cost: ran * 1e6 / count,
        busy: ran / took.as_secs_f64(),
        p50: rank(50),
        p99: rank(99),
    }
}

/// Sends for so long without measuring anything, each sender a request every so often.
pub(crate) async fn send(
    address: SocketAddr,
    protocol: &Protocol,
    (path, token): (&str, &str),
    (time, every): (Duration, Duration),
) {
    let run = Run::new(Some(every));
    let senders = start(&run, address, protocol, (path, token)).await;
    sleep(time).await;
    run.over.set(true);
    for sender in senders {
        sender.await.unwrap();
    }
}

async fn start(
    run: &Rc<Run>,
    address: SocketAddr,
    protocol: &Protocol,
    (path, token): (&str, &str),
) -> Vec<JoinHandle<()>> {
    let mut senders = Vec::new();
    match protocol {
        Protocol::Http1 { connections } => {
            let request: Rc<[u8]> = head(path, Some(token)).into_bytes().into();
            for _ in 0..*connections {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                senders.push(spawn_local(http1(
                    Rc::clone(run),
                    stream,
                    Rc::clone(&request),
                )));
            }
        }
        Protocol::Http2 {
            connections,
            streams,
            certificate,
        } => {
            let request = Request::get(format!("https://localhost{path}"));
            let request = request.header("authorization", format!("Bearer {token}"));
            let request = request.body(()).unwrap();
            for _ in 0..*connections {
                let sender = connect_http2(address, certificate.clone()).await;
                for _ in 0..*streams {
                    let (sender, request) = (sender.clone(), request.clone());
                    senders.push(spawn_local(http2(Rc::clone(run), sender, request)));
                }
            }
        }
    }
    senders
}

/// The head of a `GET`.
pub(crate) fn head(path: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let authorization = authorization.unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: compare\r\naccept: */*\r\n\
         {authorization}\r\n"
    )
}

async fn http1(run: Rc<Run>, mut stream: TcpStream, request: Rc<[u8]>) {
    let mut held = Vec::with_capacity(8192);
    while !run.over.get() {
        let began = run.clock.now();
        stream.write_all(&request).await.unwrap();
        held.clear();
        loop {
            let read = stream.read_buf(&mut held).await.unwrap();
            assert!(read > 0, "closed: {}", String::from_utf8_lossy(&held));
            if let Some(end) = memmem::find(&held, b"\r\n\r\n") {
                let (head, body) = held.split_at(end + 4);
                assert!(is_good(head), "{}", String::from_utf8_lossy(&held));
                if body.len() >= ANSWER.len() {
                    assert_eq!(body, ANSWER);
                    break;
                }
            }
        }
        run.count(began);
        run.turn(began).await;
    }
}

/// Whether it is the head of the server's answer.
fn is_good(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().unwrap_or_default();
    status.starts_with(b"HTTP/1.1 200")
        && lines.any(|line| line.len() == 20 && line.eq_ignore_ascii_case(b"content-length: 200\r"))
}

async fn connect_http2(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
) -> SendRequest<Bytes> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&TLS13]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    spawn_local(async {
        // Whoever sends over it says why it broke.
        let _ = connection.await;
    });
    sender
}

async fn http2(run: Rc<Run>, mut sender: SendRequest<Bytes>, request: Request<()>) {
    while !run.over.get() {
        let began = run.clock.now();
        sender = sender.ready().await.unwrap();
        let (response, _) = sender.send_request(request.clone(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            length += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(length, ANSWER.len());
        run.count(began);
        run.turn(began).await;
    }
}
