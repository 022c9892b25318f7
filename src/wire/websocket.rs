//! The opening handshake's key and its answer (RFC 6455 §1.3): they prove that who answers has understood
//! a WebSocket, and nothing about who it is.

#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::random_bytes;

/// The only version there is (RFC 6455 §4.1).
pub const WEBSOCKET_VERSION: &str = "13";

/// What the protocol is called in `Upgrade` and `:protocol`.
pub const WEBSOCKET: &str = "websocket";

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A fresh `Sec-WebSocket-Key`: sixteen random bytes in base 64.
#[must_use]
pub fn websocket_key() -> String {
    STANDARD.encode(random_bytes::<16>())
}

/// Whether `key` is sixteen bytes in base 64 (RFC 6455 §4.2.1).
#[must_use]
pub fn is_websocket_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// The `Sec-WebSocket-Accept` that answers `key` (RFC 6455 §4.2.2). SHA-1 is the standard's; nothing
/// here depends on its strength.
#[must_use]
pub fn websocket_accept(key: &[u8]) -> String {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    STANDARD.encode(context.finish())
}
