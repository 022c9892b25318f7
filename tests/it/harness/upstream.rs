//! The protected service: an HTTP/1.1 server of its own that records what reaches it and answers as the
//! test says.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::body::{TestBody, full};

/// What it answers unless told otherwise.
pub(crate) const HELLO: &str = "hello from the upstream";

/// A request as it arrived, its body whole.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

type Script = Arc<dyn Fn(&Recorded) -> Response<TestBody> + Send + Sync>;

/// The recording upstream. It stops with the test's runtime.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Heads that arrived, whatever became of their bodies.
    heads: AtomicUsize,
    connections: AtomicUsize,
    recorded: watch::Sender<Vec<Recorded>>,
    prepared: Mutex<VecDeque<Response<TestBody>>>,
    script: Mutex<Script>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hello: Script = Arc::new(|_| Response::new(full(HELLO)));
        let shared = Arc::new(Shared {
            heads: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            recorded: watch::Sender::new(Vec::new()),
            prepared: Mutex::default(),
            script: Mutex::new(hello),
        });
        tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers every request by `script`.
    pub(crate) fn answer(
        &self,
        script: impl Fn(&Recorded) -> Response<TestBody> + Send + Sync + 'static,
    ) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// Answers the next request with `response`; several are used in order, before the script.
    pub(crate) fn answer_next(&self, response: Response<TestBody>) {
        self.shared.prepared.lock().unwrap().push_back(response);
    }

    /// What has arrived whole so far.
    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        self.shared.recorded.borrow().clone()
    }

    /// How many heads have arrived.
    pub(crate) fn count(&self) -> usize {
        self.shared.heads.load(Ordering::SeqCst)
    }

    /// How many connections have been made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The one request that has arrived.
    #[track_caller]
    pub(crate) fn only(&self) -> Recorded {
        let mut recorded = self.recorded();
        assert_eq!(recorded.len(), 1, "{recorded:?}");
        recorded.remove(0)
    }

    /// The last request that has arrived.
    #[track_caller]
    pub(crate) fn last(&self) -> Recorded {
        self.recorded().pop().expect("a request")
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| record(Arc::clone(&shared), request));
            // A connection that the gateway cuts ends in an error, and is meant to.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn record(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<TestBody>, Infallible> {
    shared.heads.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // The gateway broke the request off; there is nobody to answer.
        return Ok(Response::new(full("")));
    };
    let trailers = body.trailers().cloned();
    let recorded = Recorded {
        method: parts.method,
        target: parts.uri.to_string(),
        version: parts.version,
        headers: parts.headers,
        body: body.to_bytes(),
        trailers,
    };
    let prepared = shared.prepared.lock().unwrap().pop_front();
    let script = Arc::clone(&shared.script.lock().unwrap());
    let response = prepared.unwrap_or_else(|| script(&recorded));
    shared.recorded.send_modify(|all| all.push(recorded));
    Ok(response)
}

impl Recorded {
    /// The one value of a header, if it is there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "`{name}` is there twice");
        Some(value.to_str().unwrap())
    }
}
