//! A small HTTP/1.1 server for routers: as many connections as it says, no more.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many connections are open at most; the next ones wait in the kernel.
const CONNECTIONS: usize = 1024;
/// How long a request's head may take, and a connection may idle.
const HEAD: Duration = Duration::from_secs(30);
/// The pause after a failed accept, as when file descriptors have run out.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` on `listener`, for ever. When dropped, every connection is closed.
pub(in crate::cli) async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            // A client that hangs up is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}
