//! Nonces that the server chooses, without remembering any: each stands for a short period of the boot
//! clock and can be made by nobody else (RFC 9449 §8, §9).

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};

use super::jws::{decode, encode};
use crate::base::{BootInstant, random_bytes};

/// How long a nonce is given out. It is good for as long again, so that nobody is asked for another
/// right after having got one.
const PERIOD: Duration = Duration::from_secs(30);

/// Makes nonces and knows its own. The key dies with the process, and so do the nonces.
pub(super) struct Nonces(Key);

impl Nonces {
    pub(super) fn new() -> Self {
        Self(Key::new(HMAC_SHA256, &random_bytes::<32>()))
    }

    /// The nonce of this moment.
    pub(super) fn current(&self, now: BootInstant) -> String {
        encode(sign(&self.0, &message(period(now))).as_ref())
    }

    /// When `nonce` stops being good; nothing where it is not good now. The boot clock never goes back,
    /// so a nonce that is over never comes back.
    pub(super) fn end(&self, nonce: &str, now: BootInstant) -> Option<BootInstant> {
        let tag = decode(nonce)?;
        let this = period(now);
        let made = [Some(this), this.checked_sub(1)];
        let mut made = made.into_iter().flatten();
        let made = made.find(|period| verify(&self.0, &message(*period), &tag).is_ok())?;
        Some(start(made.saturating_add(2)))
    }
}

fn nanos() -> u64 {
    u64::try_from(PERIOD.as_nanos()).unwrap_or(u64::MAX)
}

fn period(now: BootInstant) -> u64 {
    now.as_nanos() / nanos()
}

fn start(period: u64) -> BootInstant {
    BootInstant::from_nanos(period.saturating_mul(nanos()))
}

fn message(period: u64) -> [u8; 8] {
    period.to_be_bytes()
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces")
    }
}
