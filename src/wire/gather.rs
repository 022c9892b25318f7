//! Writes of several pieces.

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use smallvec::SmallVec;
use tokio::io::AsyncWrite;

/// Pieces that are no longer than this together are put into one, on the stack: to copy so much is cheaper
/// than what a `writev` costs over a `send`.
const GATHERED: usize = 2048;

/// Writes `slices` to `socket`, as [`AsyncWrite::poll_write_vectored`] does, and few bytes as one piece.
///
/// # Errors
///
/// As the socket's.
pub fn poll_write_gathered(
    socket: Pin<&mut (impl AsyncWrite + ?Sized)>,
    context: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut pieces = slices.iter().filter(|piece| !piece.is_empty());
    let (Some(first), second) = (pieces.next(), pieces.next()) else {
        return socket.poll_write(context, &[]);
    };
    if second.is_none() {
        return socket.poll_write(context, first);
    }
    let size: usize = slices.iter().map(|piece| piece.len()).sum();
    if size > GATHERED {
        return socket.poll_write_vectored(context, slices);
    }
    let mut gathered: SmallVec<[u8; GATHERED]> = SmallVec::new();
    for piece in slices {
        gathered.extend_from_slice(piece);
    }
    socket.poll_write(context, &gathered)
}
