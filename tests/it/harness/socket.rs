//! Just enough of RFC 6455 to tell frames apart.

use super::{Http2Stream, Peer, Raw};

/// One end of a WebSocket.
pub(crate) trait Socket {
    async fn bytes(&mut self, count: usize) -> Vec<u8>;

    async fn send(&mut self, bytes: &[u8]);

    /// The next frame: its first byte, and what it carries.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.bytes(2).await;
        let length = match head[1] & 0x7f {
            126 => number(&self.bytes(2).await),
            127 => number(&self.bytes(8).await),
            short => usize::from(short),
        };
        let mask = if head[1] & 0x80 == 0 {
            vec![0; 4]
        } else {
            self.bytes(4).await
        };
        let mut payload = self.bytes(length).await;
        apply(&mask, &mut payload);
        (head[0], payload)
    }
}

impl Socket for Raw {
    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        Self::bytes(self, count).await
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.say(bytes).await;
    }
}

impl Socket for Http2Stream {
    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        Self::bytes(self, count).await
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.say(bytes);
    }
}

impl Socket for Peer {
    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        Self::bytes(self, count).await
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.say(bytes).await;
    }
}

fn number(digits: &[u8]) -> usize {
    digits
        .iter()
        .fold(0, |sum, digit| sum << 8 | usize::from(*digit))
}

fn apply(mask: &[u8], payload: &mut [u8]) {
    let keys = mask.iter().cycle();
    payload
        .iter_mut()
        .zip(keys)
        .for_each(|(byte, key)| *byte ^= key);
}

fn length(count: usize, masked: u8) -> Vec<u8> {
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(short), _) if short < 126 => vec![masked | short],
        (_, Ok(middle)) => [vec![masked | 126], middle.to_be_bytes().to_vec()].concat(),
        _ => [vec![masked | 127], (count as u64).to_be_bytes().to_vec()].concat(),
    }
}

/// A whole message as a client sends it.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut body = payload.to_vec();
    apply(&mask, &mut body);
    [
        vec![0x80 | opcode],
        length(payload.len(), 0x80),
        mask.to_vec(),
        body,
    ]
    .concat()
}

/// A frame as a server sends it.
pub(crate) fn server(first: u8, payload: &[u8]) -> Vec<u8> {
    [vec![first], length(payload.len(), 0), payload.to_vec()].concat()
}
