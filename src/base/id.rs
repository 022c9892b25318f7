//! Random identifiers that nobody can guess or meet twice.

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use aws_lc_rs::rand;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: [char; 32] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j',
    'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z',
];

/// `N` bytes of the operating system's randomness.
///
/// # Panics
///
/// When the operating system has none to give: nothing here is safe to run then.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "without randomness no key, id or nonce may be made; stopping is the closed failure"
)]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system's random source works");
    bytes
}

/// How many bytes [`random_label`] draws at once.
const DRAWN: usize = 512;

thread_local! {
    static LABELS: RefCell<([u8; DRAWN], usize)> = const { RefCell::new(([0; DRAWN], DRAWN)) };
}

/// `N` random bytes for what everybody may see, such as the id of a span: drawn many at a time, because
/// each visit to the source costs more than such a label is worth. Never a key, a nonce or a secret.
#[must_use]
pub fn random_label<const N: usize>() -> [u8; N] {
    const { assert!(N <= DRAWN, "a label is shorter than what is drawn at once") };
    LABELS.with_borrow_mut(|(drawn, used)| {
        if drawn.len() - *used < N {
            *drawn = random_bytes();
            *used = 0;
        }
        let label = drawn.get(*used..).and_then(|rest| rest.first_chunk());
        *used += N;
        label.copied().unwrap_or_else(random_bytes)
    })
}

/// Bytes in lower-case hexadecimal, two digits each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

/// Appends bytes in lower-case hexadecimal, two digits each.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    for_digits(bytes, |digits| {
        // They are digits and letters.
        text.push_str(str::from_utf8(digits).unwrap_or_default());
    });
}

/// Appends bytes in lower-case hexadecimal, two digits each, to what is text as yet unseen.
pub fn extend_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for_digits(bytes, |digits| out.extend_from_slice(digits));
}

/// Writes bytes in lower-case hexadecimal into as much room as they take, two digits each.
pub fn fill_hex(room: &mut [u8], bytes: &[u8]) {
    let (pairs, _) = room.as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = PAIRS.get(usize::from(*byte)).copied().unwrap_or_default();
    }
}

/// Hands on the digits of bytes, those of many at a time: one by one costs several times as much.
fn for_digits(bytes: &[u8], mut each: impl FnMut(&[u8])) {
    let mut pairs = [[0; 2]; 32];
    for bytes in bytes.chunks(pairs.len()) {
        for (pair, byte) in pairs.iter_mut().zip(bytes) {
            *pair = PAIRS.get(usize::from(*byte)).copied().unwrap_or_default();
        }
        let digits = pairs.get(..bytes.len()).unwrap_or_default();
        each(digits.as_flattened());
    }
}

/// The digits of every byte.
const PAIRS: [[u8; 2]; 256] = pairs();

#[expect(clippy::indexing_slicing, reason = "worked out when it is compiled")]
const fn pairs() -> [[u8; 2]; 256] {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte / 16], digits[byte % 16]];
        byte += 1;
    }
    pairs
}

/// `prefix`, an underscore and 130 random bits in base 32, such as `tsk_7q3…`.
#[must_use]
pub fn random_id(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 27);
    id.push_str(prefix);
    id.push('_');
    for byte in random_bytes::<26>() {
        id.extend(ALPHABET.get(usize::from(byte & 31)));
    }
    id
}

/// Whether `id` could be one that [`random_id`] has made for `prefix`.
#[must_use]
pub fn is_random_id(prefix: &str, id: &str) -> bool {
    let random = id
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'));
    random.is_some_and(|random| {
        random.len() == 26 && random.chars().all(|letter| ALPHABET.contains(&letter))
    })
}
