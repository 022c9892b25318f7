//! A connection that speaks HTTP/2.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::spawn_local;

use super::{Connection, ConnectionError};
use crate::pep::cut::StreamExecutor;
use crate::pep::http2::Paced;
use crate::pep::websocket::{Successor, over_http2};
use crate::pep::worker::{Worker, stopped};
use crate::wire::Body;

/// HTTP/2 peers that are gone without a word are found by pings.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// What may have come of all requests on a connection that nobody has taken yet; of each it is hyper's 1 MiB. So a call
/// whose service does not read holds up none beside it. Half of it is what h2 lets small frames cost, 256 bytes each,
/// that nobody has taken, before it ends the connection: a client streams short messages faster than a connection to
/// the service is opened.
const WINDOW: u32 = 4 << 20;

/// Serves a connection to its end, or until `stop` and the end of its streams.
pub(super) async fn serve_http2<S>(
    worker: Rc<Worker>,
    connection: Connection,
    stream: S,
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = worker.gate.facts.limits;
    let executor = StreamExecutor::default();
    let streams = executor.streams();
    let metrics = Arc::clone(&worker.gate.metrics);
    let stream = Paced::new(
        stream,
        &worker.gate.clock,
        &limits,
        Rc::clone(&streams),
        metrics,
    );
    let connection = Rc::new(connection);
    let service = {
        let executor = executor.clone();
        service_fn(move |mut request: Request<Incoming>| {
            let (worker, connection) = (Rc::clone(&worker), Rc::clone(&connection));
            let (executor, streams) = (executor.clone(), Rc::clone(&streams));
            async move {
                // Inside the stream's own task from the first poll on.
                let slot = executor.current().unwrap_or_default();
                let stream = hyper::upgrade::on(&mut request);
                let head = *request.method() == Method::HEAD;
                let successor = Successor::default();
                let begun = worker.begin(&connection, slot, request);
                let response = worker.finish(&connection, begun, &successor).await;
                if let Some(switched) = successor.take() {
                    let runs = streams.begin();
                    spawn_local(async move {
                        over_http2(switched, stream).await;
                        drop(runs);
                    });
                }
                Ok::<_, Infallible>(if head { head_of(response) } else { response })
            }
        })
    };
    let list = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(executor);
    builder.enable_connect_protocol();
    let mut served = builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(list)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(Some(PING_EVERY))
        .keep_alive_timeout(PING_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut stop = pin!(stopped(stop));
    let mut stopping = false;
    poll_fn(|context| {
        if !stopping && stop.as_mut().poll(context).is_ready() {
            stopping = true;
            Pin::new(&mut served).graceful_shutdown();
        }
        match Pin::new(&mut served).poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    Ok(())
}

/// What HEAD is told of an answer (RFC 9110 §9.3.2). A service's has no content; the gateway's own is taken away, which
/// hyper does over HTTP/1.1 alone.
fn head_of(mut response: Response<Body>) -> Response<Body> {
    let length = match response.body() {
        Body::Full(content) => content.size_hint().lower(),
        Body::Stream(_) => 0,
    };
    if length > 0 {
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Body::empty();
    }
    response
}
