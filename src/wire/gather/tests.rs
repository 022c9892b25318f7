use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

use super::{GATHERED, poll_write_gathered};

/// What it was given, in one write or as pieces.
#[derive(Debug, Default)]
struct Socket {
    whole: Vec<Vec<u8>>,
    pieces: Vec<usize>,
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().whole.push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().pieces.push(slices.len());
        Poll::Ready(Ok(slices.iter().map(|piece| piece.len()).sum()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn write(pieces: &[&[u8]]) -> (usize, Socket) {
    let mut socket = Socket::default();
    let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut context = Context::from_waker(Waker::noop());
    let written = poll_write_gathered(Pin::new(&mut socket), &mut context, &slices);
    match written {
        Poll::Ready(Ok(written)) => (written, socket),
        other => panic!("{other:?}"),
    }
}

#[test]
fn few_bytes_are_one_write() {
    for pieces in [
        &[b"head".as_slice(), b"body"][..],
        &[b"", b"head", b"", b"body", b""],
        &[b"headbody"],
        &[b"", b"headbody", b""],
    ] {
        let (written, socket) = write(pieces);
        assert_eq!(written, 8);
        assert_eq!(socket.whole, [b"headbody"]);
        assert!(socket.pieces.is_empty());
    }
}

#[test]
fn many_bytes_are_not_copied() {
    let body = vec![b'a'; GATHERED];
    let (written, socket) = write(&[b"head", &body]);
    assert_eq!(written, 4 + GATHERED);
    assert!(socket.whole.is_empty());
    assert_eq!(socket.pieces, [2]);
    let (_, socket) = write(&[&body, b""]);
    assert_eq!(socket.whole, [body]);
}

#[test]
fn nothing_is_still_a_write() {
    let (written, socket) = write(&[b"", b""]);
    assert_eq!(written, 0);
    assert_eq!(socket.whole, [b""]);
}
