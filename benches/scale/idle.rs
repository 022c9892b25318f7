//! What a connection costs that has had one answer and waits for its next request.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::child::Apart;
use crate::control::{Control, grant};
use crate::gateway::prepare;
use crate::server::{ANSWER, serve};
use crate::{futures, runtime};

/// What each costs is told by how much more memory is used with the many than with the few.
const FEW: usize = 2_000;
const MANY: usize = 10_000;

const OPENING_AT_ONCE: usize = 32;

/// So many of them are asked again in the end.
const ASKED_AGAIN: usize = 100;

/// A stream of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

pub(crate) fn idle() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    println!("\n connections  MiB with {FEW}  MiB with {MANY}  KiB each");
    for secure in [false, true] {
        runtime().block_on(measure(secure));
    }
}

async fn measure(secure: bool) {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    let _key = prepare(directory.path(), upstream, &[]);
    let (trusted, tls) = certificate(directory.path());
    let apart = Apart::start(directory.path(), if secure { &tls } else { "" });
    let connector = secure.then(|| connector(trusted));
    let request = request(&apart.control).await;
    let mut held = Vec::new();
    let mut resident = Vec::new();
    for count in [FEW, MANY] {
        while held.len() < count {
            let opening = 0..OPENING_AT_ONCE;
            let opening = opening.map(|_| open(apart.gate, connector.as_ref(), &request));
            let opened = together(opening).await;
            held.extend(opened);
        }
        resident.push((apart.settled(), held.len()));
    }
    for stream in held.iter_mut().take(ASKED_AGAIN) {
        ask(stream, &request).await;
    }
    let [(less, few), (more, many)] = resident[..] else {
        return;
    };
    println!(
        "{:>12}  {:>13.1}  {:>14.1}  {:>8.1}",
        if secure { "TLS" } else { "plain" },
        less as f64 / 1024.0,
        more as f64 / 1024.0,
        more.saturating_sub(less) as f64 / (many - few) as f64,
    );
}

/// The bytes of a call that is let through.
async fn request(control: &Control) -> Vec<u8> {
    let (task, token) = control.task().await;
    grant(&mut control.connect().await, &task, &token).await;
    format!("GET /things/17 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

async fn open(
    gate: SocketAddr,
    connector: Option<&TlsConnector>,
    request: &[u8],
) -> Box<dyn Stream> {
    let stream = TcpStream::connect(gate).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut stream: Box<dyn Stream> = match connector {
        Some(connector) => {
            let name = ServerName::try_from("localhost").unwrap();
            Box::new(connector.connect(name, stream).await.unwrap())
        }
        None => Box::new(stream),
    };
    ask(&mut stream, request).await;
    stream
}

async fn ask(stream: &mut Box<dyn Stream>, request: &[u8]) {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let read = stream.read_buf(&mut answer).await.unwrap();
        assert!(read > 0, "{:?}", String::from_utf8_lossy(&answer));
        if let Some(end) = memmem::find(&answer, b"\r\n\r\n")
            && answer.len() >= end + 4 + ANSWER.len()
        {
            assert!(answer.starts_with(b"HTTP/1.1 200"));
            return;
        }
    }
}

/// Does all of it at once, and returns what came of each.
async fn together<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let made = std::cell::RefCell::new(Vec::new());
    let made_of = &made;
    let all = all.map(|one| async move {
        let one = one.await;
        made_of.borrow_mut().push(one);
    });
    futures(all).await;
    made.into_inner()
}

/// A certificate for `localhost`, and what a listener is told of it.
fn certificate(directory: &Path) -> (CertificateDer<'static>, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (directory.join("gate.pem"), directory.join("gate.key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}");
    (made.cert.der().clone(), tls)
}

fn connector(trusted: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
