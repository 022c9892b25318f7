//! Text in which nothing has to be looked at twice.

#[cfg(test)]
mod tests;

/// Whether all of it is printable ASCII without quotation marks and backslashes: what stands for itself in JSON, and in a
/// header. Eight bytes at a time: most texts are too short for more.
#[must_use]
pub fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks();
    let rest = match text.last_chunk() {
        // Some bytes are looked at twice.
        Some(last) => u64::from_ne_bytes(*last),
        None => rest.iter().fold(ONES * u64::from(b'a'), |word, byte| {
            word << 8 | u64::from(*byte)
        }),
    };
    let odd = words.iter().fold(odd_bytes(rest), |odd, word| {
        odd | odd_bytes(u64::from_ne_bytes(*word))
    });
    odd == 0
}

/// The lowest bit of each byte.
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// The highest bit of each byte.
const HIGHS: u64 = ONES << 7;

/// Not zero where a byte is no printable ASCII, a quotation mark or a backslash. What it says of which byte is odd
/// is right for the first one only.
const fn odd_bytes(word: u64) -> u64 {
    const fn has(word: u64, byte: u8) -> u64 {
        let differs = word ^ (ONES * byte as u64);
        differs.wrapping_sub(ONES) & !differs & HIGHS
    }
    let control = word.wrapping_sub(ONES * b' ' as u64) & !word & HIGHS;
    word & HIGHS | control | has(word, 0x7f) | has(word, b'"') | has(word, b'\\')
}

/// The same of one byte.
#[must_use]
pub const fn is_plain_byte(byte: u8) -> bool {
    (byte >= b' ') & (byte < 0x7f) & (byte != b'"') & (byte != b'\\')
}
