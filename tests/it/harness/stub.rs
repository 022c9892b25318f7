//! An upstream, or any other server, that a test plays byte by byte.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::within;

/// A listener whose connections a test serves itself.
pub(crate) struct Stub(TcpListener);

impl Stub {
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The service `shop`, with this as its upstream, for `services.toml`.
    pub(crate) fn service(&self) -> String {
        let address = self.address();
        format!(
            "[[service]]\nname = \"shop\"\nmatch = {{ path = \"/shop\" }}\nupstreams = [\"http://{address}\"]\n"
        )
    }

    pub(crate) async fn accept(&self) -> Peer {
        let accepted = within("the gateway connects to the upstream", self.0.accept());
        Peer(accepted.await.unwrap().0)
    }
}

/// One connection.
pub(crate) struct Peer(TcpStream);

impl Peer {
    /// What is sent, up to and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        let reading = async {
            while !seen.ends_with(end.as_bytes()) {
                seen.push(self.0.read_u8().await.expect("more bytes"));
            }
        };
        within(&format!("the upstream receives {end:?}"), reading).await;
        String::from_utf8(seen).unwrap()
    }

    /// Exactly so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = within("the upstream receives bytes", self.0.read_exact(&mut bytes)).await;
        read.expect("more bytes");
        bytes
    }

    /// The next head.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// Says this, unless the other side has closed.
    pub(crate) async fn say_if_open(&mut self, text: impl AsRef<[u8]>) {
        // That it is closed is what some tests are about.
        let _written = self.0.write_all(text.as_ref()).await;
    }

    /// Says as much as the other side takes, until it takes no more for a while.
    pub(crate) async fn flood(&mut self, piece: &[u8], pause: Duration) {
        while let Ok(written) = tokio::time::timeout(pause, self.0.write_all(piece)).await {
            written.expect("the connection holds");
        }
    }

    /// Says the same over and over, until the other side has had enough of it.
    pub(crate) async fn drone(&mut self, piece: impl AsRef<[u8]>) {
        let droning = async { while self.0.write_all(piece.as_ref()).await.is_ok() {} };
        within("the other side has had enough", droning).await;
    }

    /// Ends the connection in order.
    pub(crate) async fn close(mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        let socket = SockRef::from(&self.0);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits until the other side has closed or reset; returns what it sent before.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match within(
            "the upstream's side is closed",
            self.0.read_to_end(&mut rest),
        )
        .await
        {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        rest
    }
}
