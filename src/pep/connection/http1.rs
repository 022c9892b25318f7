//! A connection that speaks HTTP/1: one request after the other, and what may come of the last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::BytesMut;
use http::Request;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::closing::{Resettable, close, reset};
use super::{Connection, ConnectionError, LAST_CALL};
use crate::pep::cut::{Ran, Slot, run_in_slot};
use crate::pep::pipeline::Begun;
use crate::pep::strict::{Rest, Strict};
use crate::pep::websocket::{Parting, Successor, Switched};
use crate::pep::worker::{Worker, stopped, stopped_for};

/// hyper refuses a smaller buffer.
const MIN_BUFFER: usize = 8192;

/// hyper makes room for so many headers on the stack; told of any number, it makes that anew for each
/// request. How many there may be is checked before it reads them.
const HYPER_HEADERS: usize = 100;

/// What lasts as long as a connection that speaks HTTP/1.
struct Http1 {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    slot: Rc<Slot>,
    successor: Rc<Successor>,
}

/// How far one go at a connection has come.
enum Went {
    /// It is over, so or so.
    Over(hyper::Result<()>),
    /// It is between two requests, for a while now.
    Quiet,
}

/// Serves a connection to its end. While nothing comes of it hyper is given up, with its buffers and all that it
/// knows, and what is left waits: most connections do most of the time.
pub(super) async fn serve_http1<S>(
    worker: Rc<Worker>,
    connection: Connection,
    stream: S,
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Resettable + Unpin + 'static,
{
    let limits = &worker.gate.facts.limits;
    let mut stream = Strict::new(stream, &worker.gate.clock, limits);
    let http1 = Http1 {
        worker,
        connection: Rc::new(connection),
        slot: Rc::default(),
        successor: Rc::default(),
    };
    // Boxed, so that what waits has no room for it.
    while let Some(quiet) = Box::pin(http1.serve(stream, stop.clone())).await? {
        stream = quiet;
        http1.slot.forget();
        let mut stop = pin!(stopped(stop.clone()));
        poll_fn(|context| match stop.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => stream.poll_woken(context),
        })
        .await?;
    }
    Ok(())
}

impl Http1 {
    /// Serves until the connection is over, or quiet: then it is given back.
    async fn serve<S>(
        &self,
        stream: Strict<S>,
        stop: watch::Receiver<bool>,
    ) -> Result<Option<Strict<S>>, ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Resettable + Unpin + 'static,
    {
        let limits = self.worker.gate.facts.limits;
        let (slot, verdict) = (&self.slot, stream.verdict());
        let service = service_fn(|request: Request<Incoming>| {
            let begun = match verdict.take() {
                Some(refusal) => {
                    Begun::Answered(self.worker.refuse_unread(&self.connection, &refusal))
                }
                None => self
                    .worker
                    .begin(&self.connection, Rc::clone(slot), request),
            };
            let (worker, connection) = (Rc::clone(&self.worker), Rc::clone(&self.connection));
            let (verdict, successor) = (verdict.clone(), Rc::clone(&self.successor));
            // Boxed, because only a connection that can be moved gives its socket back.
            Box::pin(async move {
                let mut response = worker.finish(&connection, begun, &successor).await;
                if verdict.is_incomplete() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            })
        });
        // The stream keeps the deadlines of heads, and tells the end of requests from that of the client.
        let mut http = http1::Builder::new();
        http.header_read_timeout(None)
            .half_close(true)
            .max_buf_size(limits.header_bytes.max(MIN_BUFFER));
        if limits.header_count > HYPER_HEADERS {
            http.max_headers(limits.header_count);
        }
        let mut served = http.serve_connection(TokioIo::new(stream), service);
        let told = stop.clone();
        let mut stop = pin!(stopped_for(stop, LAST_CALL));
        let mut stopping = false;
        let mut asked = false;
        let ran = {
            let mut run = poll_fn(|context| {
                // It is asked once, and then by the same task only when there is something to hear.
                let ask = !stopping && (!asked || *told.borrow());
                asked = true;
                if ask && stop.as_mut().poll(context).is_ready() {
                    stopping = true;
                    Pin::new(&mut served).graceful_shutdown();
                }
                match Pin::new(&mut served).poll_without_shutdown(context) {
                    Poll::Ready(ended) => Poll::Ready(Went::Over(ended)),
                    Poll::Pending if verdict.is_quiet() && !*told.borrow() => {
                        Poll::Ready(Went::Quiet)
                    }
                    Poll::Pending => Poll::Pending,
                }
            });
            run_in_slot(slot, &mut run).await
        };
        let parts = served.into_parts();
        let stream = parts.io.into_inner();
        match ran {
            Ran::Cut => reset(&stream.into_rest().stream)?,
            Ran::Done(Went::Quiet) => {
                // It was handed one request at a time, and has answered all of each.
                let nothing_left = parts.read_buf.is_empty();
                debug_assert!(nothing_left, "a request is left over");
                if nothing_left {
                    return Ok(Some(stream));
                }
                // Better an end that the client sees than a request that nobody answers.
                reset(&stream.into_rest().stream)?;
            }
            Ran::Done(Went::Over(Err(broken))) if broken.is_user() => {
                // The answer's body broke off. Where only the end of the connection ends it, an orderly
                // end would make it look complete.
                reset(&stream.into_rest().stream)?;
                return Err(broken.into());
            }
            Ran::Done(Went::Over(ended)) => {
                ended?;
                let rest = stream.into_rest();
                match self.successor.take() {
                    // Boxed, so that a connection that never becomes one has no room for it.
                    Some(switched) => Box::pin(serve_websocket(switched, rest)).await?,
                    None => Box::pin(close(rest)).await?,
                }
            }
        }
        Ok(None)
    }
}

/// Runs a WebSocket on a connection that has no other use any more.
async fn serve_websocket<S>(mut switched: Switched, rest: Rest<S>) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Resettable + Unpin,
{
    let Rest {
        mut stream, held, ..
    } = rest;
    let parting = switched.carry(&mut stream, held).await;
    if parting == Parting::Abrupt {
        return reset(&stream);
    }
    // The exchange is over; only the connection has something left to do, and is waited for.
    let _leaving = switched.leaving();
    drop(switched);
    close(Rest {
        stream,
        unread: parting == Parting::Said,
        held: BytesMut::new(),
    })
    .await
}
