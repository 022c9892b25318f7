//! An upstream that writes down every request. It reads with a parser of its own (`httparse`), and answers
//! with what it has read.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What comes at all comes sooner.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) method: String,
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether its body came to its end.
    pub(super) whole: bool,
}

impl Recorded {
    /// Method, target and body, as answers show them.
    pub(super) fn line(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let line = format!("{} {} {body}", self.method, self.target);
        line.trim_end_matches(' ').to_owned()
    }

    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(own, _)| own == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

pub(super) struct Upstream {
    address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    /// The requests that are over, whole or not.
    all: Mutex<Vec<Recorded>>,
    more: Condvar,
    /// The targets of the heads that have come.
    begun: Mutex<Vec<String>>,
    beginning: Condvar,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let log = Arc::clone(&shared);
                thread::spawn(move || serve(stream.unwrap(), &log));
            }
        });
        Self { address, log }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come so far, the parts of requests that broke off included.
    pub(super) fn all(&self) -> Vec<Recorded> {
        self.log.all.lock().unwrap().clone()
    }

    /// The request for `target`, as soon as it has ended in one way or another.
    pub(super) fn request(&self, target: &str) -> Recorded {
        let is_it = |one: &&Recorded| one.target == target;
        let all = self.log.all.lock().unwrap();
        let waited = self
            .log
            .more
            .wait_timeout_while(all, PATIENCE, |all| !all.iter().any(|one| is_it(&one)));
        let (all, _) = waited.unwrap();
        let found = all.iter().find(is_it).cloned();
        found.unwrap_or_else(|| panic!("the upstream has not seen `{target}`"))
    }

    /// Waits for the head of the request for `target`.
    pub(super) fn wait_for_head(&self, target: &str) {
        let begun = self.log.begun.lock().unwrap();
        let absent = |begun: &mut Vec<String>| !begun.iter().any(|one| one == target);
        let beginning = &self.log.beginning;
        let waited = beginning.wait_timeout_while(begun, PATIENCE, absent);
        let timed_out = waited.unwrap().1.timed_out();
        assert!(!timed_out, "the upstream has not seen `{target}`");
    }

    /// The whole requests whose target starts with `prefix`.
    pub(super) fn lines(&self, prefix: &str) -> Vec<String> {
        let all = self.all();
        let own = all
            .iter()
            .filter(|one| one.whole && one.target.starts_with(prefix));
        own.map(Recorded::line).collect()
    }
}

fn serve(mut stream: TcpStream, log: &Log) {
    let mut bytes = Vec::new();
    while let Some(request) = next(&mut stream, &mut bytes, log) {
        let whole = request.whole;
        let line = request.line();
        let answer = if request.target.contains("/no-content") {
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
        } else {
            let body = if request.method == "HEAD" { "" } else { &line };
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                line.len()
            )
        };
        log.all.lock().unwrap().push(request);
        log.more.notify_all();
        if !whole || stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn next(stream: &mut TcpStream, bytes: &mut Vec<u8>, log: &Log) -> Option<Recorded> {
    let (mut request, length, body) = loop {
        if let Some(head) = read_head(bytes) {
            break head;
        }
        if !more(stream, bytes) {
            return None;
        }
    };
    bytes.drain(..length);
    log.begun.lock().unwrap().push(request.target.clone());
    log.beginning.notify_all();
    match body {
        Body::Length(length) => {
            while bytes.len() < length && more(stream, bytes) {}
            request.whole = bytes.len() >= length;
            request.body = bytes.drain(..length.min(bytes.len())).collect();
        }
        Body::Chunked => request.whole = read_chunks(stream, bytes, &mut request.body).is_some(),
    }
    Some(request)
}

enum Body {
    Chunked,
    Length(usize),
}

fn read_head(bytes: &[u8]) -> Option<(Recorded, usize, Body)> {
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(bytes).unwrap() else {
        return None;
    };
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).into_owned();
        (header.name.to_ascii_lowercase(), value)
    });
    let request = Recorded {
        method: parsed.method.unwrap().to_owned(),
        target: parsed.path.unwrap().to_owned(),
        headers: headers.collect(),
        body: Vec::new(),
        whole: false,
    };
    let (lengths, codings) = (
        request.values("content-length"),
        request.values("transfer-encoding"),
    );
    let body = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Body::Length(0),
        ([length], []) => Body::Length(length.parse().unwrap()),
        ([], ["chunked"]) => Body::Chunked,
        _ => panic!("a request with two readings got through: {request:?}"),
    };
    Some((request, length, body))
}

fn read_chunks(stream: &mut TcpStream, bytes: &mut Vec<u8>, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let (line, size) = loop {
            match httparse::parse_chunk_size(bytes).unwrap() {
                httparse::Status::Complete(line) => break line,
                httparse::Status::Partial => more(stream, bytes).then_some(())?,
            }
        };
        let size = usize::try_from(size).unwrap();
        while bytes.len() < line + size + 2 {
            more(stream, bytes).then_some(())?;
        }
        body.extend_from_slice(&bytes[line..line + size]);
        // No trailers are ever passed on.
        assert_eq!(&bytes[line + size..line + size + 2], b"\r\n");
        bytes.drain(..line + size + 2);
        if size == 0 {
            return Some(());
        }
    }
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut space = [0; 64 << 10];
    let count = stream.read(&mut space).unwrap_or(0);
    bytes.extend_from_slice(&space[..count]);
    count > 0
}
