//! Writes the smallest databases in the MaxMind DB format 2.0: one country for each network.

use std::net::IpAddr;

use ipnet::IpNet;

const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Between the tree and the data.
const SEPARATOR: [u8; 16] = [0; 16];

#[derive(Clone, Copy)]
enum Record {
    Data(usize),
    Empty,
    Node(usize),
}

/// A database to be.
pub(super) struct Mmdb {
    nodes: Vec<[Record; 2]>,
    data: Vec<u8>,
    /// The key that the code stands under, where it is not `country.iso_code`.
    flat: Option<&'static str>,
}

impl Mmdb {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![[Record::Empty; 2]],
            data: Vec::new(),
            flat: None,
        }
    }

    /// One with the code under one key, as others write them.
    pub(super) fn flat(key: &'static str) -> Self {
        Self {
            flat: Some(key),
            ..Self::new()
        }
    }

    pub(super) fn put(&mut self, network: &str, code: &str) {
        let network: IpNet = network.parse().unwrap();
        // IPv4 lies in the first 32 bits after 96 zeros.
        let (bits, length) = match network.network() {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 96 + network.prefix_len()),
            IpAddr::V6(v6) => (u128::from(v6), network.prefix_len()),
        };
        let at = self.data.len();
        let value = match self.flat {
            Some(key) => map(&[(key, text(code))]),
            None => map(&[("country", map(&[("iso_code", text(code))]))]),
        };
        self.data.extend(value);
        let side = |depth: u8| usize::from(bits >> (127 - depth) & 1 == 1);
        let mut node = 0;
        for depth in 0..length - 1 {
            node = match self.nodes[node][side(depth)] {
                Record::Node(next) => next,
                Record::Data(_) | Record::Empty => {
                    self.nodes.push([Record::Empty; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side(depth)] = Record::Node(next);
                    next
                }
            };
        }
        self.nodes[node][side(length - 1)] = Record::Data(at);
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let records = self.nodes.iter().flatten().flat_map(|record| {
            let number = match record {
                Record::Data(at) => count + SEPARATOR.len() + at,
                Record::Empty => count,
                Record::Node(node) => *node,
            };
            let [.., a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
            [a, b, c]
        });
        let metadata = map(&[
            ("node_count", number(6, count as u64)),
            ("record_size", number(5, 24)),
            ("ip_version", number(5, 6)),
            ("database_type", text("Test-Country")),
            ("languages", vec![0, 4]),
            ("binary_format_major_version", number(5, 2)),
            ("binary_format_minor_version", number(5, 0)),
            ("build_epoch", number(9, 1_700_000_000)),
            ("description", map(&[("en", text("of a test"))])),
        ]);
        let parts = records.chain(SEPARATOR).chain(self.data.iter().copied());
        let parts = parts.chain(MARKER.iter().copied()).chain(metadata);
        parts.collect()
    }
}

/// A value of a type and a size below 29, without its content.
fn control(kind: u8, size: usize) -> Vec<u8> {
    let size = u8::try_from(size).unwrap();
    assert!(size < 29);
    // Types above 7 are told by a second byte.
    if kind > 7 {
        vec![size, kind - 7]
    } else {
        vec![kind << 5 | size]
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut value = control(2, text.len());
    value.extend(text.bytes());
    value
}

fn number(kind: u8, number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let start = number.leading_zeros() as usize / 8;
    let mut value = control(kind, 8 - start);
    value.extend(&bytes[start..]);
    value
}

fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut value = control(7, members.len());
    for (name, member) in members {
        value.extend(text(name));
        value.extend(member);
    }
    value
}
