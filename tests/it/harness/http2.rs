//! HTTP/2 stream by stream, on both sides of the gateway: what hyper does not let a test see or say.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream, client, server};
use http::Request;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Gateway, within};

/// What small frames may cost that the test has not looked at.
const ANY_FRAMES: usize = usize::MAX;

/// Both directions of one stream.
pub(crate) struct Http2Stream {
    pub(crate) send: SendStream<Bytes>,
    pub(crate) receive: RecvStream,
    received: BytesMut,
}

/// A request that has reached a service, and the way to its answer.
pub(crate) type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// A service that speaks HTTP/2 without TLS, played by the test.
pub(crate) struct Http2Service {
    pub(crate) address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
}

impl Http2Stream {
    pub(crate) fn new(send: SendStream<Bytes>, receive: RecvStream) -> Self {
        Self {
            send,
            receive,
            received: BytesMut::new(),
        }
    }

    /// Exactly so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        match self.bytes_or_end(count).await {
            Ok(bytes) => bytes,
            Err(reset) => panic!("the stream ends before {count} bytes: {reset:?}"),
        }
    }

    /// Exactly so many bytes, or how the stream ends before: with nothing where in order. A connection that
    /// is gone counts as an internal error.
    pub(crate) async fn bytes_or_end(&mut self, count: usize) -> Result<Vec<u8>, Option<Reason>> {
        while self.received.len() < count {
            match within("data on the stream", self.receive.data()).await {
                None => return Err(None),
                Some(Err(error)) => {
                    return Err(error.reason().or(Some(Reason::INTERNAL_ERROR)));
                }
                Some(Ok(data)) => {
                    self.received.extend_from_slice(&data);
                    let flow = self.receive.flow_control();
                    flow.release_capacity(data.len()).unwrap();
                }
            }
        }
        Ok(self.received.split_to(count).to_vec())
    }

    /// Says bytes on a stream that is open.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = Bytes::copy_from_slice(bytes.as_ref());
        self.send.send_data(bytes, false).unwrap();
    }

    /// Says bytes, whether or not the stream is open.
    pub(crate) fn offer(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = Bytes::copy_from_slice(bytes.as_ref());
        // What is over is seen by who reads.
        let _ = self.send.send_data(bytes, false);
    }

    /// How the stream ends: with nothing where in order.
    pub(crate) async fn end(&mut self) -> Option<Reason> {
        end_of(&mut self.receive).await
    }

    /// Waits until nobody is at the other side any more.
    pub(crate) async fn is_left(&mut self) {
        loop {
            match within("the other side is closed", self.receive.data()).await {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}

/// How a stream ends, whatever it brings before: with nothing where in order.
pub(crate) async fn end_of(stream: &mut RecvStream) -> Option<Reason> {
    loop {
        match within("the end of the stream", stream.data()).await {
            None => return None,
            Some(Ok(_)) => {}
            Some(Err(error)) => return Some(error.reason().expect("a reset")),
        }
    }
}

/// A client on a connection of its own: over TLS where the gateway has a certificate, else with prior
/// knowledge.
pub(crate) async fn http2_client(gate: &Gateway) -> SendRequest<Bytes> {
    client_of(gate, gate.address()).await
}

/// The same, to the control side of a gateway that has a certificate.
pub(crate) async fn http2_client_of_control(gate: &Gateway) -> SendRequest<Bytes> {
    client_of(gate, gate.control_address()).await
}

/// A client that takes small frames however many come.
fn client() -> client::Builder {
    let mut builder = client::Builder::new();
    builder.data_frame_budget(ANY_FRAMES);
    builder
}

async fn client_of(gate: &Gateway, address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    match gate.connector(true) {
        None => {
            let (client, connection) = client().handshake(stream).await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            client
        }
        Some(tls) => {
            let stream = within("a handshake", tls.connect("localhost", stream)).await;
            let (client, connection) = client().handshake(stream.unwrap()).await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            client
        }
    }
}

/// The same once it knows that the gateway takes extended CONNECT (RFC 8441 §3).
pub(crate) async fn extended_client(gate: &Gateway) -> SendRequest<Bytes> {
    let client = http2_client(gate).await.ready().await.unwrap();
    while !client.is_extended_connect_protocol_enabled() {
        // It is in the gateway's first frame.
        tokio::task::yield_now().await;
    }
    client
}

impl Http2Service {
    /// A service that takes extended CONNECT, or does not.
    pub(crate) async fn start(extended: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (give, asked) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let give = give.clone();
                tokio::spawn(async move {
                    let mut builder = server::Builder::new();
                    builder.data_frame_budget(ANY_FRAMES);
                    // Room for many streams, each of which has HTTP/2's own 64 KiB.
                    builder.initial_connection_window_size(16 << 20);
                    if extended {
                        builder.enable_connect_protocol();
                    }
                    let Ok(mut connection) = builder.handshake(stream).await else {
                        return;
                    };
                    while let Some(Ok(request)) = connection.accept().await {
                        if give.send(request).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// The next request.
    pub(crate) async fn is_asked(&mut self) -> Asked {
        let asked = within("the service is asked", self.asked.recv()).await;
        asked.expect("the service runs")
    }

    /// The next request, whenever it comes; nothing where none can come any more.
    pub(crate) async fn next(&mut self) -> Option<Asked> {
        self.asked.recv().await
    }
}
