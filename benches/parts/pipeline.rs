//! One whole request under a grant over loopback, beside the same straight to the server: one after the
//! other over one connection, so that what is timed is the way and not the load.

use criterion::Criterion;
use http::Method;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::control::{Client, grant, request};
use crate::gateway::Gateway;
use crate::server::{ANSWER, serve};

pub(crate) fn pipeline(criterion: &mut Criterion) {
    // The server and the control side; the gate's worker has a thread of its own.
    let beside = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (gateway, server, token) = beside.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        let gateway = Gateway::start(server, &[]).await;
        let (task, token) = gateway.control.task().await;
        let mut client = gateway.control.connect().await;
        grant(&mut client, &task, &token).await;
        (gateway, server, token)
    });
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("pipeline");
    for (name, address) in [("direct", server), ("gate", gateway.address)] {
        let mut client = here.block_on(Client::connect(address));
        group.bench_function(name, |bencher| {
            bencher.iter(|| here.block_on(call(&mut client, &token)));
        });
    }
    group.finish();
    beside.block_on(gateway.stop());
}

async fn call(client: &mut Client, token: &str) {
    let request = request(Method::GET, "/things/17", Some(token), "");
    let (status, body) = client.send(request).await;
    assert!(status.is_success() && body == ANSWER, "{status} {body:?}");
}
