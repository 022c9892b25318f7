//! What tests of several parts need.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::yield_now;

/// Something comes to the worker over another connection, as a request does: what has come before, the runtime
/// knows of then.
pub(super) async fn request_arrives() {
    let (mut gate, mut client) = UnixStream::pair().unwrap();
    client.write_all(b"G").await.unwrap();
    // The first byte may be read without the runtime's having heard of it; of the second it has to hear.
    gate.read_u8().await.unwrap();
    let (next, written) = tokio::join!(gate.read_u8(), async {
        yield_now().await;
        client.write_all(b"E").await
    });
    written.unwrap();
    assert_eq!(next.unwrap(), b'E');
}
