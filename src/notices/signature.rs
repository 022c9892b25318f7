//! The signature by which a receiver knows who speaks, and that it is not an old word.

#[cfg(test)]
mod tests;

use aws_lc_rs::hmac;
use jiff::Timestamp;

use crate::base::{Secret, hex};

/// The value of `Portcullis-Signature`: `t=<Unix seconds>,v1=<hexadecimal HMAC-SHA256>` over the time, a
/// dot and the body.
pub(super) fn sign(secret: &Secret<Vec<u8>>, at: Timestamp, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    let seconds = at.as_second();
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    let tag = hex(context.sign().as_ref());
    format!("t={seconds},v1={tag}")
}
