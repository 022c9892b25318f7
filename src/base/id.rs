//! Random identifiers that nobody can guess or meet twice.

#[cfg(test)]
mod tests;

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
