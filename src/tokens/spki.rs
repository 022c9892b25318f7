//! A public key as certificates carry it (RFC 5280 §4.1.2.7), so that the two can be compared.

#[cfg(test)]
mod tests;

use super::VerifyingKey;
use super::jwk::Numbers;
use crate::base::Digest;

/// `SubjectPublicKeyInfo` of a P-256 point, up to the point (RFC 5480 §2).
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// That of an Ed25519 key, up to the key (RFC 8410 §4).
const ED25519: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The algorithm `rsaEncryption` (RFC 8017 appendix A.1).
const RSA: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

impl VerifyingKey {
    /// The SHA-256 of the key as a certificate for it carries it.
    #[must_use]
    pub fn certified_as(&self) -> Digest {
        Digest::of(&subject_public_key_info(self.numbers()))
    }
}

fn subject_public_key_info(numbers: &Numbers) -> Vec<u8> {
    match numbers {
        Numbers::Ed25519 { x } => [ED25519, x.as_slice()].concat(),
        Numbers::P256 { x, y } => [P256, Numbers::point(x, y).as_slice()].concat(),
        Numbers::Rsa { n, e } => {
            let key = element(SEQUENCE, &[integer(n), integer(e)].concat());
            let bits = element(BIT_STRING, &[&[0], key.as_slice()].concat());
            element(SEQUENCE, &[RSA, bits.as_slice()].concat())
        }
    }
}

/// A positive number: a first bit that is set would mean a negative one.
fn integer(number: &[u8]) -> Vec<u8> {
    let negative = number.first().is_some_and(|first| *first >= 0x80);
    let padding: &[u8] = if negative { &[0] } else { &[] };
    element(INTEGER, &[padding, number].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0);
    let (_, length) = length.split_at(significant.unwrap_or(length.len() - 1));
    let mut whole = vec![tag];
    if content.len() > 0x7f {
        // Lengths here have few bytes.
        whole.push(0x80 | u8::try_from(length.len()).unwrap_or(0x7f));
    }
    whole.extend_from_slice(length);
    whole.extend_from_slice(content);
    whole
}
