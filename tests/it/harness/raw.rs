//! A client that writes and reads bytes, over TCP or TLS.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{Gateway, within};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection to the gateway.
pub(crate) struct Raw(Box<dyn Stream>);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: FIN, and over TLS `close_notify` before it.
    Closed,
    /// Reset, or over TLS without `close_notify`.
    Broken,
}

impl Raw {
    /// Connects the way that the gateway speaks: over TLS where it has a certificate.
    pub(crate) async fn connect(gate: &Gateway) -> Self {
        let stream = TcpStream::connect(gate.address()).await.unwrap();
        match gate.connector(false) {
            None => Self(Box::new(stream)),
            Some(tls) => {
                let connected = within("a handshake", tls.connect("localhost", stream));
                Self(Box::new(connected.await.unwrap()))
            }
        }
    }

    /// Connects to a gateway without TLS from this address, which the machine has.
    pub(crate) async fn connect_from(gate: &Gateway, source: IpAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source, 0)).unwrap();
        Self(Box::new(socket.connect(gate.address()).await.unwrap()))
    }

    /// Connects to the control side of a gateway without TLS.
    pub(crate) async fn connect_to_control(gate: &Gateway) -> Self {
        Self(Box::new(
            TcpStream::connect(gate.control_address()).await.unwrap(),
        ))
    }

    /// Writes as much as the other side takes.
    pub(crate) async fn offer(&mut self, bytes: impl AsRef<[u8]>) {
        // Its hanging up is an answer, too.
        let _ = within("bytes are taken", self.0.write_all(bytes.as_ref())).await;
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let written = within("bytes are written", async {
            self.0.write_all(bytes.as_ref()).await?;
            self.0.flush().await
        });
        written.await.unwrap();
    }

    /// What comes, up to and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        let reading = async {
            while !seen.ends_with(end.as_bytes()) {
                match self.0.read_u8().await {
                    Ok(byte) => seen.push(byte),
                    Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&seen)),
                }
            }
        };
        within(&format!("{end:?} comes"), reading).await;
        String::from_utf8(seen).unwrap()
    }

    /// The next byte; nothing where the connection ends before it.
    pub(crate) async fn byte(&mut self) -> Option<u8> {
        within("a byte or the end", self.0.read_u8()).await.ok()
    }

    /// Exactly so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = within("bytes come", self.0.read_exact(&mut bytes)).await;
        read.expect("more bytes");
        bytes
    }

    /// Exactly so many bytes; nothing where the connection ends before.
    pub(crate) async fn bytes_or_end(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        let read = within("bytes or the end", self.0.read_exact(&mut bytes)).await;
        read.ok().map(|_| bytes)
    }

    /// Writes bytes at once, if the other side takes them.
    pub(crate) async fn offer_now(&mut self, bytes: impl AsRef<[u8]>) {
        self.offer(bytes).await;
        // Its hanging up is an answer, too.
        let _ = within("bytes are on their way", self.0.flush()).await;
    }

    /// The next head.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Everything up to the end of the connection, and how it ended.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        let read = within("the connection ends", self.0.read_to_end(&mut bytes)).await;
        let end = match read {
            Ok(_) => End::Closed,
            Err(error) => {
                let broken = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
                assert!(broken.contains(&error.kind()), "{error}");
                End::Broken
            }
        };
        (bytes, end)
    }
}
