//! The server behind the gate, and the forwarder that does nothing but move bytes: as cheap as ordinary
//! sockets allow, so that what is measured is what stands between.

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// What the server answers with.
pub(crate) const ANSWER: &[u8] = &[b'a'; 200];

/// A head and [`ANSWER`].
fn response() -> Vec<u8> {
    let length = ANSWER.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
         date: Sat, 28 Nov 2026 12:00:00 GMT\r\n\r\n"
    );
    [head.as_bytes(), ANSWER].concat()
}

/// Answers every request without a body, until it is dropped.
pub(crate) async fn serve(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let response = response();
            let mut held = Vec::with_capacity(4096);
            while stream.read_buf(&mut held).await.is_ok_and(|read| read > 0) {
                while let Some(end) = memmem::find(&held, b"\r\n\r\n") {
                    held.drain(..end + 4);
                    if stream.write_all(&response).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Moves bytes between every client and a connection of its own to `to`.
pub(crate) async fn forward(listener: TcpListener, to: std::net::SocketAddr) {
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut to = TcpStream::connect(to).await.unwrap();
            to.set_nodelay(true).unwrap();
            from.set_nodelay(true).unwrap();
            // Whoever goes first, both are done.
            let _ = copy_bidirectional(&mut from, &mut to).await;
        });
    }
}
