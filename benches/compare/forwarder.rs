//! What does nothing but move bytes: two reads and two writes for each request, and nothing parsed.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Moves bytes between every client and a connection of its own to `to`.
pub(crate) async fn forward(listener: TcpListener, to: SocketAddr) {
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
