//! HTTP/2 frames by hand (RFC 9113 §4, RFC 7541).

use portcullis::base::Clock;
use portcullis::tls::{ClientFiles, Connector};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::Gateway;

/// What a client begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Status(u16),
    /// The stream, or the connection, is over.
    Reset,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that writes exactly the frames that it is told to.
pub(super) struct Raw(Box<dyn Stream>);

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The reason of a reset or of a goodbye.
    pub(super) fn reason(&self) -> u32 {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => panic!("{self:?} has no reason"),
        };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

impl Raw {
    /// Over TLS, where HTTP/2 was agreed on; with preface and settings.
    pub(super) async fn connect(gateway: &Gateway) -> Self {
        let mut raw = Self::silent(gateway).await;
        raw.begin().await;
        raw
    }

    /// Over TLS, with nothing sent.
    pub(super) async fn silent(gateway: &Gateway) -> Self {
        let files = ClientFiles {
            ca: Some(gateway.ca.clone()),
            client: None,
        };
        let connector = Connector::open(&files, true, Clock::system()).unwrap();
        let stream = TcpStream::connect(gateway.secure_address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = connector.connect("localhost", stream).await.unwrap();
        assert!(stream.is_http2());
        Self(Box::new(stream))
    }

    /// Without TLS, with prior knowledge; with preface and settings.
    pub(super) async fn plain(gateway: &Gateway) -> Self {
        let mut raw = Self::plain_and_silent(gateway).await;
        raw.begin().await;
        raw
    }

    /// Without TLS, with nothing sent.
    pub(super) async fn plain_and_silent(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.either_address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(Box::new(stream))
    }

    async fn begin(&mut self) {
        self.bytes(PREFACE).await;
        self.frame(SETTINGS, 0, 0, b"").await;
    }

    /// Writes bytes; says whether the other side still took them.
    pub(super) async fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok() && self.0.flush().await.is_ok()
    }

    /// Writes a frame; says whether the other side still took it.
    pub(super) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.bytes(&frame(kind, flags, stream, payload)).await
    }

    /// The next frame, or none at the end of the connection.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The next frame of this kind; panics where the connection ends before it.
    pub(super) async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            match self.next().await {
                Some(frame) if frame.kind == kind => return frame,
                Some(_) => {}
                None => panic!("the connection ends without a frame of kind {kind}"),
            }
        }
    }

    /// The reason of the goodbye with which the connection ends, if there is one.
    pub(super) async fn goodbye(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                reason = Some(frame.reason());
            }
        }
        reason
    }

    /// What becomes of the first stream that something is said of.
    pub(super) async fn outcome(&mut self) -> Outcome {
        while let Some(frame) = self.next().await {
            match frame.kind {
                HEADERS => return Outcome::Status(status(&frame.payload)),
                RST_STREAM | GOAWAY => return Outcome::Reset,
                _ => {}
            }
        }
        Outcome::Reset
    }
}

/// A frame as it is written.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The status of a header block: the first field in it (RFC 7541, Appendix A for the indices).
pub(super) fn status(mut block: &[u8]) -> u16 {
    while let [0x20..=0x3f, rest @ ..] = block {
        block = rest;
    }
    match block {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        _ => 0,
    }
}

/// Fields as literals that nobody indexes.
pub(super) fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_bytes());
        string(&mut block, value);
    }
    block
}

fn string(block: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() < 127 {
        block.push(u8::try_from(bytes.len()).unwrap());
    } else {
        block.push(127);
        let mut rest = bytes.len() - 127;
        while rest >= 128 {
            block.push(0x80 | u8::try_from(rest % 128).unwrap());
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(bytes);
}

pub(super) type Fields<'a> = Vec<(&'a str, &'a [u8])>;

pub(super) fn get<'a>(authority: &'a str, path: &'a str) -> Fields<'a> {
    vec![
        (":method", b"GET"),
        (":scheme", b"https"),
        (":authority", authority.as_bytes()),
        (":path", path.as_bytes()),
    ]
}
