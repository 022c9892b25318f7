//! The server behind the gate: as cheap as ordinary sockets allow, so that what is measured is what stands
//! before it.

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

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
