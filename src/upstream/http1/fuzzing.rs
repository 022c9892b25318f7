//! What has to hold of any answer, whatever an upstream sends and however it arrives: for the fuzz target in
//! `tests/fuzz`, and for property tests. hyper's client is the second reader.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body::Body as _;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::inbound::{Inbound, Step};
use crate::upstream::framing::may_be_trailer;

/// What somebody made of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Understood {
    /// Its status.
    pub status: u16,
    /// Its version.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its content, out of whatever it was coded in.
    pub content: Vec<u8>,
    /// Its trailers, where there are some that may be.
    pub trailers: Option<HeaderMap>,
}

/// Holds what an upstream sends, in pieces of such sizes, against all that has to hold of it. Once there are no
/// more sizes, the rest comes at once. The request was one with this method and no content.
///
/// # Panics
///
/// Where something does not hold.
pub fn hold(bytes: &[u8], sizes: &[u8], method: &Method) {
    let to_head = method == Method::HEAD;
    let read = |bytes: &[u8], sizes: &[u8], closes: bool| {
        let mut wire = Wire::new(bytes, sizes, closes);
        exchange(&mut Inbound::new(), &mut wire, to_head)
    };
    let whole = read(bytes, &[], true);
    let pieces = read(bytes, sizes, true);
    assert_eq!(whole, pieces, "it is read alike however it arrives");
    let Some((ours, reusable)) = whole else {
        return;
    };
    let theirs = hypers(bytes, method, true).map(|(theirs, _)| theirs);
    assert_eq!(Some(&ours), theirs.as_ref(), "hyper reads the same");
    if !reusable {
        return;
    }
    let ours = Some((ours, true));
    assert_eq!(ours, read(bytes, sizes, false), "its end is told by itself");
    assert_eq!(ours, hypers(bytes, method, false), "to hyper, too");
    let more = [bytes, b"H"].concat();
    let longer = read(&more, &[], true).map(|(_, reusable)| reusable);
    assert_eq!(longer, Some(false), "nothing is left over");
    let shorter = bytes.split_last().map_or(bytes, |(_, shorter)| shorter);
    let shorter = read(shorter, &[], true).is_some_and(|(_, reusable)| reusable);
    assert!(!shorter, "it ends no sooner");
    // What a connection has read leaves nothing behind.
    let mut inbound = Inbound::new();
    for _ in 0..2 {
        let mut wire = Wire::new(bytes, sizes, false);
        assert_eq!(ours, exchange(&mut inbound, &mut wire, to_head));
        inbound.rest();
    }
}

/// One exchange as a connection has it: what was understood, and whether another could follow. None where the
/// answer is refused, or more of it would have to come.
fn exchange(
    inbound: &mut Inbound,
    wire: &mut Wire<'_>,
    to_head: bool,
) -> Option<(Understood, bool)> {
    let answer = loop {
        if let Some(answer) = inbound.head(to_head).ok()? {
            break answer;
        }
        if !wire.fill(inbound) {
            return None;
        }
    };
    let (parts, persists) = (answer.parts, answer.persists);
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody has asked for it.
        return None;
    }
    let told = inbound.size_hint().exact();
    let (mut content, mut trailers) = (Vec::new(), None);
    while !inbound.is_over() {
        match inbound.next().ok()? {
            Step::End => break,
            Step::Frame(frame) => match frame.into_data() {
                Ok(data) => content.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
            Step::More if wire.fill(inbound) => {}
            Step::More if wire.closes => inbound.end().ok()?,
            Step::More => return None,
        }
    }
    if let Some(told) = told {
        assert_eq!(told, content.len() as u64, "it is as long as it said");
    }
    let understood = Understood {
        status: parts.status.as_u16(),
        version: parts.version,
        headers: parts.headers,
        content,
        trailers,
    };
    let reusable = persists && inbound.is_over() && inbound.is_empty() && wire.left.is_empty();
    Some((understood, reusable))
}

/// What the other side sends, as it arrives.
struct Wire<'a> {
    left: &'a [u8],
    sizes: std::slice::Iter<'a, u8>,
    /// Whether it closes then.
    closes: bool,
}

impl<'a> Wire<'a> {
    fn new(bytes: &'a [u8], sizes: &'a [u8], closes: bool) -> Self {
        Self {
            left: bytes,
            sizes: sizes.iter(),
            closes,
        }
    }

    /// Puts what arrives next where a connection would. Whether something has arrived.
    fn fill(&mut self, inbound: &mut Inbound) -> bool {
        let piece = self.sizes.next().map_or(usize::MAX, |size| (*size).into());
        let bytes = inbound.room();
        let room = bytes.capacity() - bytes.len();
        let size = piece.max(1).min(room).min(self.left.len());
        let (here, left) = self.left.split_at(size);
        bytes.extend_from_slice(here);
        inbound.filled(size, room);
        self.left = left;
        size > 0
    }
}

/// How often hyper is asked although nothing comes of it.
const PATIENCE: u32 = 64;

/// What hyper's client makes of it, and whether it would use the connection again. None where it refuses it, or
/// where it waits for more.
pub(super) fn hypers(bytes: &[u8], method: &Method, closes: bool) -> Option<(Understood, bool)> {
    let context = &mut Context::from_waker(Waker::noop());
    let script = Script {
        bytes: Bytes::copy_from_slice(bytes),
        closes,
        asked: false,
    };
    let handshake = pin!(handshake::<_, Empty<Bytes>>(script));
    let Poll::Ready(Ok((mut sender, connection))) = handshake.poll(context) else {
        return None;
    };
    let mut connection = Some(Box::pin(connection));
    // It is polled no more once it is over; nothing of it is waited for.
    let mut drive = |context: &mut Context<'_>| {
        if let Some(running) = &mut connection
            && running.as_mut().poll(context).is_ready()
        {
            connection = None;
        }
    };
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.clone();
    let mut sent = pin!(sender.send_request(request));
    let head = (0..PATIENCE).find_map(|_| {
        drive(context);
        match sent.as_mut().poll(context) {
            Poll::Ready(head) => Some(head),
            Poll::Pending => None,
        }
    });
    let (head, mut body) = head?.ok()?.into_parts();
    let (mut content, mut trailers) = (Vec::new(), None);
    while !body.is_end_stream() {
        let frame = (0..PATIENCE).find_map(|_| {
            drive(context);
            match Pin::<&mut Incoming>::new(&mut body).poll_frame(context) {
                Poll::Ready(frame) => Some(frame),
                Poll::Pending => None,
            }
        });
        let Some(frame) = frame? else {
            break;
        };
        match frame.ok()?.into_data() {
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    drive(context);
    let trailers = trailers.map(|all: HeaderMap| {
        let mut kept = HeaderMap::new();
        for (name, value) in all.iter().filter(|(name, _)| may_be_trailer(name)) {
            kept.append(name, value.clone());
        }
        kept
    });
    let understood = Understood {
        status: head.status.as_u16(),
        version: head.version,
        headers: head.headers,
        content,
        trailers: trailers.filter(|trailers| !trailers.is_empty()),
    };
    Some((understood, sender.is_ready()))
}

/// A stream that says all it has to say once it has been asked something.
struct Script {
    bytes: Bytes,
    closes: bool,
    asked: bool,
}

impl Read for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let size = room.remaining().min(self.bytes.len());
        if !self.asked || size == 0 && !self.closes {
            return Poll::Pending;
        }
        room.put_slice(&self.bytes.split_to(size));
        Poll::Ready(Ok(()))
    }
}

impl Write for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked |= !bytes.is_empty();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
