use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// A listener that serves a route which answers and one which never does, and its end.
fn serving(bounds: Bounds) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let router = Router::new()
        .route("/here", get(|| async { "here" }))
        .route("/never", get(pending::<String>));
    serving_of(router, bounds)
}

fn serving_of(
    router: Router,
    bounds: Bounds,
) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let served = Served {
        socket,
        tls: None,
        router,
    };
    let (stop, stopping) = watch::channel(false);
    let server = serve(served, bounds, stopping).unwrap();
    (address, stop, tokio::spawn(server))
}

async fn asks(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    // One that is closed at once shows so when it is read.
    let _ = stream.write_all(head.as_bytes()).await;
    stream
}

/// Whether the first byte of an answer comes, and not the connection's end.
async fn is_answered(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]).await, Ok(1))
}

#[tokio::test]
async fn what_never_ends_is_dropped_after_the_drain_time() {
    let bounds = Bounds {
        drain: Duration::from_millis(1),
        ..Bounds::new(LONG)
    };
    let (address, stop, server) = serving(bounds);
    let mut busy = asks(address, "/never").await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert!(is_answered(&mut asks(address, "/here").await).await);
    stop.send_replace(true);
    timeout(LONG, server).await.unwrap().unwrap();
    assert!(!is_answered(&mut busy).await);
    assert!(!is_answered(&mut silent).await);
}

#[tokio::test]
async fn streams_that_never_end_are_dropped_with_their_connection() {
    let held = Arc::new(());
    let never = Arc::clone(&held);
    let (begin, mut begun) = tokio::sync::mpsc::channel(2);
    let router = Router::new().route(
        "/never",
        get(async move || {
            let _never = never;
            begin.send(()).await.unwrap();
            pending::<String>().await
        }),
    );
    let (stop, stopping) = watch::channel(false);
    let (drop_all, dropped) = watch::channel(false);
    let connection = Connection {
        address: "127.0.0.1:1".parse().unwrap(),
        tls: None,
        router,
        header_timeout: LONG,
        stop: stopping,
        until: Until {
            dropped,
            _place: Arc::new(()),
        },
    };
    let peer = Peer {
        address: connection.address,
        certificate: None,
    };
    let (client, server) = tokio::io::duplex(1 << 16);
    let until = connection.until.clone();
    let server = tokio::spawn(until.run(connection.http2(server, peer)));
    let (mut client, connection) = h2::client::handshake(client).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let mut answers = Vec::new();
    for _ in 0..2 {
        client = client.ready().await.unwrap();
        let request = http::Request::get("https://localhost/never")
            .body(())
            .unwrap();
        answers.push(client.send_request(request, true).unwrap().0);
        begun.recv().await.unwrap();
    }
    stop.send_replace(true);
    drop_all.send_replace(true);
    timeout(LONG, server).await.unwrap().unwrap();
    for answer in answers {
        assert!(timeout(LONG, answer).await.unwrap().is_err());
    }
    // What the streams held is let go of at their next turn.
    while Arc::strong_count(&held) > 1 {
        tokio::task::yield_now().await;
    }
}

/// A deed that begins, waits until it may go on, and is recorded then.
#[tokio::test]
async fn a_client_that_hangs_up_does_not_keep_a_deed_from_its_record() {
    let (begin, mut begun) = tokio::sync::mpsc::channel(1);
    let (record, mut recorded) = tokio::sync::mpsc::channel(1);
    let go_on = Arc::new(Semaphore::new(0));
    let may = Arc::clone(&go_on);
    let deed = async move || {
        begin.send(()).await.unwrap();
        may.acquire().await.unwrap().forget();
        record.send(()).await.unwrap();
    };
    let router = Router::new().route("/deed", post(deed));
    let (address, stop, server) = serving_of(router, Bounds::new(LONG));
    let mut hasty = TcpStream::connect(address).await.unwrap();
    let head = "POST /deed HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    hasty.write_all(head.as_bytes()).await.unwrap();
    begun.recv().await.unwrap();
    hasty.shutdown().await.unwrap();
    // The gateway has seen it go once it closes as well.
    assert_eq!(hasty.read(&mut [0]).await.unwrap(), 0);
    // And while what it has begun runs, it does not take it that nothing does.
    stop.send_replace(true);
    assert!(!server.is_finished());
    go_on.add_permits(1);
    let recorded = timeout(LONG, recorded.recv()).await.unwrap();
    assert_eq!(recorded, Some(()));
    timeout(LONG, server).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_the_others_are_closed() {
    let bounds = Bounds {
        per_source: 2,
        ..Bounds::new(LONG)
    };
    let (address, _stop, _server) = serving(bounds);
    let (first, mut second) = (asks(address, "/here").await, asks(address, "/here").await);
    assert!(is_answered(&mut second).await);
    assert!(!is_answered(&mut asks(address, "/here").await).await);
    drop(first);
    // Its place is free once the gateway has seen it go.
    while !is_answered(&mut asks(address, "/here").await).await {
        tokio::task::yield_now().await;
    }
}
